//! A file of plugins' tables, with what the host and another plugin keep in it.

use camlock_policy::migrations::MigrationFile;
use camlock_services::database::{
    MigrationError, TableChange,
    names::TableNames,
    sqlite::{self, FencedConnection},
};
use rusqlite::{Batch, Connection, fallible_iterator::FallibleIterator};
use std::{path::PathBuf, time::Duration};
use tempfile::TempDir;

pub(crate) const WITHIN: Duration = Duration::from_secs(10);

/// What nobody but its owner may see.
pub(crate) const SECRET: &str = "a secret of others";

const SETUP: &str = "
    CREATE TABLE plugin_storage (plugin TEXT, key TEXT, value BLOB, PRIMARY KEY (plugin, key));
    INSERT INTO plugin_storage VALUES ('other', 'token', 'a secret of others');
    CREATE TABLE p_other__things (id INTEGER PRIMARY KEY AUTOINCREMENT, word TEXT UNIQUE);
    INSERT INTO p_other__things (word) VALUES ('a secret of others'), ('two');
    CREATE INDEX p_other__by_word ON p_other__things (word);
    CREATE VIEW p_other__all AS SELECT * FROM p_other__things;
    INSERT INTO _plugin_migrations (plugin, number, name, checksum, contracts) VALUES ('other', 1, 'a', 'a secret of others', 0);";

pub(crate) const OWN: &str = "
    CREATE TABLE p_shop__orders (id INTEGER PRIMARY KEY AUTOINCREMENT, note TEXT NOT NULL);
    INSERT INTO p_shop__orders (note) VALUES ('mine'), ('mine too');
    CREATE VIEW p_shop__notes AS SELECT note FROM p_shop__orders;";

pub(crate) fn file(number: u32, text: &str) -> MigrationFile {
    MigrationFile { number, name: "trick".to_owned(), dialect: None, text: text.into() }
}

/// A place of its own.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) connection: FencedConnection,
    pub(crate) names: TableNames,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let connection = Connection::open(directory.path().join("plugins.db")).unwrap();
        connection.pragma_update(None, "synchronous", "off").unwrap();
        sqlite::prepare(&connection).unwrap();
        connection.execute_batch(SETUP).unwrap();
        let mut connection = FencedConnection::new(connection).unwrap();
        sqlite::migrate(&mut connection, "shop", &TableChange::Migration(file(1, OWN)), WITHIN).unwrap();
        Place { directory, connection, names: TableNames::of("shop") }
    }

    pub(crate) fn migrate(&mut self, number: u32, text: &str) -> Result<(), MigrationError> {
        sqlite::migrate(&mut self.connection, "shop", &TableChange::Migration(file(number, text)), WITHIN)
    }

    /// Runs all statements of a text as the plugin does, and reads all that comes: what it saw, and where it ended.
    pub(crate) fn run(&self, text: &str, within: Duration) -> (Vec<String>, rusqlite::Result<()>) {
        let ran = self.connection.as_plugin(&self.names, within, |connection| {
            let mut seen = Vec::new();
            let mut batch = Batch::new(connection, text);
            let ended = (|| {
                while let Some(mut statement) = batch.next()? {
                    let columns = statement.column_count();
                    let mut rows = statement.raw_query();
                    while let Some(row) = rows.next()? {
                        for column in 0..columns {
                            seen.push(format!("{:?}", row.get_ref(column)?));
                            if let Ok(text) = row.get_ref(column)?.as_bytes() {
                                seen.push(String::from_utf8_lossy(text).into_owned());
                            }
                        }
                    }
                }
                Ok(())
            })();
            Ok((seen, ended))
        });
        ran.unwrap()
    }

    /// All that the plugin must not change.
    pub(crate) fn others(&mut self) -> Vec<String> {
        let connection = self.connection.as_host();
        let mut all = vec![format!("in a transaction: {}", !connection.is_autocommit())];
        for question in [
            "SELECT type || name || tbl_name || ifnull(sql, '') FROM sqlite_schema \
             WHERE tbl_name NOT IN ('p_shop__orders', 'p_shop__notes') AND NOT (name GLOB 'p_shop__[a-z]*' AND tbl_name GLOB 'p_shop__[a-z]*')",
            "SELECT 'temporary ' || name FROM sqlite_temp_schema",
            "SELECT plugin || key || value FROM plugin_storage",
            "SELECT id || word FROM p_other__things",
            "SELECT name || seq FROM sqlite_sequence WHERE name NOT GLOB 'p_shop__*'",
            "SELECT plugin || number || name || checksum FROM _plugin_migrations WHERE plugin <> 'shop'",
            "SELECT name || file FROM pragma_database_list",
            "SELECT user_version FROM pragma_user_version",
            "SELECT application_id FROM pragma_application_id",
            "SELECT foreign_keys FROM pragma_foreign_keys",
            "SELECT integrity_check FROM pragma_integrity_check",
        ] {
            let mut read = connection.prepare(question).unwrap();
            let rows = read.query_map([], |row| Ok(format!("{:?}", row.get_ref(0)?))).unwrap();
            all.extend(rows.map(|row| format!("{}: {}", &question[..20], row.unwrap())));
        }
        let settings =
            ["journal_mode", "writable_schema", "synchronous", "temp_store", "recursive_triggers", "trusted_schema"];
        for setting in settings {
            let value = connection.pragma_query_value(None, setting, |row| Ok(format!("{:?}", row.get_ref(0)?)));
            all.push(format!("{setting}: {}", value.unwrap()));
        }
        all.extend(self.files().into_iter().map(|file| file.display().to_string()));
        all
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = self.directory.path().read_dir().unwrap().map(|file| file.unwrap().path()).collect();
        files.retain(|file| file.extension().is_none_or(|end| end != "db-journal"));
        files.sort();
        files
    }
}

