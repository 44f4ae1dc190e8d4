//! Migrations on PostgreSQL: each in a transaction of the migrating role, which is committed together with its record.
//!
//! That role cannot write the record. A function of the host's does, for whoever shows a ticket that the host wrote down before;
//! the migration has run by the time the ticket is shown, and never sees it. The tables and functions for that are among the
//! registry's own migrations.

use super::{
    PluginRoles,
    catalog::{Look, look},
    roles::{begin_to_change, quoted, unavailable},
};
use crate::database::{
    MigrationError, TableChange,
    names::TableNames,
    plan::{Applied, RanByPlugin, checksum, has_run},
};
use camlock_policy::migrations::MigrationFile;
use std::{collections::BTreeSet, time::Duration};
use tokio_postgres::{Client, Error, Transaction, error::SqlState};

/// What has run for a plugin, in order.
pub async fn applied(host: &Client, schema: &str, plugin: &str) -> Result<Vec<Applied>, MigrationError> {
    let schema = quoted(schema);
    let question = format!(
        "SELECT number, name, checksum, contracts FROM {schema}._plugin_migrations WHERE plugin = $1 ORDER BY number"
    );
    let rows = host.query(&question, &[&plugin]).await.map_err(|error| unavailable(&error))?;
    Ok(rows.iter().map(read).collect())
}
/// What has run for all plugins that have any, and the names of all plugins' tables and views. Where there is no registry, or an
/// older one, nothing.
pub(in crate::database) async fn on_record(
    host: &Client,
    schema: &str,
) -> Result<(RanByPlugin, BTreeSet<String>), MigrationError> {
    let told = |error: Error| unavailable(&error);
    let question = "SELECT c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                    WHERE n.nspname = $1 AND (c.relname = '_plugin_migrations' OR c.relname ~ '^p_.*[^_]__[a-z]') \
                    AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition";
    let rows = host.query(question, &[&schema]).await.map_err(told)?;
    let mut tables: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let mut on_record = RanByPlugin::new();
    if tables.remove("_plugin_migrations") {
        let plugins = format!("SELECT DISTINCT plugin FROM {}._plugin_migrations", quoted(schema));
        for row in host.query(&plugins, &[]).await.map_err(told)? {
            let plugin: String = row.get(0);
            let ran = applied(host, schema, &plugin).await?;
            on_record.insert(plugin, ran);
        }
    }
    Ok((on_record, tables))
}

fn read(row: &tokio_postgres::Row) -> Applied {
    let number: i32 = row.get(0);
    Applied { number: number.unsigned_abs(), name: row.get(1), checksum: row.get(2), contracts: row.get(3) }
}

/// Runs a change, unless it is a migration that has run. Afterwards it has run as a whole and is on record, or nothing of it has.
///
/// `host` is a connection of the host's; `migrating` one that logged in as the plugin's migrating role, and is closed afterwards,
/// whatever came out: a session may keep what a transaction takes back.
pub async fn migrate(
    host: &Client,
    migrating: &mut Client,
    roles: &PluginRoles,
    change: &TableChange,
    within: Duration,
) -> Result<(), MigrationError> {
    let ticket = match change.file() {
        Some(file) => Some(ticket(host, roles, file).await?),
        None => None,
    };
    let running = run(migrating, roles, change, ticket.as_ref());
    let done = match tokio::time::timeout(within, running).await {
        Ok(done) => done,
        Err(_) => {
            let why = format!("it took longer than {} s", within.as_secs());
            Err(MigrationError::Failed { change: change.to_string(), why })
        }
    };
    let Some(ticket) = ticket else { return done };
    let forget = format!("DELETE FROM {}._plugin_tickets WHERE ticket = $1", quoted(&roles.schema));
    let _ = host.execute(&forget, &[&ticket]).await;
    done
}

/// One that nobody can guess, for this file.
async fn ticket(host: &Client, roles: &PluginRoles, file: &MigrationFile) -> Result<String, MigrationError> {
    let schema = quoted(&roles.schema);
    let write = format!(
        "WITH left_behind AS (DELETE FROM {schema}._plugin_tickets WHERE made_at < clock_timestamp() - interval '1 hour') \
         INSERT INTO {schema}._plugin_tickets (ticket, migrate, plugin, number, name, checksum, contracts) \
         VALUES (gen_random_uuid()::text || gen_random_uuid()::text, $1, $2, $3, $4, $5, $6) RETURNING ticket"
    );
    let number = i32::try_from(file.number).unwrap_or(i32::MAX);
    let (sum, contracts) = (checksum(&file.text), file.contracts());
    let row = host.query_one(&write, &[&roles.migrate, &roles.plugin, &number, &file.name, &sum, &contracts]).await;
    Ok(row.map_err(|error| unavailable(&error))?.get(0))
}

