//! Powertable: small tables in memory, over a JSON API with OpenAPI.
//!
//! `api` speaks HTTP, `store` keeps the tables, `snapshot` carries them over a reload, and the other modules are pure: what a
//! column, a value, a row, a question and a setting are. Only `store` would change if the tables moved into a database.

#![forbid(unsafe_code)]

mod api;
mod cell;
mod columns;
mod limits;
mod question;
mod refused;
mod settings;
mod snapshot;
mod store;
#[cfg(test)]
mod tests;

use camlock_plugin::{Config, Saved, Taken, prelude::*};
use settings::Settings;
use store::Store;

struct Powertable {
    store: Arc<Store>,
}

impl Plugin for Powertable {
    async fn create(host: Host) -> Result<Self> {
        let settings: Settings = host.config()?;
        Ok(Powertable { store: Arc::new(Store::new(settings)) })
    }

    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        api::routes(self.store.clone())
    }

    async fn save(&self) -> Result<Option<Vec<u8>>> {
        snapshot::write(&self.store.everything().await).map(Some)
    }

    async fn restore(&self, saved: Saved) -> Result<()> {
        let kept = snapshot::read(&saved.state).map_err(|reason| {
            Error::msg(format!("what version {} saved cannot be taken over: {reason}", saved.version))
        })?;
        self.store.replace(kept).await;
        Ok(())
    }

    async fn configure(&self, config: Config) -> Result<Taken> {
        self.store.set(config.read()?);
        Ok(Taken::Live)
    }
}

export!(Powertable);
