//! Whether what is there is ours, and bringing it up to date. What is not ours, or newer than this program, is not touched.

use crate::{
    Trouble, TroubleKind,
    address::Address,
    connection::{DatabaseConnection, Dialect, Either, Value},
    database::Word,
};
use diesel::{migration::MigrationSource, pg::Pg, sqlite::Sqlite};
use diesel_async::AsyncMigrationHarness;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

const SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");

/// Where the migrations that were applied are on record.
const APPLIED: &str = "__diesel_schema_migrations";

/// The table that is locked while tables are made. Nothing lies in it.
const LOCK: &str = "_schema_lock";

/// Processes that make tables in one file at the same time get into each other's way so often.
const ATTEMPTS: u32 = 40;

/// A file that is no larger than this is looked through when it is opened.
const LOOKED_THROUGH: u64 = 64 << 20;

/// How the schema stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is nothing yet.
    Empty,
    /// So many migrations are lacking.
    Older(usize),
    /// It is what this program works with.
    Current,
}

/// Looks at the schema, and changes nothing.
pub(crate) async fn look(address: &Address) -> Result<Standing, Trouble> {
    // SQLite would make the file.
    if let Address::Sqlite(path) = address
        && path.try_exists().is_ok_and(|there| !there)
        && path.parent().is_some_and(Path::is_dir)
    {
        return Ok(Standing::Empty);
    }
    let mut connection = DatabaseConnection::open_to_look(address, &Arc::new(AtomicU64::new(0))).await?;
    standing(address, &mut connection).await
}

/// Brings the schema up to date.
pub(crate) async fn bring_up(address: &Address, queries: &Arc<AtomicU64>) -> Result<(), Trouble> {
    if let Address::Sqlite(path) = address {
        keep_private(path);
    }
    let mut attempts = 0;
    loop {
        let mut connection = DatabaseConnection::open_to_look(address, queries).await?;
        if standing(address, &mut connection).await? == Standing::Current {
            return Ok(());
        }
        drop(connection);
        let mut connection = DatabaseConnection::open_to_change(address, queries).await?;
        let _alone = match address {
            Address::Sqlite(_) => None,
            Address::Postgres { schema, .. } => {
                let alone = wait_for_others(address, schema, queries).await?;
                // What was read before may be outdated.
                if standing(address, &mut connection).await? == Standing::Current {
                    return Ok(());
                }
                Some(alone)
            }
        };
        let Err(failed) = migrate(connection).await else { return Ok(()) };
        let failed = failed.replace('\n', " ");
        match address {
            Address::Postgres { schema, .. } => {
                return Err(Trouble::passing(format!(
                    "the tables could not be made in schema `{schema}` of {address} ({failed}); the user needs the right to \
                     create them"
                )));
            }
            // Another process may be at it: it ends soon.
            Address::Sqlite(_) if attempts < ATTEMPTS => tokio::time::sleep(Duration::from_millis(50)).await,
            Address::Sqlite(_) => return Err(Trouble::of_sqlite(address, &failed)),
        }
        attempts += 1;
    }
}

/// Waits for others who are making tables, and keeps them from it as long as the connection is there that comes back.
///
/// What is locked is a table, which plugins' roles may not touch; a number they could name.
async fn wait_for_others(
    address: &Address,
    schema: &str,
    queries: &Arc<AtomicU64>,
) -> Result<DatabaseConnection, Trouble> {
    let of = |error| Trouble::of_using(address, &error);
    let mut connection = DatabaseConnection::open_to_change(address, queries).await?;
    let there = "SELECT nspname::text AS word FROM pg_namespace WHERE nspname = $1";
    if connection.rows::<Word>(there, vec![schema.into()]).await.map_err(of)?.is_empty() {
        connection.batch(&unless_it_is_there(&format!("CREATE SCHEMA \"{schema}\""))).await.map_err(of)?;
    }
    let lock = format!("CREATE TABLE IF NOT EXISTS \"{schema}\".{LOCK} ()");
    connection.batch(&unless_it_is_there(&lock)).await.map_err(of)?;
    let alone = format!("BEGIN; LOCK TABLE \"{schema}\".{LOCK} IN ACCESS EXCLUSIVE MODE");
    connection.batch(&alone).await.map_err(of)?;
    Ok(connection)
}

/// Others may make the same thing at the same moment: then PostgreSQL says that it is there, or that its catalog has it twice.
fn unless_it_is_there(make: &str) -> String {
    let there = "duplicate_schema OR duplicate_table OR duplicate_object OR unique_violation";
    format!("DO $make$ BEGIN {make}; EXCEPTION WHEN {there} THEN NULL; END $make$")
}

