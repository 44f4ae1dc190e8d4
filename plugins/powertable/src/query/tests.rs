use super::{Comparison::*, *};
use axum::http::{HeaderMap, StatusCode};

fn read(parts: &[(&str, &str)]) -> OrRefused<Query> {
    Query::read(parts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
}

fn condition(name: &str, text: &str) -> Condition {
    read(&[(name, text)]).unwrap().conditions.remove(0)
}

fn column(name: &str, test: Test) -> Condition {
    Condition::Column { name: name.to_owned(), negated: false, test }
}

fn compare(name: &str, comparison: Comparison, value: &str) -> Condition {
    column(name, Test::Compare(comparison, value.to_owned()))
}

#[test]
fn conditions_of_columns() {
    for (operator, comparison) in
        [("eq", Equal), ("neq", NotEqual), ("gt", Greater), ("gte", NotLess), ("lt", Less), ("lte", NotGreater)]
    {
        assert_eq!(condition("age", &format!("{operator}.18")), compare("age", comparison, "18"));
    }
    // Alone, everything after the operator is the value.
    assert_eq!(condition("name", "eq.\"a\",b.c)"), compare("name", Equal, "\"a\",b.c)"));
    assert_eq!(condition("name", "eq."), compare("name", Equal, ""));
    let like = |any_case| Test::Like { pattern: "A*".to_owned(), any_case };
    assert_eq!(condition("name", "like.A*"), column("name", like(false)));
    let negated = Condition::Column { name: "name".to_owned(), negated: true, test: like(true) };
    assert_eq!(condition("name", "not.ilike.A*"), negated);
    let values = ["Ada", "a,b", "a\"b\\c", ""].map(str::to_owned).to_vec();
    assert_eq!(condition("name", r#"in.(Ada,"a,b","a\"b\\c",)"#), column("name", Test::In(values)));
    assert_eq!(condition("name", "in.()"), column("name", Test::In(Vec::new())));
    for (word, truth) in
        [("null", Truth::Null), ("NULL", Truth::Null), ("not_null", Truth::NotNull), ("true", Truth::True)]
    {
        assert_eq!(condition("name", &format!("is.{word}")), column("name", Test::Is(truth)));
    }
    assert_eq!(condition("age", "isdistinct.7"), column("age", Test::Distinct("7".to_owned())));
}

#[test]
fn conditions_of_conditions() {
    let group = |negated, all, parts| Condition::Group { negated, all, parts };
    let or = condition("or", r#"(age.lt.18,name.eq."a,b)",not.and(age.gte.1,name.in.(x,"y,z")))"#);
    let values = vec!["x".to_owned(), "y,z".to_owned()];
    let and = vec![compare("age", NotLess, "1"), column("name", Test::In(values))];
    let expected = vec![compare("age", Less, "18"), compare("name", Equal, "a,b)"), group(true, true, and)];
    assert_eq!(or, group(false, false, expected));
    assert_eq!(or.count(), 4);
    assert_eq!(condition("not.and", "(a.eq.1)"), group(true, true, vec![compare("a", Equal, "1")]));
    let not = Condition::Column { name: "a".to_owned(), negated: true, test: Test::Is(Truth::Null) };
    assert_eq!(condition("and", "(a.not.is.null)"), group(false, true, vec![not]));
}

#[test]
fn what_cannot_be_read_says_why() {
    let deep = "(and".repeat(9) + "(a.eq.1" + &")".repeat(10);
    let many = format!("({})", ["a.eq.1"; 65].join(","));
    for (name, text, why) in [
        ("age", "18", "it is no `operator.value`"),
        ("age", "fts.x", "`fts` is no operator that is known here"),
        ("age", "in.1,2", "it is a list in parentheses"),
        ("age", "is.7", "`is` is one of"),
        ("name", "in.(\"a\"b)", "nothing comes after what is in quotes"),
        ("or", "(a.eq.1", "it is a list in parentheses"),
        ("or", "(a.eq.\"1)", "is not closed"),
        ("or", "(a.eq.1))", "has no `(`"),
        ("or", "(a)", "it is no `column.operator.value`"),
        ("not.a", "eq.1", "after `not.` comes"),
        ("and", &deep, "nested too deep"),
        ("and", &many, "at most 64 conditions, not 65"),
        ("limit", "-1", "`limit` is a whole number"),
        ("offset", "9223372036854775808", "`offset` is a whole number"),
        ("order", "age.up", "after a column come"),
        ("order", "age.nullsfirst.asc", "after a column come"),
        ("select", "age::text", "casts are not known here"),
        ("select", "children(*)", "tables within tables"),
        ("select", "data->x", "parts of JSON"),
        ("select", "a,,b", "no name of a column"),
        ("columns", "a,\"b'", "no name of a column"),
    ] {
        let refused = read(&[(name, text)]).unwrap_err();
        assert!(refused.message.contains(why), "{refused:?}");
        assert_eq!((refused.status, refused.code), (StatusCode::BAD_REQUEST, "PGRST100"));
    }
}

#[test]
fn columns_order_and_window() {
    let query = read(&[
        ("select", "*,year:born,\"name\""),
        ("order", "born.desc,name.asc.nullsfirst,id"),
        ("limit", "10"),
        ("offset", "20"),
        ("columns", "name,born"),
        ("on_conflict", "name"),
    ])
    .unwrap();
    let one = |column: &str, called: &str| Selected::One { column: column.to_owned(), called: called.to_owned() };
    assert_eq!(query.select, Some(vec![Selected::All, one("born", "year"), one("name", "name")]));
    let order = |column: &str, descending, nulls_first| OrderBy { column: column.to_owned(), descending, nulls_first };
    assert_eq!(query.order, [order("born", true, true), order("name", false, true), order("id", false, false)]);
    assert_eq!(query.window, Window { offset: 20, limit: Some(10) });
    assert_eq!(query.columns, Some(vec!["name".to_owned(), "born".to_owned()]));
    assert_eq!(query.on_conflict.as_deref(), Some("name"));
}

#[test]
fn ranges() {
    let of = |text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("range", text.parse().unwrap());
        Window::default().or_header(&headers)
    };
    assert_eq!(of("0-24"), Window { offset: 0, limit: Some(25) });
    assert_eq!(of("items=5-5"), Window { offset: 5, limit: Some(1) });
    assert_eq!(of("25-"), Window { offset: 25, limit: None });
    for unreadable in ["bytes=0-9", "9-5", "-5", "x"] {
        assert_eq!(of(unreadable), Window::default());
    }
    assert_eq!(of("0-24").at_most(Some(10)).limit, Some(10));

    let window = Window { offset: 10, limit: Some(5) };
    let told = |rows, total| content_range(window, rows, total);
    assert_eq!(told(5, None), (StatusCode::OK, "10-14/*".to_owned()));
    assert_eq!(told(5, Some(99)), (StatusCode::PARTIAL_CONTENT, "10-14/99".to_owned()));
    assert_eq!(told(0, Some(9)), (StatusCode::RANGE_NOT_SATISFIABLE, "*/9".to_owned()));
    assert_eq!(content_range(Window::default(), 3, Some(3)), (StatusCode::OK, "0-2/3".to_owned()));
    assert_eq!(content_range(Window::default(), 0, Some(0)), (StatusCode::OK, "*/0".to_owned()));
}

#[test]
fn preferences() {
    let mut headers = HeaderMap::new();
    headers.append("prefer", "return=representation, resolution=merge-duplicates".parse().unwrap());
    headers.append("prefer", "count=exact,missing=default,unheard-of=7".parse().unwrap());
    let expected = Prefer {
        returned: Returned::Representation,
        resolution: Some(Resolution::MergeDuplicates),
        count: true,
        missing_is_default: true,
    };
    assert_eq!(Prefer::of(&headers), expected);
    assert_eq!(Prefer::of(&HeaderMap::new()), Prefer::default());
}
