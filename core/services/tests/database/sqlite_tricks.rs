//! Whatever SQL a plugin may try to leave its tables with, in a migration and at run time: nothing that is not its own changes, and
//! nothing of it is seen.

use crate::sqlite::{Place, SECRET, WITHIN};

const TRICKS: &[&str] = &[
    // Other tables, by whatever name.
    "SELECT * FROM plugin_storage",
    "SELECT * FROM \"plugin_storage\"",
    "SELECT * FROM [plugin_storage]",
    "SELECT * FROM `plugin_storage`",
    "SELECT * FROM 'plugin_storage'",
    "SELECT * FROM PLUGIN_STORAGE",
    "SELECT * FROM main.plugin_storage",
    "SELECT * FROM/**/plugin_storage",
    "SELECT * FROM p_shop__orders, plugin_storage",
    "SELECT * FROM p_shop__orders JOIN p_other__things USING (id)",
    "SELECT * FROM p_other__all",
    "SELECT (SELECT value FROM plugin_storage)",
    "SELECT note FROM p_shop__orders WHERE note IN (SELECT word FROM p_other__things)",
    "SELECT note FROM p_shop__orders UNION SELECT word FROM p_other__things",
    "WITH p_shop__x AS (SELECT * FROM plugin_storage) SELECT * FROM p_shop__x",
    "WITH p_other__things AS (SELECT * FROM plugin_storage) SELECT * FROM p_other__things",
    "WITH RECURSIVE n AS (SELECT value FROM plugin_storage UNION SELECT * FROM n) SELECT * FROM n",
    "SELECT count(*) FROM plugin_storage",
    "SELECT count(*) FROM Plugin_Storage AS p_shop__orders",
    "SELECT count(*) FROM pragma_table_list",
    "SELECT EXISTS (SELECT 1 FROM plugin_storage)",
    "SELECT * FROM p_shop__orders ORDER BY (SELECT value FROM plugin_storage)",
    "SELECT group_concat(value) OVER () FROM plugin_storage",
    "VALUES ((SELECT value FROM plugin_storage))",
    "SELECT * FROM _plugin_migrations",
    "EXPLAIN SELECT * FROM plugin_storage",
    "EXPLAIN QUERY PLAN SELECT * FROM plugin_storage",
    // Changes of them.
    "INSERT INTO plugin_storage VALUES ('shop', 'a', 'b')",
    "INSERT OR REPLACE INTO plugin_storage VALUES ('other', 'token', 'mine')",
    "REPLACE INTO plugin_storage VALUES ('other', 'token', 'mine')",
    "UPDATE plugin_storage SET value = 'mine'",
    "UPDATE p_shop__orders SET note = value FROM plugin_storage",
    "DELETE FROM plugin_storage",
    "DELETE FROM p_other__things WHERE 1",
    "INSERT INTO p_shop__orders (note) SELECT value FROM plugin_storage RETURNING note",
    "INSERT INTO p_shop__orders (note) VALUES ('x') RETURNING (SELECT value FROM plugin_storage)",
    "INSERT INTO p_shop__orders (id, note) VALUES (1, 'x') ON CONFLICT DO UPDATE SET note = (SELECT value FROM plugin_storage)",
    "UPDATE p_other__things SET id = id + 1",
    "INSERT INTO p_other__all VALUES (9, 'x')",
    "DELETE FROM _plugin_migrations",
    "INSERT INTO _plugin_migrations VALUES ('other', 2, 'b', 'c', 0, 'now')",
    // Several statements, comments, quotes.
    "SELECT 1; DELETE FROM plugin_storage",
    "SELECT 1;;;;DELETE FROM p_other__things;",
    "SELECT 1 -- ;\n; DELETE FROM plugin_storage --",
    "/* SELECT */ DELETE /* x */ FROM /* y */ plugin_storage",
    "SELECT ';'; DELETE FROM plugin_storage",
    "SELECT '''; DELETE FROM x'; DELETE FROM plugin_storage",
    "\u{feff}DELETE FROM plugin_storage",
    "DELETE FROM plugin_storage\u{0}",
    "DELETE FROM plu\u{0}gin_storage",
    "DELETE FROM \u{ff50}lugin_storage",
    "DELETE FROM p_shop__orders; DELETE FROM \"p_other__things\"; --p_shop__",
    // Making and changing.
    "CREATE TABLE plugins (name)",
    "CREATE TABLE IF NOT EXISTS plugins AS SELECT 1",
    "CREATE TABLE p_other__more (a)",
    "CREATE TABLE \"P_SHOP__orders2\" (a)",
    "CREATE TABLE \"p_shop__\u{0} x\" (a)",
    "CREATE TABLE p_shop__copy AS SELECT * FROM plugin_storage",
    "CREATE TABLE p_shop__key (a REFERENCES p_other__things (id) ON DELETE CASCADE)",
    "CREATE TABLE p_shop__key (a REFERENCES P_OTHER__THINGS (id) ON DELETE SET NULL)",
    "CREATE TABLE p_shop__key (a REFERENCES plugin_storage)",
    "CREATE TEMP TABLE plugin_storage (plugin, key, value)",
    "CREATE TABLE temp.p_shop__t (a)",
    "CREATE TEMP VIEW p_other__things AS SELECT 1",
    "CREATE VIEW p_shop__spy AS SELECT * FROM plugin_storage",
    "CREATE VIEW p_shop__spy AS SELECT * FROM p_other__things; SELECT * FROM p_shop__spy",
    "CREATE VIEW p_other__v AS SELECT 1",
    "DROP VIEW p_other__all",
    "DROP TABLE p_other__things",
    "DROP TABLE IF EXISTS main.\"plugin_storage\"",
    "DROP INDEX p_other__by_word",
    "CREATE INDEX p_shop__i ON p_other__things (id)",
    "CREATE INDEX p_other__i ON p_shop__orders (note)",
    "CREATE INDEX p_shop__i ON p_shop__orders ((SELECT value FROM plugin_storage))",
    "CREATE UNIQUE INDEX sqlite_autoindex_x ON p_shop__orders (note)",
    "ALTER TABLE p_shop__orders RENAME TO orders",
    "ALTER TABLE p_shop__orders RENAME TO p_other__orders",
    "ALTER TABLE p_shop__orders RENAME TO \"p_shop__Orders\"",
    "ALTER TABLE p_shop__orders RENAME TO sqlite_mine",
    "ALTER TABLE p_other__things RENAME TO p_shop__things",
    "ALTER TABLE p_other__things RENAME COLUMN word TO w",
    "ALTER TABLE p_other__things ADD COLUMN mine TEXT",
    "ALTER TABLE p_other__things DROP COLUMN word",
    "ALTER TABLE plugin_storage RENAME TO p_shop__storage",
    "CREATE TRIGGER p_shop__t AFTER INSERT ON p_shop__orders BEGIN DELETE FROM plugin_storage; END; INSERT INTO p_shop__orders (note) VALUES ('x')",
    "CREATE TRIGGER p_shop__t AFTER INSERT ON p_other__things BEGIN INSERT INTO p_shop__orders (note) VALUES (new.word); END",
    "CREATE TRIGGER p_shop__t INSTEAD OF INSERT ON p_shop__notes BEGIN DELETE FROM p_other__things; END",
    "CREATE TEMP TRIGGER t AFTER INSERT ON main.p_other__things BEGIN SELECT 1; END",
    "CREATE VIRTUAL TABLE p_shop__f USING fts5 (a)",
    "CREATE VIRTUAL TABLE p_shop__d USING dbstat",
    "CREATE VIRTUAL TABLE p_shop__d USING sqlite_dbpage",
    // The catalog and the counters.
    "DELETE FROM sqlite_master",
    "DELETE FROM sqlite_schema WHERE name = 'plugin_storage'",
    "UPDATE sqlite_master SET sql = 'CREATE TABLE plugin_storage (a)' WHERE name = 'plugin_storage'",
    "INSERT INTO sqlite_master VALUES ('table', 'x', 'x', 2, 'CREATE TABLE x (a)')",
    "CREATE TABLE sqlite_sequence (name, seq)",
    "DROP TABLE sqlite_sequence",
    "UPDATE sqlite_sequence SET seq = 0",
    "DELETE FROM sqlite_sequence WHERE name = 'p_other__things'",
    "INSERT INTO sqlite_sequence VALUES ('p_other__new', 5)",
    "SELECT * FROM sqlite_temp_master",
    "SELECT * FROM sqlite_dbpage",
    "SELECT * FROM dbstat",
    "ANALYZE",
    "ANALYZE p_other__things",
    "REINDEX p_other__things",
    "REINDEX",
    // Settings.
    "PRAGMA writable_schema = ON; DELETE FROM sqlite_master",
    "PRAGMA main.writable_schema = 1",
    "PRAGMA user_version = 7",
    "PRAGMA application_id = 7",
    "PRAGMA foreign_keys = OFF",
    "PRAGMA journal_mode = MEMORY",
    "PRAGMA synchronous = FULL",
    "PRAGMA recursive_triggers = ON",
    "PRAGMA trusted_schema = ON",
    "PRAGMA temp_store_directory = '/tmp'",
    "PRAGMA data_store_directory = '/tmp'",
    "PRAGMA table_info(plugin_storage)",
    "PRAGMA hard_heap_limit = 1",
    "PRAGMA max_page_count = 1",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA incremental_vacuum",
    "PRAGMA quick_check(plugin_storage)",
    "SELECT * FROM pragma_table_info('plugin_storage')",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM pragma_user_version(7)",
    "SELECT * FROM pragma_table_list",
    // Other files, and code.
    "ATTACH 'plugins.db' AS other",
    "ATTACH ':memory:' AS other",
    "ATTACH DATABASE 'file:x.db?mode=rwc' AS x; CREATE TABLE x.t (a)",
    "DETACH main",
    "VACUUM",
    "VACUUM INTO 'copy.db'",
    "SELECT load_extension('x')",
    "SELECT load_extension('x', 'y')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT readfile('/etc/passwd')",
    "SELECT writefile('out', 'x')",
    "SELECT edit('x')",
    "SELECT sqlite_log(1, 'x')",
    "SELECT sqlite_rename_table('main', 'table', 'x', 'CREATE TABLE x (a)', 'x', 'y', 0)",
    // Transactions.
    "COMMIT; DELETE FROM plugin_storage",
    "COMMIT; CREATE TABLE plugins (a)",
    "END; ALTER TABLE p_shop__orders RENAME TO escaped; BEGIN",
    "ROLLBACK; BEGIN; ALTER TABLE p_shop__orders RENAME TO escaped",
    "BEGIN; SELECT 1",
    "BEGIN EXCLUSIVE",
    "SAVEPOINT a; ALTER TABLE p_shop__orders RENAME TO escaped; RELEASE a",
    "RELEASE a",
    // Too much of something.
    "SELECT zeroblob(1000000000)",
    "SELECT randomblob(2000000000)",
    "SELECT printf('%1000000000s', 'x')",
    "SELECT length(replace(hex(zeroblob(30000000)), '0', '00000000'))",
];

