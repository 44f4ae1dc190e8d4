//! Powertable: tables of a database over HTTP, in PostgREST's grammar.
//!
//! `api` speaks HTTP, `store` knows which tables there are, `openapi` describes them. All else is pure: `schema` (what a table is,
//! and how it becomes SQL), `query` (what is asked of rows), `sql` (that as statements), `rows` (formats), `value` and `time`.

#![forbid(unsafe_code)]

mod api;
mod limits;
mod openapi;
mod problem;
mod query;
mod rows;
mod schema;
mod settings;
mod sql;
mod store;
#[cfg(test)]
mod tests;
mod time;
mod value;

use camlock_plugin::{Config, Taken, prelude::*};
use openapi::Describer;
use settings::Settings;
use store::Store;

struct Powertable {
    store: Arc<Store>,
    describer: Arc<Describer>,
}

/// What handlers share.
#[derive(Clone)]
struct Shared {
    store: Arc<Store>,
    describer: Arc<Describer>,
}

impl Plugin for Powertable {
    async fn create(host: Host) -> Result<Self> {
        let settings: Settings = host.config()?;
        let store = Arc::new(Store::new(host.clone(), settings));
        let base = serde_json::to_value(api::document())?;
        let describer = Arc::new(Describer::new(host, store.clone(), base));
        Ok(Powertable { store, describer })
    }

    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        api::routes(Shared { store: self.store.clone(), describer: self.describer.clone() })
    }

    async fn start(&self) -> Result<()> {
        self.describer.tell();
        Ok(())
    }

    async fn configure(&self, config: Config) -> Result<Taken> {
        self.store.set(config.read()?);
        Ok(Taken::Live)
    }
}

export!(Powertable);
