use super::*;
use crate::sql::Engine;
use serde_json::{Value as Json, json};

fn definition(columns: Json) -> Definition {
    serde_json::from_value(json!({"name": "people", "columns": columns})).unwrap()
}

fn column(name: &str) -> Json {
    json!({"name": name, "type": "text"})
}

fn people() -> UserTable {
    definition(json!([{"name": "name", "type": "text", "required": true, "unique": true}, {"name": "born", "type": "integer"}]))
        .check()
        .unwrap()
}

#[test]
fn definitions_are_checked() {
    let many: Vec<_> = (0..101).map(|number| column(&format!("c{number}"))).collect();
    let bad = [
        (json!([]), "a table has 1 to 100 columns, not 0"),
        (json!(many), "a table has 1 to 100 columns, not 101"),
        (json!([column("Name")]), "`Name` is no name for a column"),
        (json!([column("")]), "`` is no name for a column"),
        (json!([column("a__b")]), "`a__b` is no name for a column"),
        (json!([column("a_")]), "`a_` is no name for a column"),
        (json!([column(&"x".repeat(51))]), "is no name for a column"),
        (json!([column("order")]), "no column may be called `order`"),
        (json!([column("id")]), "no column may be called `id`"),
        (json!([column("a"), column("a")]), "there are two columns `a`"),
        (json!([{"name": "a", "type": "integer", "default": "x"}]), "the default of `a` is none of its type"),
        (json!([{"name": "a", "type": "integer", "default": "now"}]), "the default of `a` is none of its type"),
        (json!([{"name": "a", "type": "json", "references": {"table": "b"}}]), "which refers to nothing"),
        (
            json!([{"name": "a", "type": "integer", "required": true, "references": {"table": "b", "on_delete": "set_null"}}]),
            "it cannot be set to null",
        ),
    ];
    for (columns, reason) in bad {
        let refused = definition(columns).check().unwrap_err();
        assert!(refused.message.contains(reason), "{refused:?}");
    }
    for name in ["hello", "tables", "rpc", "UserTable", "a__b", &"x".repeat(41)] {
        let definition = Definition { name: name.to_owned(), ..definition(json!([column("a")])) };
        assert!(definition.check().is_err(), "{name}");
    }
}

#[test]
fn definitions_become_sql() {
    let table = definition(json!([
        {"name": "name", "type": "text", "required": true, "unique": true, "default": "it's"},
        {"name": "at", "type": "timestamp", "default": "now"},
        {"name": "seen", "type": "timestamp", "default": "1970-01-01T00:00:01Z"},
        {"name": "good", "type": "boolean", "default": true},
        {"name": "owner", "type": "integer", "references": {"table": "owners", "on_delete": "cascade"}},
    ]));
    let table = table.check().unwrap();
    let sql = created(&table, 7, Engine::Sqlite);
    assert!(sql.contains("VALUES ('people', 7, 6, '{"), "{sql}");
    assert!(
        sql.contains(
            "CREATE TABLE \"p_powertable__t_people\" (\"id\" INTEGER PRIMARY KEY AUTOINCREMENT, \
             \"name\" TEXT NOT NULL DEFAULT 'it''s', \"at\" BIGINT, \"seen\" BIGINT DEFAULT 1000000, \
             \"good\" BOOLEAN DEFAULT 1, \
             \"owner\" BIGINT REFERENCES \"p_powertable__t_owners\" (\"id\") ON DELETE CASCADE);"
        ),
        "{sql}"
    );
    assert!(
        sql.ends_with("CREATE UNIQUE INDEX \"p_powertable__u_people_0\" ON \"p_powertable__t_people\" (\"name\");\n")
    );
    let sql = created(&table, 7, Engine::Postgres);
    assert!(sql.contains("\"seen\" TIMESTAMPTZ DEFAULT '1970-01-01T00:00:01+00:00'"), "{sql}");
    assert!(sql.contains("\"good\" BOOLEAN DEFAULT true"), "{sql}");
    // What is on record is what was defined.
    let record = serde_json::to_string(&table).unwrap();
    assert_eq!(serde_json::from_str::<UserTable>(&record).unwrap(), table);
}

#[test]
fn changes_are_applied_and_become_sql() {
    let before = people();
    let change = |change: Json| -> crate::problem::OrRefused<(UserTable, String)> {
        let change: Change = serde_json::from_value(change).unwrap();
        let after = change.apply(&before)?;
        let sql = changed(&before, &change, &after, 7, Engine::Sqlite);
        Ok((after, sql.lines().skip(1).collect()))
    };
    let (after, sql) = change(json!({"add_column": {"name": "dead", "type": "boolean", "unique": true}})).unwrap();
    assert_eq!(after.columns.len(), 3);
    assert_eq!(
        sql,
        "ALTER TABLE \"p_powertable__t_people\" ADD COLUMN \"dead\" BOOLEAN;\
         CREATE UNIQUE INDEX \"p_powertable__u_people_2\" ON \"p_powertable__t_people\" (\"dead\");"
    );
    let (after, sql) = change(json!({"drop_column": "name"})).unwrap();
    assert!(after.find("name").is_none());
    assert_eq!(
        sql,
        "DROP INDEX \"p_powertable__u_people_0\";ALTER TABLE \"p_powertable__t_people\" DROP COLUMN \"name\";"
    );
    let (after, sql) = change(json!({"rename_column": {"from": "name", "to": "called"}})).unwrap();
    assert!(after.find("called").is_some_and(|column| column.unique));
    assert!(sql.ends_with("RENAME COLUMN \"name\" TO \"called\";"), "{sql}");
    let (_, sql) = change(json!({"set_unique": {"column": "name", "unique": false}})).unwrap();
    assert_eq!(sql, "DROP INDEX \"p_powertable__u_people_0\";");
    for (wrong, reason) in [
        (json!({"add_column": {"name": "born", "type": "text"}}), "there is a column `born` already"),
        (json!({"add_column": {"name": "x", "type": "text", "required": true}}), "is added with a default"),
        (json!({"drop_column": "died"}), "has no column `died`; it has `id`, `name`, `born`"),
        (json!({"drop_column": "id"}), "has no column `id`"),
        (json!({"rename_column": {"from": "born", "to": "select"}}), "no column may be called `select`"),
    ] {
        let refused = change(wrong).unwrap_err();
        assert!(refused.message.contains(reason), "{refused:?}");
    }
}

#[test]
fn what_the_database_refuses_is_told_of_its_column() {
    let table = people();
    for (details, column) in [
        ("UNIQUE constraint failed: people.name", Some("name")),
        ("NOT NULL constraint failed: people.born", Some("born")),
        ("duplicate key value violates unique constraint \"p_powertable__u_people_0\"", Some("name")),
        ("null value in column \"name\" of relation \"people\" violates not-null constraint", Some("name")),
        ("duplicate key value violates unique constraint \"p_powertable__u_people_01\"", None),
        ("NOT NULL constraint failed: people.names", None),
        ("it is slow", None),
    ] {
        let refused = table.blaming(Refused::conflict("no").with_details(details));
        assert_eq!(refused.column.as_deref(), column, "{details}");
    }
    let named = Refused::no_value("no").of_column("born").with_details("people.name");
    assert_eq!(table.blaming(named).column.as_deref(), Some("born"));
}
