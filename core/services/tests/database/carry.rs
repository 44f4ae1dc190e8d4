//! Tables that are carried from one database into the other, and what cannot be.

pub(crate) mod place;

use crate::postgres::run;
use camlock_policy::{MigrationFile, TableTerms};
use camlock_services::database::{
    MigrationError, PluginTables,
    carry::{CarriedTables, TablesToCarry},
};
use place::{InFile, OnServer, both, file};
use std::sync::Arc;

fn shop() -> Arc<str> {
    "shop".into()
}

async fn ready(tables: &PluginTables, files: &[MigrationFile]) {
    tables.make_ready(&shop(), files, TableTerms::default()).await.unwrap();
}

async fn carry(
    from: &PluginTables,
    to: &PluginTables,
    files: &[MigrationFile],
) -> Result<CarriedTables, MigrationError> {
    carry_but(from, to, files, &[]).await
}

async fn carry_but(
    from: &PluginTables,
    to: &PluginTables,
    files: &[MigrationFile],
    left: &[&str],
) -> Result<CarriedTables, MigrationError> {
    let left: Vec<_> = left.iter().map(|name| (*name).to_owned()).collect();
    // A version that was built since, and has another history, is nobody's.
    let newer = vec![file(1, None, "CREATE TABLE p_shop__other (a INT)")];
    let versions = |plugin: &str| if plugin == "shop" { vec![newer.clone(), files.to_vec()] } else { vec![] };
    TablesToCarry::of(from, to, &versions, &left).await?.carry(from, to).await
}

/// Columns of all kinds, keys to tables that come later, to the own table, and in a circle.
fn all_kinds() -> Vec<MigrationFile> {
    let columns =
        "note TEXT NOT NULL DEFAULT 'new', is_good BOOLEAN, big BIGINT, price DOUBLE PRECISION, day DATE, at TIMESTAMP,
        word VARCHAR(20) UNIQUE, amount NUMERIC, written TEXT,";
    let sqlite = format!(
        "CREATE TABLE p_shop__orders (id INTEGER PRIMARY KEY AUTOINCREMENT, {columns} content BLOB, more TEXT, zoned INTEGER,
            length INTEGER GENERATED ALWAYS AS (length(note)) STORED);
         CREATE TABLE p_shop__a (id INTEGER PRIMARY KEY, b INTEGER REFERENCES p_shop__b (id));
         CREATE TABLE p_shop__b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES p_shop__a (id));
         CREATE TABLE p_shop__lines (ordered INTEGER NOT NULL REFERENCES p_shop__orders (id) ON DELETE CASCADE, \"two words\" TEXT)"
    );
    let postgres = format!(
        "CREATE TABLE p_shop__orders (length INTEGER GENERATED ALWAYS AS (length(note)) STORED, content BYTEA, {columns}
            id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY, more JSONB, zoned TIMESTAMPTZ);
         ALTER TABLE p_shop__orders ALTER COLUMN written TYPE TIMESTAMPTZ USING now();
         CREATE TABLE p_shop__a (id INTEGER PRIMARY KEY, b INTEGER);
         CREATE TABLE p_shop__b (id SERIAL PRIMARY KEY, a INTEGER REFERENCES p_shop__a (id));
         ALTER TABLE p_shop__a ADD CONSTRAINT p_shop__a_b FOREIGN KEY (b) REFERENCES p_shop__b (id);
         CREATE TABLE p_shop__lines (\"two words\" TEXT, ordered INTEGER NOT NULL REFERENCES p_shop__orders (id) ON DELETE CASCADE)"
    );
    let tree = "CREATE TABLE p_shop__tree (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES p_shop__tree (id));
        INSERT INTO p_shop__tree VALUES (1, NULL), (2, 1), (3, 2); CREATE VIEW p_shop__roots AS SELECT id FROM p_shop__tree";
    let [one, other] = both(1, &sqlite, &postgres);
    let only = "CREATE INDEX p_shop__by_more ON p_shop__orders USING gin (more)";
    let later = file(4, None, "-- camlock: contract\nDROP VIEW p_shop__roots");
    vec![one, other, file(2, Some(camlock_policy::SqlDialect::Postgres), only), file(3, None, tree), later]
}

