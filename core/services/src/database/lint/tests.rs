use super::*;
use SqlDialect::{Postgres, Sqlite};

fn messages(sql: &str, dialect: SqlDialect) -> Vec<String> {
    let file = MigrationFile { number: 1, name: "a".to_owned(), dialect: None, text: sql.into() };
    lint_file("shop", &file, dialect).into_iter().map(|finding| finding.to_string()).collect()
}

fn says(sql: &str, dialect: SqlDialect, words: &str) {
    let messages = messages(sql, dialect);
    assert!(messages.iter().any(|message| message.contains(words)), "{dialect}: {sql}: {messages:#?}");
}

#[test]
fn what_is_in_order() {
    for sql in [
        "",
        "-- Only words.",
        "CREATE TABLE p_shop__orders (id INTEGER PRIMARY KEY, note TEXT NOT NULL, price REAL DEFAULT 0 CHECK (price >= 0));\n\
         CREATE UNIQUE INDEX p_shop__by_note ON p_shop__orders (note);\n\
         CREATE VIEW p_shop__dear AS SELECT * FROM p_shop__orders WHERE price > 100;",
        "CREATE TABLE p_shop__lines (order_id INTEGER REFERENCES p_shop__orders (id) ON DELETE CASCADE)",
        "ALTER TABLE p_shop__orders ADD COLUMN paid BOOLEAN NOT NULL DEFAULT false; UPDATE p_shop__orders SET paid = true",
        "INSERT INTO p_shop__orders (note) SELECT note FROM p_shop__old; DELETE FROM p_shop__old WHERE note = ';--'",
        "WITH recent AS (SELECT * FROM p_shop__orders) INSERT INTO p_shop__lines SELECT id FROM recent",
        "-- camlock: contract\nDROP TABLE p_shop__old; ALTER TABLE p_shop__orders RENAME COLUMN note TO words",
    ] {
        for dialect in [Sqlite, Postgres] {
            assert_eq!(messages(sql, dialect), Vec::<String>::new(), "{dialect}: {sql}");
        }
    }
    assert_eq!(messages("CREATE TABLE P_Shop__Orders (a int)", Postgres), Vec::<String>::new(), "it makes it small");
    let key = "CREATE TABLE p_shop__o (plugin text REFERENCES plugins (name) ON DELETE CASCADE)";
    assert_eq!(messages(key, Postgres), Vec::<String>::new());
    let series = "INSERT INTO p_shop__o SELECT n FROM generate_series(1, 10) AS n";
    assert_eq!(messages(series, Postgres), Vec::<String>::new());
}

#[test]
fn names_are_the_plugins_own() {
    for sql in [
        "CREATE TABLE orders (a INT)",
        "CREATE TABLE p_other__orders (a INT)",
        "CREATE TABLE \"P_shop__orders\" (a INT)",
        "CREATE INDEX by_a ON p_shop__orders (a)",
        "CREATE INDEX p_shop__by_a ON plugins (name)",
        "CREATE VIEW p_shop__all AS SELECT * FROM plugins",
        "INSERT INTO plugins (name) VALUES ('x')",
        "UPDATE p_shop__o SET a = (SELECT max(revision) FROM plugins)",
        "DELETE FROM p_other__orders",
        "-- camlock: contract\nDROP TABLE plugins",
        "-- camlock: contract\nDROP TABLE p_shop__o, p_other__o",
        "-- camlock: contract\nALTER TABLE p_shop__o RENAME TO p_other__o",
        "ALTER TABLE plugins ADD COLUMN a INT",
        "WITH p AS (SELECT * FROM plugins) SELECT * FROM p",
        "SELECT * FROM p_shop__o WHERE a IN (SELECT token FROM api_tokens)",
    ] {
        for dialect in [Sqlite, Postgres] {
            says(
                sql,
                dialect,
                "is none of the plugin's own: names of its tables, indexes and views begin with `p_shop__`",
            );
        }
    }
    says("SELECT * FROM camlock.p_shop__o", Postgres, "without what stands before its last point");
    says("SELECT * FROM main.p_shop__o", Sqlite, "without what stands before its last point");
    says("CREATE TABLE p_shop__o (LIKE plugins)", Postgres, "is none of the plugin's own");
    says("CREATE TABLE p_shop__o () INHERITS (plugins)", Postgres, "is none of the plugin's own");
    let long = format!("CREATE TABLE p_shop__{} (a INT)", "o".repeat(60));
    says(&long, Sqlite, "after `p_shop__` 55 bytes remain for a name, it takes 60");
}

