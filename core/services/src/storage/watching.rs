//! Watching: what changed since, then what changes. It is looked up in the database, so that nothing is missed.

use super::{MOST_KEY, PluginStorage, StorageChange, invalid};
use camlock_policy::{AskError, AskErrorCode};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};

/// So many changes are looked up at once.
pub(super) const CHANGES: i64 = 500;

/// So often it is looked without a word of changes.
const LOOK: Duration = Duration::from_secs(2);

/// Changes, as they come.
pub struct StorageWatch {
    storage: PluginStorage,
    plugin: Arc<str>,
    prefix: String,
    after: u64,
    /// A revision that was reached before the next look: what is not found then up to it does not concern us.
    reached: u64,
    word: watch::Receiver<u64>,
    /// Whether there may be more where the last ones were.
    more: bool,
}

pub(super) async fn begin(
    storage: &PluginStorage,
    plugin: &Arc<str>,
    prefix: &str,
    after: Option<u64>,
) -> Result<(u64, StorageWatch), AskError> {
    if prefix.len() > MOST_KEY || prefix.contains('\0') {
        return Err(invalid("what keys are to begin with is no beginning of a key"));
    }
    let word = storage.hub.subscribe(plugin);
    let word = word.ok_or_else(|| AskError::new(AskErrorCode::Limit, "the plugin watches too often already"))?;
    let (ledger, _) = storage.ledger(plugin).await?;
    let now = u64::try_from(ledger.revision).unwrap_or(0);
    let after = after.unwrap_or(now);
    not_forgotten(ledger.swept, after)?;
    let (storage, plugin, prefix) = (storage.clone(), plugin.clone(), prefix.to_owned());
    Ok((after, StorageWatch { storage, plugin, prefix, after, reached: now, word, more: true }))
}

fn not_forgotten(swept: i64, after: u64) -> Result<(), AskError> {
    if u64::try_from(swept).is_ok_and(|swept| after < swept) {
        let told = format!("what was deleted since revision {after} is not remembered any more: list all keys anew");
        return Err(AskError::new(AskErrorCode::Conflict, told));
    }
    Ok(())
}

impl StorageWatch {
    /// The next changes, at least one. They may be waited for as long as it takes.
    pub async fn next(&mut self) -> Result<Vec<StorageChange>, AskError> {
        loop {
            if !std::mem::take(&mut self.more) {
                let heard = timeout(LOOK, self.word.changed()).await;
                if heard.is_err() {
                    self.storage.sweep(&self.plugin).await?;
                }
            }
            self.word.mark_unchanged();
            let changes = self.storage.changes(&self.plugin, &self.prefix, self.after).await?;
            // What was forgotten meanwhile was not told.
            let (ledger, _) = self.storage.ledger(&self.plugin).await?;
            not_forgotten(ledger.swept, self.after)?;
            let reached = std::mem::replace(&mut self.reached, u64::try_from(ledger.revision).unwrap_or(0));
            self.more = i64::try_from(changes.len()) == Ok(CHANGES);
            let last = changes.last().map_or(self.after, |last| last.revision);
            self.after = if self.more { last } else { last.max(reached) };
            if !changes.is_empty() {
                return Ok(changes);
            }
        }
    }
}