const ROWS: &str = r#"
    INSERT INTO p_shop__orders (id, note, is_good, big, price, day, at, word, amount, content, more, zoned, written) VALUES
        (1, '', 0, -9223372036854775808, 0.0, '2026-11-29', 0, '', 0, x'', '{}', 0, '1970-01-01 00:00:00.000000+00'),
        (2, 'ü 漢字 🦀', 1, 9223372036854775807, 0.1, NULL, -1, '20 are enough', 12.5, x'00ff5c0a', '[1, "\n\\N"]', -62135596800000001,
         '0044-03-15 12:00:00.000007+00 BC'),
        (3, 'a' || char(9, 10, 13) || '\N \. \\ "''', NULL, 0, 1e308, NULL, 1709210096000007, char(92), -3, randomblob(1048576), 'null', NULL, NULL),
        (2147483640, 'last', 1, NULL, 9e999, NULL, NULL, NULL, NULL, NULL, NULL, 253402300800000000, NULL);
    INSERT INTO p_shop__lines VALUES (2, 'two'), (2147483640, NULL), (2, 'two');
    PRAGMA foreign_keys = OFF;
    INSERT INTO p_shop__a VALUES (1, 7), (2, NULL);
    INSERT INTO p_shop__b VALUES (7, 1);
    DELETE FROM p_shop__tree;
    INSERT INTO p_shop__tree VALUES (1, 9), (9, 10), (10, NULL), (-4, -4);"#;

#[test]
fn all_comes_back_as_it_was() {
    run(async {
        let (from, server, back) = (InFile::new(), OnServer::new().await, InFile::new());
        let files = all_kinds();
        ready(&from.tables, &files[..4]).await;
        from.sql(ROWS);
        let before = from.rows();
        let carried = carry(&from.tables, &server.tables, &files).await.unwrap();
        assert_eq!((carried.tables, carried.rows), (5, 4 + 3 + 2 + 1 + 4));
        assert_eq!(from.rows(), before, "the source is only read");
        for (question, told) in [
            ("SELECT string_agg(number::text, ' ' ORDER BY number) FROM _plugin_migrations", "1 2 3"),
            ("SELECT note FROM p_shop__orders WHERE id = 2", "ü 漢字 🦀"),
            (
                "SELECT concat_ws('|', is_good, big, price, at, zoned, more) FROM p_shop__orders WHERE id = 1",
                "f|-9223372036854775808|0|1970-01-01 00:00:00|1970-01-01 00:00:00+00|{}",
            ),
            (
                "SELECT concat_ws('|', day, length, price, at, written) FROM p_shop__orders WHERE id = 2",
                "6|0.1|1969-12-31 23:59:59.999999|0044-03-15 12:00:00.000007+00 BC",
            ),
            ("SELECT zoned::text FROM p_shop__orders WHERE id = 2", "0001-12-31 23:59:59.999999+00 BC"),
            ("SELECT encode(content, 'hex') FROM p_shop__orders WHERE id = 2", "00ff5c0a"),
            ("SELECT length(content)::text FROM p_shop__orders WHERE id = 3", "1048576"),
            ("SELECT note FROM p_shop__orders WHERE id = 3", "a\t\n\r\\N \\. \\\\ \"'"),
            ("SELECT price::text FROM p_shop__orders WHERE note = 'last'", "Infinity"),
            (
                "SELECT string_agg(contype::text || convalidated::text, ' ' ORDER BY contype) FROM pg_constraint WHERE contype = 'f'",
                "ftrue ftrue ftrue ftrue",
            ),
        ] {
            server.sql("SET timezone = 'UTC'").await;
            assert_eq!(server.one(question).await, told, "{question}");
        }
        // Numbers that were given are not given again, and keys hold.
        let plugin = server.as_plugin().await;
        let id = "INSERT INTO p_shop__b (a) VALUES (2) RETURNING id";
        assert_eq!(plugin.query_one(id, &[]).await.unwrap().get::<_, i32>(0), 8);
        let id = "INSERT INTO p_shop__orders DEFAULT VALUES RETURNING id";
        assert_eq!(plugin.query_one(id, &[]).await.unwrap().get::<_, i32>(0), 2_147_483_641);
        assert!(plugin.execute("INSERT INTO p_shop__lines (ordered) VALUES (5)", &[]).await.is_err());
        plugin
            .batch_execute("DELETE FROM p_shop__orders WHERE id = 2147483641; DELETE FROM p_shop__b WHERE id = 8")
            .await
            .unwrap();

        // And back: two files of the plugin make the same there.
        let carried = carry(&server.tables, &back.tables, &files).await.unwrap();
        assert_eq!((carried.tables, carried.rows), (5, 14));
        assert_eq!(back.rows(), before);
        back.sql("INSERT INTO p_shop__orders (note) VALUES ('next')");
        let last = "SELECT max(id) FROM p_shop__orders";
        assert_eq!(back.connection().query_row(last, [], |row| row.get::<_, i64>(0)).unwrap(), 2_147_483_642);
        // What was not yet on record runs when the plugin starts.
        let ready = back.tables.make_ready(&shop(), &files, TableTerms::default()).await.unwrap();
        assert!(ready.ran.is_empty() && ready.contracts);
        let ready = server.tables.make_ready(&shop(), &files, TableTerms::default()).await.unwrap();
        assert!(ready.ran.is_empty() && ready.contracts);
    });
}