#[test]
fn other_statements_are_named() {
    for sql in [
        "CREATE TRIGGER p_shop__t AFTER INSERT ON p_shop__o BEGIN DELETE FROM plugins; END",
        "ATTACH DATABASE 'registry.db' AS r",
        "PRAGMA writable_schema = 1",
        "VACUUM INTO 'copy.db'",
        "CREATE VIRTUAL TABLE p_shop__f USING fts5 (a)",
    ] {
        says(sql, Sqlite, "not allowed in a migration");
    }
    for sql in [
        "SET ROLE camlock",
        "RESET ROLE",
        "DO $$ BEGIN DELETE FROM plugins; END $$",
        "COPY p_shop__o TO PROGRAM 'cat'",
        "GRANT ALL ON p_shop__o TO PUBLIC",
        "CREATE FUNCTION p_shop__f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "NOTIFY plugin_changes",
        "ALTER TABLE p_shop__o OWNER TO camlock",
        "CREATE SCHEMA p_shop__s",
        "DROP SCHEMA camlock",
        "SELECT pg_advisory_lock(1)",
        "SELECT * FROM pg_ls_dir('.')",
        "INSERT INTO p_shop__o SELECT lo_import('/etc/passwd')",
        "TRUNCATE p_shop__o",
        "CREATE EXTENSION dblink",
    ] {
        says(sql, Postgres, "not allowed in a migration");
    }
    says("BEGIN; COMMIT", Postgres, "`COMMIT` is not needed: each migration is a transaction of its own");
    says("CREATE TEMP TABLE p_shop__o (a INT)", Sqlite, "temporary tables and views are not allowed");
    says("CREATE TABLE p_shop__o (a INT", Sqlite, "it cannot be read");
    says("SELECT 'open", Sqlite, "it cannot be read");
}

#[test]
fn what_an_earlier_version_needs_stays_until_afterwards() {
    for (sql, what) in [
        ("DROP TABLE p_shop__o", "DROP TABLE"),
        ("DROP INDEX p_shop__i", "DROP INDEX"),
        ("DROP VIEW p_shop__v", "DROP VIEW"),
        ("ALTER TABLE p_shop__o RENAME TO p_shop__p", "RENAME TO"),
        ("ALTER TABLE p_shop__o RENAME COLUMN a TO b", "RENAME COLUMN"),
        ("ALTER TABLE p_shop__o DROP COLUMN a", "DROP COLUMN"),
        ("ALTER TABLE p_shop__o ADD COLUMN b INT NOT NULL", "ADD COLUMN … NOT NULL without a default"),
        ("CREATE UNIQUE INDEX p_shop__i ON p_shop__o (a)", "CREATE UNIQUE INDEX"),
    ] {
        for dialect in [Sqlite, Postgres] {
            says(sql, dialect, &format!("`{what}` may take away what the version before needs"));
            assert_eq!(messages(&format!("-- camlock: contract\n{sql}"), dialect), Vec::<String>::new(), "{sql}");
        }
    }
    for (sql, what) in [
        ("ALTER TABLE p_shop__o ALTER COLUMN a TYPE bigint", "ALTER COLUMN … TYPE"),
        ("ALTER TABLE p_shop__o ALTER COLUMN a SET NOT NULL", "SET NOT NULL"),
        ("ALTER TABLE p_shop__o ADD CONSTRAINT p_shop__c CHECK (a > 0)", "ADD CONSTRAINT"),
    ] {
        says(sql, Postgres, &format!("`{what}` may take away"));
        let made = format!("CREATE TABLE p_shop__o (a int); {sql}");
        assert_eq!(messages(&made, Postgres), Vec::<String>::new(), "nobody uses it yet: {sql}");
    }
}

#[test]
fn keys_to_tables_of_the_host() {
    let key = |rest: &str| format!("CREATE TABLE p_shop__o (plugin TEXT, FOREIGN KEY (plugin) REFERENCES {rest})");
    says(&key("plugins (name) ON DELETE CASCADE"), Sqlite, "on SQLite no foreign key leads to `plugins`");
    for rest in ["plugins (name)", "plugins (name) ON DELETE RESTRICT", "plugins ON DELETE CASCADE"] {
        says(&key(rest), Postgres, "is `REFERENCES plugins (name) ON DELETE CASCADE`, and no other");
    }
    for dialect in [Sqlite, Postgres] {
        says(&key("api_tokens (id) ON DELETE CASCADE"), dialect, "not to `api_tokens`");
    }
}

#[test]
fn endless_expressions_are_refused_before_they_are_walked() {
    for long in ["1+".repeat(100_000) + "1", "1::int".to_owned() + &"::int".repeat(100_000)] {
        says(&format!("SELECT {long}"), Postgres, "more than 1000 words without a comma or parenthesis");
    }
    for deep in ["(".repeat(100_000), "NOT ".repeat(900), "[".repeat(900), "CASE WHEN ".repeat(300)] {
        assert_eq!(messages(&format!("SELECT {deep}"), Postgres).len(), 1);
    }
    let rows = "(1, 'a'),".repeat(20_000) + "(1, 'a')";
    assert_eq!(messages(&format!("INSERT INTO p_shop__o VALUES {rows}"), Sqlite), Vec::<String>::new());
}

#[test]
fn a_finding_says_where() {
    let file =
        MigrationFile { number: 3, name: "x".to_owned(), dialect: None, text: "\n\nSELECT 1;\n  DROP TABLE y".into() };
    let findings = lint("shop", &[file]);
    let lines: Vec<_> = findings.iter().map(|finding| (finding.line, &*finding.file)).collect();
    assert_eq!(lines, [(4, "0003_x.sql")]);
}
