//! The registry that the settings name, for commands that look at it without a server.
//!
//! What must not live here: how a server uses it, which is `camlock-embed`'s.

use crate::config::Config;
use camlock_store::{Standing, Store, StoreOptions, Trouble};

/// How its database is used.
pub(crate) fn options(config: &Config) -> StoreOptions {
    let used = config.registry.store(&config.data, &config.settings.limits);
    StoreOptions { version: env!("CARGO_PKG_VERSION").to_owned(), ..used }
}

/// How its schema stands, without a change to anything.
pub(crate) async fn standing(config: &Config) -> Result<Standing, Trouble> {
    // Its directory is made by the first server.
    if config.database_is_in_data() && !config.data.exists() {
        return Ok(Standing::Empty);
    }
    Store::check(&config.registry.url(&config.data), &options(config)).await
}