#[test]
fn at_run_time() {
    for trick in TRICKS {
        let mut place = Place::new();
        let before = place.others();
        let (seen, _) = place.run(trick, WITHIN);
        assert!(!seen.iter().any(|seen| seen.contains(SECRET) || seen.contains("plugin_storage")), "{trick}: {seen:?}");
        assert_eq!(place.others(), before, "{trick}");
        assert_eq!(place.run("SELECT * FROM p_shop__orders", WITHIN).1, Ok(()), "{trick}");
    }
}

#[test]
fn by_migration() {
    for trick in TRICKS {
        let mut place = Place::new();
        let before = place.others();
        let done = place.migrate(2, trick);
        assert_eq!(place.others(), before, "{trick}: {done:?}");
        for table in ["p_shop__orders", "p_shop__copy", "p_shop__spy", "p_shop__storage", "p_shop__things"] {
            let (seen, _) = place.run(&format!("SELECT * FROM {table}"), WITHIN);
            assert!(!seen.iter().any(|seen| seen.contains(SECRET)), "{trick}: {done:?}: {seen:?}");
        }
    }
}

#[test]
fn a_plugin_in_a_transaction_of_the_host() {
    for trick in TRICKS {
        let mut place = Place::new();
        let before = place.others();
        place.connection.as_host().execute_batch("BEGIN").unwrap();
        let _ = place.run("INSERT INTO p_shop__orders (note) VALUES ('taken back')", WITHIN);
        let _ = place.run(trick, WITHIN);
        assert!(!place.connection.as_host().is_autocommit(), "{trick}");
        place.connection.as_host().execute_batch("ROLLBACK").unwrap();
        assert_eq!(place.others(), before, "{trick}");
        let (seen, _) = place.run("SELECT note FROM p_shop__orders", WITHIN);
        assert!(!seen.iter().any(|seen| seen == "taken back"), "{trick}");
    }
}