#[test]
fn a_row_that_does_not_fit_is_named_and_nothing_is_left() {
    let sqlite =
        "CREATE TABLE p_shop__one (id INTEGER PRIMARY KEY, n INTEGER, b BLOB, t TEXT, f BOOLEAN, j TEXT, w VARCHAR(3))";
    let postgres = "CREATE TABLE p_shop__one (id INTEGER PRIMARY KEY, n INTEGER, b BYTEA, t TEXT, f BOOLEAN, j JSONB, w VARCHAR(3))";
    run(async move {
        let (from, server) = (InFile::new(), OnServer::new().await);
        let mut files = both(1, sqlite, postgres).to_vec();
        files.push(file(2, None, "CREATE TABLE p_shop__many (n INTEGER)"));
        ready(&from.tables, &files).await;
        from.sql("INSERT INTO p_shop__many WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) SELECT i FROM n");
        for (row, told) in [
            (
                "2147483648, NULL, NULL, 1, NULL, NULL",
                "`p_shop__one`: value \"2147483648\" is out of range for type integer (line 2, column n)",
            ),
            ("1, 'text', NULL, 1, NULL, NULL", "`p_shop__one`: a row has text instead of bytes in the column `b`"),
            (
                "1, NULL, x'00', 1, NULL, NULL",
                "`p_shop__one`: a row has bytes instead of what the column is for in the column `t`",
            ),
            (
                "1, NULL, 'a' || char(0), 1, NULL, NULL",
                "`p_shop__one`: a row has text with a NUL, which PostgreSQL does not know, in the column `t`",
            ),
            (
                "1, NULL, CAST(x'ff' AS TEXT), 1, NULL, NULL",
                "`p_shop__one`: a row has text that is not UTF-8 in the column `t`",
            ),
            (
                "1, NULL, NULL, 2, NULL, NULL",
                "`p_shop__one`: invalid input syntax for type boolean: \"2\" (line 2, column f)",
            ),
            ("1, NULL, NULL, 1, '{', NULL", "`p_shop__one`: invalid input syntax for type json (line 2, column j)"),
            (
                "1, NULL, NULL, 1, NULL, 'four'",
                "`p_shop__one`: value too long for type character varying(3) (line 2, column w)",
            ),
        ] {
            from.sql(&format!("DELETE FROM p_shop__one; INSERT INTO p_shop__one (id) VALUES (1); INSERT INTO p_shop__one VALUES (2, {row})"));
            let error = carry(&from.tables, &server.tables, &files).await.unwrap_err().to_string();
            assert!(error.starts_with("the plugin `shop`: ") && error.contains(told), "{row}: {error}");
            assert_eq!(server.left().await, "0 0 0 0", "{row}");
        }
        from.sql("DELETE FROM p_shop__one");
        assert_eq!(carry(&from.tables, &server.tables, &files).await.unwrap().rows, 100_000);
        let error = carry(&from.tables, &server.tables, &files).await.unwrap_err().to_string();
        assert_eq!(error, "the plugin `shop` has tables there already");
        assert_eq!(server.one("SELECT count(*)::text FROM p_shop__many").await, "100000");
    });
}

#[test]
fn what_sqlite_does_not_know_is_named_and_nothing_is_left() {
    let sqlite = "CREATE TABLE p_shop__one (id INTEGER PRIMARY KEY, x REAL, n NUMERIC, at INTEGER, up INTEGER REFERENCES p_shop__two (id));
        CREATE TABLE p_shop__two (id INTEGER PRIMARY KEY)";
    let postgres = "CREATE TABLE p_shop__two (id INTEGER PRIMARY KEY);
        CREATE TABLE p_shop__one (id INTEGER PRIMARY KEY, x REAL, n NUMERIC, at TIMESTAMPTZ, up INTEGER)";
    run(async move {
        let (server, to) = (OnServer::new().await, InFile::new());
        let files = both(1, sqlite, postgres);
        ready(&server.tables, &files).await;
        for (row, told) in [
            ("'NaN', 1, NULL, NULL", "`p_shop__one`: a row has NaN, which SQLite does not know, in the column `x`"),
            ("1, 'NaN', NULL, NULL", "`p_shop__one`: a row has NaN, which SQLite does not know, in the column `n`"),
            (
                "1, 1234567890123456789.5, NULL, NULL",
                "a row has a number with more digits than SQLite keeps in the column `n`",
            ),
            (
                "1, 1, 'infinity', NULL",
                "`p_shop__one`: a row has an infinite time, which SQLite does not know, in the column `at`",
            ),
            ("1, 1, NULL, 7", "`p_shop__one`: a row's `up` leads to a row of `p_shop__two` that is not there"),
        ] {
            server.sql(&format!("DELETE FROM p_shop__one; INSERT INTO p_shop__one VALUES (1, {row})")).await;
            let error = carry(&server.tables, &to.tables, &files).await.unwrap_err().to_string();
            assert!(error.starts_with("the plugin `shop`: ") && error.contains(told), "{row}: {error}");
            assert_eq!(to.rows(), [] as [&str; 0], "{row}");
        }
    });
}

