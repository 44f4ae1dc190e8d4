//! What plugins keep, carried along with a registry that is copied: values, and tables.
//!
//! Which migrations made a plugin's tables is in its artifacts, of which those in the data directory are looked through. What must
//! not live here: how rows and values are carried.

use crate::kept::{DataPlace, DatabaseSettings, StorageSettings};
use camlock_build::FileShelf;
use camlock_loader::{BuiltIn, inspect, inspect_built_in};
use camlock_policy::{MigrationFile, Shelf};
use camlock_services::{
    PluginStorage, TaskQueue,
    database::{
        PluginTables,
        carry::{TablesToCarry, take_back},
    },
};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tokio::runtime::Handle;

/// Between which registries, and with what at hand.
#[derive(Clone, Copy, Debug)]
pub struct Move<'a> {
    /// The registry that is copied.
    pub from: &'a str,
    /// Where it is copied to.
    pub to: &'a str,
    /// The schema in PostgreSQL.
    pub schema: &'a str,
    /// The data directory: what plugins keep beside a registry in SQLite is there, and artifacts are.
    pub data: &'a Path,
    /// The plugins that are compiled into this program.
    pub built_in: &'a [BuiltIn],
    /// Plugins whose tables are left behind.
    pub leave: &'a [String],
}

/// What plugins keep that is to be carried. All is looked at that can be before anything is written.
#[derive(Debug)]
pub struct KeptToCarry(Option<FoundPlaces>);

#[derive(Debug)]
struct FoundPlaces {
    storage: [PluginStorage; 2],
    tasks: [TaskQueue; 2],
    tables: [PluginTables; 2],
    carried: TablesToCarry,
}

/// What was carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CarriedKept {
    /// So many values.
    pub values: u64,
    /// So many tasks.
    pub tasks: u64,
    /// So many tables.
    pub tables: usize,
    /// So many rows of them.
    pub rows: u64,
}

impl KeptToCarry {
    /// Looks at what is kept in the source. Nothing is written.
    pub async fn of(moved: Move<'_>) -> Result<Self, String> {
        let Move { from, to, schema, data, built_in, leave } = moved;
        let is_file = |url: &str| url.starts_with("sqlite:");
        if let Some(elsewhere) = kept_elsewhere(from, data) {
            return Err(format!(
                "what plugins keep lies in {}, beside that registry, and there is nothing in {}: say `--data {}`",
                elsewhere.join("plugins.db").display(),
                data.display(),
                elsewhere.display()
            ));
        }
        // Between two files it stays where it is, and is one file.
        if is_file(from) && (is_file(to) || !data.join("plugins.db").exists()) {
            return Ok(KeptToCarry(None));
        }
        let here = |url| DataPlace::beside(url, schema, data);
        let (from, to) = (here(from)?, here(to)?);
        let tables = [&from, &to].map(|place| place.tables(DatabaseSettings::default(), Handle::current()));
        let tasks = [&from, &to].map(|place| place.tasks(Handle::current()));
        let storage = [from, to].map(|place| place.storage(StorageSettings::default(), Handle::current()));
        let versions = |plugin: &str| versions(data, built_in, plugin);
        let carried = TablesToCarry::of(&tables[0], &tables[1], &versions, leave).await;
        Ok(KeptToCarry(Some(FoundPlaces {
            carried: carried.map_err(|error| error.to_string())?,
            storage,
            tasks,
            tables,
        })))
    }

    /// Carries it to where the registry was copied. After an error nothing of it is there.
    pub async fn carry(self) -> Result<CarriedKept, String> {
        let Some(found) = self.0 else { return Ok(CarriedKept::default()) };
        let [queue, queue_there] = found.tasks.clone();
        let tasks = camlock_services::carry_tasks(&queue, &queue_there).await.map_err(|error| error.message)?;
        match found.carry_tables_and_values().await {
            Ok(carried) => Ok(CarriedKept { tasks, ..carried }),
            Err(told) => match camlock_services::take_back_tasks(&queue_there).await {
                Ok(()) => Err(told),
                Err(error) => Err(format!("{told}; and its tasks were not taken back: {}", error.message)),
            },
        }
    }
}

impl FoundPlaces {
    async fn carry_tables_and_values(self) -> Result<CarriedKept, String> {
        let FoundPlaces { storage: [from, to], tables: [tables, tables_there], carried, .. } = self;
        let carried = carried.carry(&tables, &tables_there).await.map_err(|error| error.to_string())?;
        match camlock_services::carry_values(&from, &to).await {
            Ok(values) => Ok(CarriedKept { values, tasks: 0, tables: carried.tables, rows: carried.rows }),
            Err(error) => {
                let taken_back = take_back(&tables_there, &carried.plugins).await;
                let besides = taken_back.err().map(|why| format!("; and its tables were not taken back: {why}"));
                Err(format!("{}{}", error.message, besides.unwrap_or_default()))
            }
        }
    }
}

/// Where a registry's plugins keep what is theirs, if that is not this data directory, in which nothing is kept.
fn kept_elsewhere(registry: &str, data: &Path) -> Option<PathBuf> {
    let file = registry.strip_prefix("sqlite:").map(|path| Path::new(path.strip_prefix("//").unwrap_or(path)))?;
    let beside = file.parent()?;
    (!data.join("plugins.db").exists() && beside.join("plugins.db").exists()).then(|| beside.to_owned())
}

/// The migrations of all versions of a plugin that are at hand, the newest first. What cannot be read is no version.
fn versions(data: &Path, built_in: &[BuiltIn], plugin: &str) -> Vec<Vec<MigrationFile>> {
    let shelf = FileShelf::new(data, data.join("artifacts"));
    let compiled_in = built_in.iter().filter_map(|built_in| inspect_built_in(built_in).ok());
    let compiled_in = compiled_in.filter(|sections| sections.manifest.name == plugin);
    let kept = shelf.history(plugin).into_iter();
    let kept = kept.filter_map(|kept| inspect(&fs::read(shelf.artifact(kept.digest)).ok()?).ok());
    compiled_in.chain(kept).map(|sections| sections.migrations).collect()
}
