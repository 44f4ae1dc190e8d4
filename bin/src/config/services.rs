//! `[services.…]`: what plugins may keep, and how much may be asked of them. What must not live here: what is done with it.

use super::{
    Misconfigured,
    values::{Size, Time},
};
use camlock_embed::{AskSettings, DatabaseSettings, EventSettings, ExecutionSettings, StorageSettings, TaskSettings};
use serde::Deserialize;
use std::time::Duration;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ServiceSettings {
    /// How much of the machine what plugins ask for may take.
    pub(crate) asks: AskSettings,
    /// The values that plugins keep.
    pub(crate) storage: StorageSettings,
    /// Their own tables.
    pub(crate) database: DatabaseSettings,
    /// What they hear of.
    pub(crate) events: EventSettings,
    /// What they have done later.
    pub(crate) tasks: TaskSettings,
    /// What they work out.
    pub(crate) executions: ExecutionSettings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ServicesKeys {
    asks: AsksKeys,
    storage: StorageKeys,
    database: ServedDatabaseKeys,
    events: HeardKeys,
    tasks: QueuedKeys,
    execute: ExecuteKeys,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AsksKeys {
    share: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StorageKeys {
    keys: Option<u64>,
    bytes: Option<Size>,
    connections: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ServedDatabaseKeys {
    connections: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HeardKeys {
    waiting: Option<usize>,
    bytes: Option<Size>,
    attempts: Option<u32>,
    pause: Option<Time>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct QueuedKeys {
    waiting: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ExecuteKeys {
    time: Option<Time>,
    longest: Option<Time>,
    at_once: Option<usize>,
    input: Option<Size>,
    output: Option<Size>,
    keep_days: Option<u32>,
    keep: Option<u64>,
    content: Option<bool>,
}

impl ServicesKeys {
    /// What they mean, over the defaults.
    pub(super) fn settings(self) -> Result<ServiceSettings, Misconfigured> {
        let mut all = ServiceSettings::default();
        all.asks.share = self.asks.share.unwrap_or(all.asks.share);
        // Also what is no number at all.
        if !(all.asks.share > 0.0 && all.asks.share <= 1.0) {
            return Err(Misconfigured("[services.asks]: `share` is above 0, and 1 at most".to_owned()));
        }
        let bytes = |size: Size| size.0.unwrap_or(u64::MAX);
        let in_memory = |size: Size| usize::try_from(bytes(size)).unwrap_or(usize::MAX);
        let storage = &mut all.storage;
        storage.limits.keys = self.storage.keys.unwrap_or(storage.limits.keys);
        storage.limits.bytes = self.storage.bytes.map_or(storage.limits.bytes, bytes);
        storage.connections = at_least_one("storage", "connections", self.storage.connections, storage.connections)?;
        let connections = self.database.connections;
        all.database.connections = at_least_one("database", "connections", connections, all.database.connections)?;
        let events = &mut all.events.limits;
        events.waiting = at_least_one("events", "waiting", self.events.waiting, events.waiting)?;
        events.bytes = self.events.bytes.map_or(events.bytes, in_memory);
        events.pause = self.events.pause.map_or(events.pause, |time| time.0);
        events.attempts = at_least_one("events", "attempts", self.events.attempts, events.attempts)?;
        all.tasks.waiting = at_least_one("tasks", "waiting", self.tasks.waiting, all.tasks.waiting)?;
        let executions = &mut all.executions;
        executions.time = self.execute.time.map_or(executions.time, |time| time.0);
        executions.longest = self.execute.longest.map_or(executions.longest, |time| time.0).max(executions.time);
        executions.at_once = at_least_one("execute", "at_once", self.execute.at_once, executions.at_once)?;
        executions.input = self.execute.input.map_or(executions.input, in_memory);
        executions.output = self.execute.output.map_or(executions.output, in_memory);
        let days = |days: u32| Duration::from_secs(u64::from(days) * 24 * 3600);
        executions.kept = self.execute.keep_days.map_or(executions.kept, days);
        executions.most = self.execute.keep.unwrap_or(executions.most);
        executions.content = self.execute.content.unwrap_or(executions.content);
        if executions.time.is_zero() {
            return Err(Misconfigured("[services.execute]: `time` is more than nothing".to_owned()));
        }
        Ok(all)
    }
}

fn at_least_one<T: Default + PartialEq>(
    service: &str,
    key: &str,
    said: Option<T>,
    usual: T,
) -> Result<T, Misconfigured> {
    let number = said.unwrap_or(usual);
    if number == T::default() {
        return Err(Misconfigured(format!("[services.{service}]: `{key}` is 1 at least")));
    }
    Ok(number)
}