#[test]
fn what_cannot_be_carried_is_said_before_anything_is_written() {
    run(async {
        let (from, server) = (InFile::new(), OnServer::new().await);
        let files = [file(1, None, "CREATE TABLE p_shop__one (id INTEGER PRIMARY KEY)")];
        ready(&from.tables, &files).await;
        let changed = [file(1, None, "CREATE TABLE p_shop__one (id INTEGER PRIMARY KEY);")];
        let error = carry(&from.tables, &server.tables, &changed).await.unwrap_err().to_string();
        assert!(error.starts_with("no version of the plugin `shop` is kept in this data directory"), "{error}");
        // Of a plugin that has migrations, and of one that has none.
        from.sql("CREATE TABLE p_shop__more (a INT); CREATE VIEW p_my_own__all AS SELECT 1");
        let error = carry(&from.tables, &server.tables, &files).await.unwrap_err().to_string();
        assert!(
            error.starts_with("no migration made `p_my_own__all`, `p_shop__more`, but a plugin while it ran"),
            "{error}"
        );
        let error = carry_but(&from.tables, &server.tables, &files, &["my-own"]).await.unwrap_err().to_string();
        assert!(error.starts_with("no migration made `p_shop__more`, but"), "{error}");
        let nothing = carry_but(&from.tables, &server.tables, &files, &["my-own", "shop"]).await.unwrap();
        assert_eq!(nothing, CarriedTables::default());
        // What a plugin added to a table that a migration made.
        from.sql("DROP TABLE p_shop__more; DROP VIEW p_my_own__all; ALTER TABLE p_shop__one ADD COLUMN extra TEXT");
        let error = carry(&from.tables, &server.tables, &files).await.unwrap_err().to_string();
        assert!(error.starts_with("the plugin `shop`: the column `extra` of `p_shop__one` is not made by"), "{error}");
        assert_eq!(server.left().await, "0 0 0 0");
        // Nothing is looked at where nothing was kept.
        let (nowhere, to) = (InFile::new(), InFile::new());
        assert_eq!(carry(&nowhere.tables, &server.tables, &files).await.unwrap(), CarriedTables::default());
        drop(to);
    });
}

#[test]
fn from_one_server_to_another() {
    run(async {
        let (from, to) = (OnServer::new().await, OnServer::new().await);
        let files = [file(
            1,
            None,
            "CREATE TABLE p_shop__one (id SERIAL PRIMARY KEY, at INTERVAL, many INTEGER[], of TEXT REFERENCES plugins (name) ON DELETE CASCADE);
             CREATE TABLE p_shop__days (day DATE, n NUMERIC) PARTITION BY RANGE (day);
             CREATE TABLE p_shop__days_1 PARTITION OF p_shop__days FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
        )];
        // A partition is more than a migration's words are read for: as the database has it.
        from.tables.make_ready(&shop(), &files, TableTerms::default()).await.unwrap();
        from.sql(
            "INSERT INTO p_shop__one (at, many, of) VALUES ('1 day -2 hours', '{1,NULL}', 'shop'), (NULL, '{}', NULL);
             INSERT INTO p_shop__days VALUES ('2020-02-29', 'NaN'), ('2020-03-01', 0.12345678901234567890123)",
        )
        .await;
        let carried = carry(&from.tables, &to.tables, &files).await.unwrap();
        assert_eq!((carried.tables, carried.rows), (2, 4));
        for question in [
            "SELECT string_agg(o::text, ' ' ORDER BY id) FROM p_shop__one o",
            "SELECT string_agg(d::text, ' ' ORDER BY day) FROM p_shop__days d",
            "SELECT string_agg(d::text, ' ' ORDER BY day) FROM p_shop__days_1 d",
            "SELECT last_value::text FROM p_shop__one_id_seq",
        ] {
            assert_eq!(to.one(question).await, from.one(question).await, "{question}");
        }
        from.sql("DELETE FROM plugins WHERE name = 'shop'").await;
        // Its key leads to a plugin that is not there.
        let third = OnServer::new().await;
        third.sql("DELETE FROM plugins WHERE name = 'shop'").await;
        let error = carry(&to.tables, &third.tables, &files).await.unwrap_err().to_string();
        assert!(
            error.contains("`p_shop__one`: insert or update on table \"p_shop__one\" violates foreign key constraint"),
            "{error}"
        );
        assert!(error.ends_with("Key (of)=(shop) is not present in table \"plugins\"."), "{error}");
        assert_eq!(third.left().await, "0 0 0 0");
    });
}
