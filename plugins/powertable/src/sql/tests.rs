use super::*;
use crate::{
    query::{Query, Resolution},
    schema::{Definition, UserTable},
};
use camlock_plugin::database::SqlValue;
use serde_json::json;

fn people() -> UserTable {
    let definition = json!({"name": "people", "columns": [
        {"name": "name", "type": "text"}, {"name": "born", "type": "integer"},
        {"name": "alive", "type": "boolean"}, {"name": "data", "type": "json"},
    ]});
    serde_json::from_value::<Definition>(definition).unwrap().check().unwrap()
}

fn query(parts: &[(&str, &str)]) -> Query {
    Query::read(parts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()).unwrap()
}

fn condition(part: (&str, &str), dialect: Engine) -> (String, Vec<SqlValue>) {
    let sql = count(&people(), &query(&[part]), dialect).unwrap();
    let text = sql.text.strip_prefix("SELECT count(*) AS \"count\" FROM \"p_powertable__t_people\" WHERE ").unwrap();
    (text.to_owned(), sql.params)
}

#[test]
fn conditions_become_sql() {
    let cases: [((&str, &str), &str, Vec<SqlValue>); 9] = [
        (("born", "gte.1815"), "(\"born\" >= $1)", vec![1815.into()]),
        (("born", "not.in.(1,2)"), "NOT (\"born\" IN ($1,$2))", vec![1.into(), 2.into()]),
        (("born", "in.()"), "(1 = 0)", vec![]),
        (("alive", "is.true"), "(\"alive\" IS TRUE)", vec![]),
        (("name", "is.null"), "(\"name\" IS NULL)", vec![]),
        (("name", "eq.a' OR 1=1 --"), "(\"name\" = $1)", vec!["a' OR 1=1 --".into()]),
        (("name", "isdistinct.a"), "(\"name\" IS DISTINCT FROM $1)", vec!["a".into()]),
        (
            ("not.or", "(born.lt.1,and(name.eq.a,id.eq.7))"),
            "NOT ((\"born\" < $1) OR ((\"name\" = $2) AND (\"id\" = $3)))",
            vec![1.into(), "a".into(), 7.into()],
        ),
        (("data", r#"eq.{"a": 1}"#), "(\"data\" = $1)", vec![SqlValue::Json(r#"{"a":1}"#.into())]),
    ];
    for (part, text, params) in cases {
        for dialect in [Engine::Sqlite, Engine::Postgres] {
            assert_eq!(condition(part, dialect), (text.to_owned(), params.clone()));
        }
    }
}

#[test]
fn patterns_mean_the_same_in_both() {
    let like = |text: &str, dialect| {
        let (text, mut params) = condition(("name", text), dialect);
        let SqlValue::Text(pattern) = params.remove(0) else { panic!("a text") };
        (text, pattern)
    };
    let both = |text: &str, pattern: &str| (text.to_owned(), pattern.to_owned());
    assert_eq!(like("like.A*_", Engine::Postgres), both("(\"name\" LIKE $1)", "A%_"));
    assert_eq!(like("ilike.A*", Engine::Postgres), both("(\"name\" ILIKE $1)", "A%"));
    assert_eq!(like("ilike.A%", Engine::Sqlite), both("(\"name\" LIKE $1 ESCAPE '\\')", "A%"));
    assert_eq!(like("like.A*_%[?\\_\\%", Engine::Sqlite), both("(\"name\" GLOB $1)", "A*?*[[][?]_%"));
}

#[test]
fn what_does_not_fit_is_refused() {
    for (part, code) in [
        (("died", "eq.1"), "42703"),
        (("born", "eq.early"), "22P02"),
        (("born", "like.1*"), "42883"),
        (("data", "gt.1"), "42883"),
        (("name", "is.true"), "42883"),
        (("name\" OR \"1", "eq.1"), "42703"),
        (("order", "died"), "42703"),
        (("order", "data"), "PGRST100"),
        (("select", "died"), "42703"),
        (("select", "name,name"), "PGRST100"),
    ] {
        assert_eq!(select(&people(), &query(&[part]), Engine::Sqlite).unwrap_err().code, code, "{part:?}");
    }
    assert!(delete(&people(), &query(&[("limit", "1")]), Engine::Sqlite).is_err());
}

#[test]
fn rows_are_selected() {
    let parts =
        [("select", "name,year:born"), ("order", "born.desc"), ("limit", "10"), ("offset", "5"), ("born", "gt.1")];
    let (sql, columns) = select(&people(), &query(&parts), Engine::Postgres).unwrap();
    assert_eq!(
        sql.text,
        "SELECT \"name\" AS \"name\", \"born\" AS \"year\" FROM \"p_powertable__t_people\" WHERE (\"born\" > $1) \
         ORDER BY \"born\" DESC NULLS FIRST, \"id\" LIMIT $2 OFFSET $3"
    );
    assert_eq!(sql.params, [1, 10, 5].map(SqlValue::from));
    assert_eq!(columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["name", "year"]);
}

#[test]
fn rows_are_added_and_changed() {
    let table = people();
    let columns = ["id".to_owned(), "name".to_owned()];
    let on_conflict = OnConflict { column: "id".to_owned(), resolution: Resolution::MergeDuplicates };
    let insert =
        |on_conflict| Insert { table: &table, columns: &columns, given: 2, on_conflict, dialect: Engine::Postgres };
    let rows = || vec![vec![Some(1.into()), Some("a".into())], vec![None, Some("b".into())]];
    let only_id = query(&[("select", "id")]);
    let (sql, _) = insert(Some(on_conflict)).rows(rows()).returning(&table, &only_id).unwrap();
    assert_eq!(
        sql.text,
        "INSERT INTO \"p_powertable__t_people\" (\"id\", \"name\") VALUES ($1,$2),(DEFAULT,$3) \
         ON CONFLICT (\"id\") DO UPDATE SET \"name\" = excluded.\"name\" RETURNING \"id\" AS \"id\""
    );
    assert_eq!(sql.params.len(), 3);
    let nothing = Insert { columns: &[], ..insert(None) };
    let sql = nothing.rows(vec![vec![], vec![]]);
    assert!(sql.text.ends_with("(\"id\") VALUES (DEFAULT),(DEFAULT)"), "{}", sql.text);

    let changes = [("name".to_owned(), "c".into())];
    let by_id = query(&[("id", "eq.7"), ("select", "name")]);
    let sql = update(&table, &by_id, &changes, Engine::Sqlite).unwrap();
    let (sql, _) = sql.returning(&table, &by_id).unwrap();
    assert_eq!(
        sql.text,
        "UPDATE \"p_powertable__t_people\" SET \"name\" = $1 WHERE (\"id\" = $2) RETURNING \"name\" AS \"name\""
    );
    let sql = delete(&table, &by_id, Engine::Sqlite).unwrap();
    assert!(sql.text.starts_with("DELETE FROM \"p_powertable__t_people\" WHERE (\"id\" = $1)"), "{}", sql.text);
}
