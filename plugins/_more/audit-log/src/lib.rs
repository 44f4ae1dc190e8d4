//! Audit log: every event, in a chain of hashes.
//!
//! `chain` is what makes an entry's hash, pure; `store` adds entries, reads and removes them; `query` is what may be asked for; `format`
//! writes entries as JSON, JSON lines and CSV; `api` speaks HTTP.

#![forbid(unsafe_code)]

mod api;
mod chain;
mod format;
mod query;
mod settings;
mod store;
#[cfg(test)]
mod tests;

use camlock_plugin::{Config, Due, Event, Taken, prelude::*};
use settings::{AuditSettings, SharedSettings};
use std::time::{Duration, SystemTime};
use store::AuditStore;

struct AuditLog {
    store: AuditStore,
    settings: SharedSettings,
}

impl Plugin for AuditLog {
    async fn create(host: Host) -> Result<Self> {
        let settings = SharedSettings::new(host.config::<AuditSettings>()?);
        Ok(AuditLog { store: AuditStore::new(host), settings })
    }

    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        api::routes(self.store.clone(), self.settings.clone())
    }

    async fn configure(&self, config: Config) -> Result<Taken> {
        self.settings.set(config.read()?);
        Ok(Taken::Live)
    }

    /// An error has it brought again: what is not in the log is not let go of.
    async fn event(&self, event: Event) -> Result<()> {
        self.store.add(&event).await?;
        Ok(())
    }

    /// Removes what is too old.
    async fn schedule(&self, _due: Due) -> Result<()> {
        let days = Duration::from_secs(u64::from(self.settings.get().days) * 24 * 3600);
        let removed = self.store.remove_before(SystemTime::now() - days).await?;
        if removed > 0 {
            tracing::info!("{removed} entries were older than {} days, and are gone", self.settings.get().days);
        }
        Ok(())
    }
}

export!(AuditLog, config = AuditSettings);