async fn run(
    migrating: &mut Client,
    roles: &PluginRoles,
    change: &TableChange,
    ticket: Option<&String>,
) -> Result<(), MigrationError> {
    let failed = |error: Error| {
        if may_pass(&error) {
            return unavailable(&error);
        }
        let why = error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
        MigrationError::Failed { change: change.to_string(), why }
    };
    let schema = quoted(&roles.schema);
    let transaction = migrating.transaction().await.map_err(|error| unavailable(&error))?;
    if who(&transaction).await.map_err(failed)? != roles.migrate {
        return Err(MigrationError::Unavailable("the connection is not the plugin's migrating role's".to_owned()));
    }
    // It waits here for another server that is at it.
    let begin = format!("SELECT * FROM {schema}._plugin_migration_begin()");
    let known: Vec<_> = transaction.query(&begin, &[]).await.map_err(failed)?.iter().map(read).collect();
    if let Some(file) = change.file()
        && has_run(file, &known)?
    {
        return Ok(());
    }
    execute(&transaction, change.text()).await.map_err(failed)?;
    let names = TableNames::of(&roles.plugin);
    let after = "RESET ROLE; SET LOCAL search_path = pg_catalog, pg_temp; SET CONSTRAINTS ALL IMMEDIATE";
    transaction.batch_execute(after).await.map_err(failed)?;
    let (tables, sequences) = match look(&transaction, roles, &names).await.map_err(failed)? {
        Look::Well { tables, sequences } => (tables, sequences),
        Look::Wrong(what) => return Err(MigrationError::Escaped { change: change.to_string(), what }),
    };
    let run = quoted(&roles.run);
    let mut rights = String::new();
    for table in tables {
        rights += &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.{} TO {run};", quoted(&table));
    }
    for sequence in sequences {
        rights += &format!("GRANT USAGE, SELECT ON SEQUENCE {schema}.{} TO {run};", quoted(&sequence));
    }
    transaction.batch_execute(&rights).await.map_err(failed)?;
    if let Some(ticket) = ticket {
        let done = format!("SELECT {schema}._plugin_migration_done($1)");
        let is_on_record: bool = transaction.query_one(&done, &[ticket]).await.map_err(failed)?.get(0);
        if !is_on_record {
            return Err(MigrationError::Refused("the migration's ticket is gone: try again".to_owned()));
        }
    }
    transaction.commit().await.map_err(failed)
}

/// Whether this has nothing to do with what was to run: the server went away, is full or ending, or others were in the way.
fn may_pass(error: &Error) -> bool {
    let Some(state) = error.code() else { return true };
    let is_locked = *state == SqlState::LOCK_NOT_AVAILABLE || *state == SqlState::T_R_DEADLOCK_DETECTED;
    // What is cancelled was cancelled by its own settings.
    is_locked || *state != SqlState::QUERY_CANCELED && matches!(state.code().get(..2), Some("08" | "53" | "57" | "58"))
}

/// Runs a text in such a way that nothing in it ends the transaction.
async fn execute(transaction: &Transaction<'_>, text: &str) -> Result<(), Error> {
    transaction.query("SELECT pg_catalog.set_config('camlock.migration', $1, true)", &[&text]).await?;
    let run = "DO LANGUAGE plpgsql $camlock$ BEGIN \
               EXECUTE pg_catalog.current_setting('camlock.migration'); END $camlock$";
    transaction.batch_execute(run).await
}

async fn who(transaction: &Transaction<'_>) -> Result<String, Error> {
    Ok(transaction.query_one("SELECT session_user::text", &[]).await?.get(0))
}

/// Drops all tables of a plugin, the record of its migrations, and its roles; both of these log in for it. What is broken off goes on
/// when it is done once more.
pub async fn drop_tables(
    host: &mut Client,
    migrating: &mut Client,
    running: &Client,
    roles: &PluginRoles,
) -> Result<(), MigrationError> {
    let told = |error: Error| unavailable(&error);
    let (schema, run, migrate) = (quoted(&roles.schema), quoted(&roles.run), quoted(&roles.migrate));
    // What a plugin may make at run time without a right to anything: large objects, default rights.
    running.batch_execute("RESET ROLE; DROP OWNED BY CURRENT_USER CASCADE").await.map_err(told)?;
    // Tables and their record go together; other servers that are at it wait.
    let dropping = migrating.transaction().await.map_err(told)?;
    let forget = format!("SELECT * FROM {schema}._plugin_migration_begin(); SELECT {schema}._plugin_forget()");
    dropping.batch_execute(&format!("RESET ROLE; {forget}; DROP OWNED BY CURRENT_USER CASCADE")).await.map_err(told)?;
    dropping.commit().await.map_err(told)?;
    let rights = format!(
        "REVOKE ALL ON SCHEMA {schema} FROM {run}, {migrate};
         REVOKE ALL ON {schema}.camlock_plugins FROM {run}, {migrate};
         REVOKE ALL (name) ON {schema}.plugins FROM {migrate};
         REVOKE ALL ON FUNCTION {schema}._plugin_migration_begin(), {schema}._plugin_migration_done(text), \
         {schema}._plugin_forget() FROM {migrate};
         REVOKE ALL ON FUNCTION {schema}.enqueue(text, jsonb, jsonb), {schema}.emit(text, jsonb), \
         {schema}._emit_bytes(text, bytea, bytea, bigint) FROM {run};"
    );
    // By now another server may have done it.
    let is_there = "SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = ANY (ARRAY[$1::text, $2::text])";
    let ending = begin_to_change(host, roles).await?;
    if ending.query(is_there, &[&roles.run, &roles.migrate]).await.map_err(told)?.len() == 2 {
        ending.batch_execute(&rights).await.map_err(told)?;
    }
    for table in ["task_senders", "event_emitters", "_plugin_roles"] {
        let row = format!("DELETE FROM {schema}.{table} WHERE plugin = $1");
        ending.execute(&row, &[&roles.plugin]).await.map_err(told)?;
    }
    ending.batch_execute(&format!("DROP ROLE IF EXISTS {run}; DROP ROLE IF EXISTS {migrate}")).await.map_err(told)?;
    ending.commit().await.map_err(told)
}