/// Takes the schema down again, migration by migration: for tests, and for going back to an older program.
pub(crate) async fn take_down(address: &Address, steps: usize) -> Result<(), Trouble> {
    let connection = DatabaseConnection::open_to_change(address, &Arc::new(AtomicU64::new(0))).await?;
    let done = tokio::task::spawn_blocking(move || match connection.either {
        Either::Sqlite(connection) => revert(AsyncMigrationHarness::new(connection), SQLITE, steps),
        Either::Postgres(connection) => revert(AsyncMigrationHarness::new(*connection), POSTGRES, steps),
    });
    let done = done.await.unwrap_or_else(|error| Err(error.to_string()));
    done.map_err(|error| Trouble::passing(format!("{address} was not taken down ({error})")))
}

/// Only its owner may read it: it knows hashes of tokens, and configurations.
fn keep_private(path: &Path) {
    use std::os::unix::fs::OpenOptionsExt;
    let _ = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
}

/// Looks, at one moment: others may be about to make the tables.
async fn standing(address: &Address, connection: &mut DatabaseConnection) -> Result<Standing, Trouble> {
    let of = |error| Trouble::of_using(address, &error);
    let begin = match connection.dialect {
        Dialect::Sqlite => "BEGIN",
        Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    };
    connection.batch(begin).await.map_err(of)?;
    // Whoever sees an error gives the connection up.
    let standing = standing_now(address, connection).await?;
    connection.batch("COMMIT").await.map_err(of)?;
    Ok(standing)
}

async fn standing_now(address: &Address, connection: &mut DatabaseConnection) -> Result<Standing, Trouble> {
    let of = |error| Trouble::of_using(address, &error);
    let tables = match address {
        Address::Sqlite(path) => {
            if std::fs::metadata(path).is_ok_and(|file| file.len() <= LOOKED_THROUGH) {
                let found = connection.rows::<Check>("PRAGMA quick_check(1)", vec![]).await.map_err(of)?;
                if let Some(damage) = found.iter().find(|line| line.quick_check != "ok") {
                    let damage = damage.quick_check.replace('\n', " ");
                    return Err(Trouble::of_sqlite(address, &format!("malformed: {damage}")));
                }
            }
            let tables =
                "SELECT name AS word FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite%'";
            connection.rows::<Word>(tables, vec![]).await.map_err(of)?
        }
        Address::Postgres { schema, .. } => {
            let number = "SELECT current_setting('server_version_num') AS word";
            let version = connection.rows::<Word>(number, vec![]).await.map_err(of)?;
            if version
                .first()
                .and_then(|version| version.word.parse::<u32>().ok())
                .is_some_and(|version| version < 130_000)
            {
                let sentence = format!("{address} is older than PostgreSQL 13; Camlock needs 13 or later");
                return Err(Trouble::new(TroubleKind::Settings, sentence));
            }
            let tables = "SELECT relname::text AS word FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace \
                 WHERE nspname = $1 AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')";
            connection.rows::<Word>(tables, vec![schema.into()]).await.map_err(of)?
        }
    };
    let place = address.place();
    let mut tables: BTreeSet<String> = tables.into_iter().map(|table| table.word).collect();
    tables.remove(LOCK);
    if tables.is_empty() {
        return Ok(Standing::Empty);
    }
    let known = known(connection.dialect);
    let applied: BTreeSet<String> = if tables.contains(APPLIED) {
        let applied = format!("SELECT CAST(version AS TEXT) AS word FROM {APPLIED}");
        let applied = connection.rows::<Word>(&applied, Vec::<Value>::new()).await.map_err(of)?;
        applied.into_iter().map(|version| version.word).collect()
    } else {
        BTreeSet::new()
    };
    let first = known.first().expect("there are migrations");
    if applied.is_empty() && tables.iter().all(|table| table == APPLIED) {
        return Ok(Standing::Empty);
    }
    if !applied.contains(first) {
        let some = tables.iter().find(|table| *table != APPLIED).cloned().unwrap_or_default();
        let instead = match address {
            Address::Sqlite(_) => "name another file in `database.url`",
            Address::Postgres { .. } => "name another schema in `database.schema`",
        };
        return Err(Trouble::new(
            TroubleKind::Foreign,
            format!("{place} holds tables that are not Camlock's, `{some}` for one; nothing was changed: {instead}"),
        ));
    }
    if let Some(newer) = applied.difference(&known).next() {
        return Err(Trouble::new(
            TroubleKind::Newer,
            format!(
                "{place} was brought up to date by a newer Camlock (it has {newer}); nothing was changed: start that version \
                 or a later one here"
            ),
        ));
    }
    if let Some(missing) = ours(connection.dialect, &applied).difference(&tables).next() {
        return Err(Trouble::new(
            TroubleKind::Corrupt,
            format!(
                "{place} is Camlock's, and its table `{missing}` is missing. It is kept as it is: put a backup in its place, or \
                 move it away to begin with an empty registry"
            ),
        ));
    }
    match known.difference(&applied).count() {
        0 => Ok(Standing::Current),
        lacking => Ok(Standing::Older(lacking)),
    }
}

