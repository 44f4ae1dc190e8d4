//! Carrying plugins' own tables from one database into another, where the registry was copied to.
//!
//! Tables are made anew by the very migrations that made them here, in the other database's words, through the same fence; then
//! their rows are copied, each plugin's in one transaction. What must not live here: where migrations are found (whoever calls this
//! knows the artifacts), and the registry.

mod choose;
mod copied;
mod copy;
mod moment;
mod on_postgres;
mod on_sqlite;
mod shape;
mod stored;

use super::{MigrationError, PluginTables, lint::made_by, names::TableNames, tables::TablesPlace};
use camlock_policy::{MigrationFile, SqlDialect};
use choose::choose;
use std::{collections::BTreeSet, sync::Arc};

/// The migrations of each version of a plugin that is at hand, the newest first.
pub type VersionsAtHand<'a> = dyn Fn(&str) -> Vec<Vec<MigrationFile>> + Send + Sync + 'a;

/// Which tables are carried: all is known that can be known before anything is written.
#[derive(Debug)]
pub struct TablesToCarry(Vec<PluginToCarry>);

#[derive(Debug)]
struct PluginToCarry {
    plugin: Arc<str>,
    /// What makes its tables there.
    files: Vec<MigrationFile>,
}

/// What was carried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CarriedTables {
    /// Whose tables.
    pub plugins: Vec<Arc<str>>,
    /// How many.
    pub tables: usize,
    /// How many rows.
    pub rows: u64,
}

/// What is on its way from one database to the other.
#[derive(Debug)]
enum Feed<T> {
    Rows(T),
    TableEnds,
}

fn broke_off() -> MigrationError {
    MigrationError::Unavailable("reading broke off".to_owned())
}

impl TablesToCarry {
    /// Looks at what is in a database, but for the tables of some plugins. Nothing is written.
    pub async fn of(
        from: &PluginTables,
        to: &PluginTables,
        versions: &VersionsAtHand<'_>,
        left: &[String],
    ) -> Result<Self, MigrationError> {
        let (here, there) = (from.dialect(), to.dialect());
        let (mut on_record, mut in_catalog) = from.on_record().await?;
        on_record.retain(|plugin, _| !left.contains(plugin));
        in_catalog.retain(|table| !left.iter().any(|plugin| TableNames::of(plugin).owns(table)));
        let mut plugins = Vec::new();
        for (plugin, applied) in on_record {
            let Some(chosen) = choose(&versions(&plugin), &applied, here, there) else {
                return Err(MigrationError::Refused(not_at_hand(&plugin)));
            };
            let made = made_by(chosen.here.iter().map(|file| &*file.text), here);
            in_catalog.retain(|table| !made.contains(table));
            plugins.push(PluginToCarry { plugin: plugin.into(), files: chosen.there });
        }
        if in_catalog.is_empty() { Ok(TablesToCarry(plugins)) } else { Err(made_at_run_time(&in_catalog, here, there)) }
    }

    /// Carries them. After an error nothing of them is there.
    pub async fn carry(self, from: &PluginTables, to: &PluginTables) -> Result<CarriedTables, MigrationError> {
        let mut carried = CarriedTables::default();
        match self.carry_all(from, to, &mut carried).await {
            Ok(()) => Ok(carried),
            Err(error) => Err(match take_back(to, &carried.plugins).await {
                Ok(()) => error,
                Err(left) => MigrationError::Unavailable(format!(
                    "{error}; and what was made there could not be dropped again: {left}"
                )),
            }),
        }
    }

    async fn carry_all(
        self,
        from: &PluginTables,
        to: &PluginTables,
        carried: &mut CarriedTables,
    ) -> Result<(), MigrationError> {
        for PluginToCarry { plugin, files } in self.0 {
            if !to.applied(&plugin, None).await?.is_empty() {
                return Err(MigrationError::Refused(format!("the plugin `{plugin}` has tables there already")));
            }
            carried.plugins.push(plugin.clone());
            for file in &files {
                to.run(&plugin, file).await?;
            }
            let (tables, rows) = copy_rows(from, to, &plugin).await.map_err(|error| of_plugin(&plugin, error))?;
            carried.tables += tables;
            carried.rows += rows;
        }
        Ok(())
    }
}

/// Drops what was made for these plugins.
pub async fn take_back(to: &PluginTables, plugins: &[Arc<str>]) -> Result<(), MigrationError> {
    for plugin in plugins {
        to.purge(plugin).await?;
    }
    Ok(())
}

async fn copy_rows(from: &PluginTables, to: &PluginTables, plugin: &Arc<str>) -> Result<(usize, u64), MigrationError> {
    match (from.place(), to.place()) {
        (TablesPlace::Sqlite(from), TablesPlace::Postgres(to)) => copy::file_to_server(from, to, plugin).await,
        (TablesPlace::Postgres(from), TablesPlace::Sqlite(to)) => copy::server_to_file(from, to, plugin).await,
        (TablesPlace::Postgres(from), TablesPlace::Postgres(to)) => copy::server_to_server(from, to, plugin).await,
        (TablesPlace::Sqlite(_), TablesPlace::Sqlite(_)) => {
            Err(MigrationError::Refused("a file of plugins' tables is copied as a file".to_owned()))
        }
    }
}

fn of_plugin(plugin: &str, error: MigrationError) -> MigrationError {
    match error {
        MigrationError::Refused(why) => MigrationError::Refused(format!("the plugin `{plugin}`: {why}")),
        other => other,
    }
}

fn not_at_hand(plugin: &str) -> String {
    format!(
        "no version of the plugin `{plugin}` is kept in this data directory whose migrations are those that made its tables: start \
         a server with that version on it once, or leave its tables behind with `--leave {plugin}`"
    )
}

fn made_at_run_time(tables: &BTreeSet<String>, here: SqlDialect, there: SqlDialect) -> MigrationError {
    let names = tables.iter().map(|table| format!("`{table}`")).collect::<Vec<_>>().join(", ");
    let what = if here == there {
        "`pg_dump` copies them, for their plugin's migrating role to own"
    } else {
        "what made them is not known in the other database's words; export what is in them through the plugin"
    };
    MigrationError::Refused(format!(
        "no migration made {names}, but a plugin while it ran: {what}, and leave them behind with `--leave PLUGIN`"
    ))
}