#[test]
fn a_plugin_reads_and_writes_its_own_rows() {
    let place = Place::new();
    for text in [
        "INSERT INTO p_shop__orders (note) VALUES ('a') RETURNING id",
        "UPDATE p_shop__orders SET note = upper(note) WHERE id = 1",
        "DELETE FROM p_shop__orders WHERE id = 2",
        "WITH n (i) AS (SELECT id FROM p_shop__orders) SELECT count(*) FROM n",
        "SELECT count(*), max(note) FROM p_shop__orders",
        "SELECT * FROM p_shop__notes ORDER BY 1 LIMIT 1",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i, note FROM n, p_shop__orders",
        "SELECT value FROM json_each('[1, 2]')",
        "INSERT INTO p_shop__orders (id, note) VALUES (1, 'b') ON CONFLICT (id) DO UPDATE SET note = excluded.note",
    ] {
        assert_eq!(place.run(text, WITHIN).1, Ok(()), "{text}");
    }
}

#[test]
fn migrations_make_and_change_tables() {
    let mut place = Place::new();
    for (number, text) in [
        (
            2,
            "CREATE TABLE p_shop__lines (id INTEGER PRIMARY KEY, order_id INTEGER REFERENCES p_shop__orders (id), UNIQUE (order_id))",
        ),
        (
            3,
            "ALTER TABLE p_shop__orders ADD COLUMN price REAL NOT NULL DEFAULT 1 CHECK (price > 0); UPDATE p_shop__orders SET price = 2",
        ),
        (4, "CREATE INDEX p_shop__by_price ON p_shop__orders (price); DROP VIEW p_shop__notes"),
        (
            5,
            "ALTER TABLE p_shop__orders RENAME COLUMN note TO words; ALTER TABLE p_shop__orders RENAME TO p_shop__bought",
        ),
        (6, "ALTER TABLE p_shop__bought DROP COLUMN words; DROP INDEX p_shop__by_price; DROP TABLE p_shop__lines"),
    ] {
        place.migrate(number, text).unwrap_or_else(|error| panic!("{error}"));
    }
    let on_record = sqlite::applied(place.connection.as_host(), "shop").unwrap();
    assert_eq!(on_record.iter().map(|applied| applied.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    let before = place.others();
    sqlite::drop_tables(&mut place.connection, "shop").unwrap();
    assert_eq!(place.others(), before);
    assert_eq!(sqlite::applied(place.connection.as_host(), "shop").unwrap(), []);
}

#[test]
fn a_migration_runs_once_and_wholly() {
    let mut place = Place::new();
    let again = "INSERT INTO p_shop__orders (note) VALUES ('once')";
    place.migrate(2, again).unwrap();
    place.migrate(2, again).unwrap();
    let count = "SELECT 'n' || count(*) FROM p_shop__orders WHERE note = 'once'";
    assert!(place.run(count, WITHIN).0.contains(&"n1".to_owned()));
    let refused = place.migrate(2, "SELECT 1").unwrap_err();
    assert_eq!(refused.to_string(), "`migrations/0002_trick.sql` is not what has run as number 0002");
    let half = "CREATE TABLE p_shop__half (a INT); INSERT INTO p_shop__half VALUES (1); SELECT * FROM nowhere";
    assert!(matches!(place.migrate(3, half), Err(MigrationError::Failed { .. })));
    place.migrate(3, "CREATE TABLE p_shop__half (a INT)").unwrap();
}

#[test]
fn what_renaming_hides_is_found_in_the_catalog() {
    let mut place = Place::new();
    let before = place.others();
    for (text, told) in [
        ("ALTER TABLE p_shop__orders RENAME TO plugins", "it made or changed the table `plugins`"),
        ("ALTER TABLE p_shop__orders RENAME TO p_other__orders", "it made or changed the table `p_other__orders`"),
        (
            "CREATE TABLE p_shop__key (a REFERENCES p_other__things (id) ON DELETE RESTRICT)",
            "a foreign key of `p_shop__key` leads to `p_other__things`",
        ),
        ("UPDATE sqlite_sequence SET seq = 0 WHERE name = 'p_other__things'", "it changed the counters of tables"),
        ("CREATE VIEW p_shop__v AS SELECT * FROM p_other__things", "its view `p_shop__v` cannot be read by the plugin"),
        ("CREATE VIEW p_shop__v AS SELECT * FROM nowhere", "its view `p_shop__v` cannot be read by the plugin"),
    ] {
        let escaped = place.migrate(2, text).unwrap_err();
        assert!(matches!(&escaped, MigrationError::Escaped { what, .. } if what.contains(told)), "{text}: {escaped}");
        assert_eq!(place.others(), before, "{text}");
    }
}

#[test]
fn what_takes_too_long_is_interrupted() {
    let mut place = Place::new();
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let (_, ended) = place.run(endless, Duration::from_millis(50));
    assert_eq!(ended.unwrap_err().sqlite_error_code(), Some(rusqlite::ErrorCode::OperationInterrupted));
    let text = format!("INSERT INTO p_shop__orders (note) {endless}");
    let late = sqlite::migrate(
        &mut place.connection,
        "shop",
        &TableChange::Migration(file(2, &text)),
        Duration::from_millis(50),
    )
    .unwrap_err();
    assert!(late.to_string().contains("interrupted"), "{late}");
    assert_eq!(place.run("SELECT 1", WITHIN).1, Ok(()), "the connection goes on");
}