/// The tables and views that these migrations made.
fn ours(dialect: Dialect, applied: &BTreeSet<String>) -> BTreeSet<String> {
    let made = |line: &str| {
        let rest = line.strip_prefix("CREATE TABLE ").or_else(|| line.strip_prefix("CREATE VIEW "))?;
        rest.split([' ', '(']).next().map(str::to_owned)
    };
    texts(dialect, applied).flat_map(|text| text.lines().filter_map(made)).collect()
}

/// The texts of these migrations.
fn texts(dialect: Dialect, applied: &BTreeSet<String>) -> impl Iterator<Item = &'static str> {
    macro_rules! migrations {
        ($database:literal: $($name:literal)*) => {
            vec![$(($name, include_str!(concat!("../../../migrations/", $database, "/", $name, "/up.sql")))),*]
        };
    }
    let texts: Vec<(&str, &str)> = match dialect {
        Dialect::Sqlite => migrations!("sqlite":
            "2026-11-26-000001_tables"
            "2026-11-26-000002_decisions"
            "2026-11-29-000001_grants"
            "2026-11-29-000004_secrets"
            "2026-11-29-000009_isolation"
            "2026-11-29-000016_catalogs"
            "2026-11-29-000021_discovery"
            "2026-11-29-000022_catalog_policies"
            "2026-11-29-000025_layouts"
            "2026-11-30-000030_catalog_demands"
        ),
        // What plugins keep lies in a file of its own with SQLite.
        Dialect::Postgres => migrations!("postgres":
            "2026-11-26-000001_tables"
            "2026-11-26-000002_decisions"
            "2026-11-29-000001_grants"
            "2026-11-29-000003_storage"
            "2026-11-29-000004_secrets"
            "2026-11-29-000005_plugin_tables"
            "2026-11-29-000006_executions"
            "2026-11-29-000007_events"
            "2026-11-29-000008_tasks"
            "2026-11-29-000009_isolation"
            "2026-11-29-000016_catalogs"
            "2026-11-29-000020_analytics"
            "2026-11-29-000021_discovery"
            "2026-11-29-000022_catalog_policies"
            "2026-11-29-000023_emit_grants"
            "2026-11-29-000025_layouts"
            "2026-11-30-000030_catalog_demands"
        ),
    };
    texts.into_iter().filter(|(name, _)| applied.contains(&version_of(name))).map(|(_, text)| text)
}

/// A migration's version, as it is on record: what stands before its name, without hyphens.
fn version_of(name: &str) -> String {
    name.split('_').next().unwrap_or_default().replace('-', "")
}

#[derive(diesel::QueryableByName)]
struct Check {
    #[diesel(sql_type = diesel::sql_types::Text)]
    quick_check: String,
}

/// The migrations that this program knows.
fn known(dialect: Dialect) -> BTreeSet<String> {
    fn names<DB: diesel::backend::Backend>(source: EmbeddedMigrations) -> BTreeSet<String> {
        let migrations = MigrationSource::<DB>::migrations(&source).expect("embedded migrations can be read");
        migrations.iter().map(|migration| migration.name().version().to_string()).collect()
    }
    match dialect {
        Dialect::Sqlite => names::<Sqlite>(SQLITE),
        Dialect::Postgres => names::<Pg>(POSTGRES),
    }
}

/// Migrations are blocking work.
async fn migrate(connection: DatabaseConnection) -> Result<(), String> {
    let done = tokio::task::spawn_blocking(move || match connection.either {
        Either::Sqlite(connection) => apply(AsyncMigrationHarness::new(connection), SQLITE),
        Either::Postgres(connection) => apply(AsyncMigrationHarness::new(*connection), POSTGRES),
    });
    done.await.unwrap_or_else(|error| Err(error.to_string()))
}

fn apply<DB: diesel::backend::Backend>(
    mut harness: impl MigrationHarness<DB>,
    migrations: EmbeddedMigrations,
) -> Result<(), String> {
    harness.run_pending_migrations(migrations).map(drop).map_err(|error| error.to_string())
}

fn revert<DB: diesel::backend::Backend>(
    mut harness: impl MigrationHarness<DB>,
    migrations: EmbeddedMigrations,
    steps: usize,
) -> Result<(), String> {
    let mut known = MigrationSource::<DB>::migrations(&migrations).map_err(|error| error.to_string())?;
    known.sort_by_key(|migration| migration.name().version().as_owned());
    for _ in 0..steps {
        let applied = harness.applied_migrations().map_err(|error| error.to_string())?;
        let last = known.iter().rev().find(|migration| applied.contains(&migration.name().version().as_owned()));
        let Some(last) = last else { break };
        harness.revert_migration(last).map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_migration_is_known_with_what_it_made() {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let known = known(dialect);
            let all = ours(dialect, &known);
            assert!(["plugins", "api_tokens", "plugin_status"].iter().all(|name| all.contains(*name)), "{all:?}");
            for version in &known {
                let known = texts(dialect, &BTreeSet::from([version.clone()])).count();
                assert_eq!(known, 1, "{version} has no text here: add it to `texts`");
            }
        }
    }
}
