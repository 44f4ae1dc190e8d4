//! How the settings name a registry, for commands that look at it without a server.
//!
//! What must not live here: how a server uses it, which is `camlock-embed`'s.

use crate::config::Config;
use camlock_store::{Standing, Store, StoreOptions, Trouble};

/// How its database is used.
pub(crate) fn options(config: &Config) -> StoreOptions {
    StoreOptions {
        schema: config.schema.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        journal_days: config.journal_days,
        artifacts: u32::try_from(config.settings.limits.artifacts).unwrap_or(u32::MAX),
        ..StoreOptions::new(&config.data)
    }
}

/// How its schema stands, without a change to anything.
pub(crate) async fn standing(config: &Config) -> Result<Standing, Trouble> {
    // Its directory is made by the first server.
    if config.database_is_in_data() && !config.data.exists() {
        return Ok(Standing::Empty);
    }
    Store::check(&config.database_url(&config.data), &options(config)).await
}
