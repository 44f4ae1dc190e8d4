//! The registry of a server, put together: the database, what was last known of it, and where artifacts are shared.
//!
//! What must not live here: what stands in it.

use crate::{Options, Unable};
use camlock_policy::{
    Digest, Manager,
    registry::{Exchange, Registry},
};
use camlock_store::{LastKnown, SharedExchange, Standing, Store, TroubleKind};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{task::spawn_blocking, time::timeout};

/// Everything that a server has of its registry.
pub(crate) struct OpenRegistry {
    pub(crate) store: Store,
    known: Arc<LastKnown>,
    pub(crate) exchange: Arc<dyn Exchange>,
}

impl OpenRegistry {
    /// Opens it. A database that is away for now is no hindrance, unless it is required.
    pub(crate) async fn open(options: &Options, data: &Path) -> Result<Self, Unable> {
        let remembered = data.join("last-known.json");
        not_emptied(options, data, &remembered).await?;
        let registry = &options.registry;
        let used = camlock_store::StoreOptions {
            address: options.address.clone(),
            version: options.version.clone(),
            ..registry.store(data, &options.settings.limits)
        };
        let store = Store::open(&registry.url(data), used).await;
        let store = store.map_err(|trouble| Unable {
            misconfigured: trouble.kind == TroubleKind::Settings,
            reason: format!("the registry cannot be used: {trouble}"),
        })?;
        if let Some(trouble) = store.trouble().filter(|_| registry.required) {
            return Err(format!("the registry cannot be used: {trouble}").into());
        }
        let exchange = match &options.artifacts {
            Some(objects) => Arc::new(SharedExchange::new(store.exchange(), objects.clone(), data.join("fetched"))),
            None => store.exchange(),
        };
        let known = LastKnown::before(store.registry(), &registry.name(data), remembered).await;
        Ok(OpenRegistry { store, known: Arc::new(known), exchange })
    }

    pub(crate) fn registry(&self) -> Arc<dyn Registry> {
        self.known.clone()
    }

    /// From now on other servers can have what they lack and this one has.
    pub(crate) fn answer_requests(&mut self, holding: impl Fn(Digest) -> Option<PathBuf> + Send + Sync + 'static) {
        self.store.answer_requests(self.exchange.clone(), holding);
    }

    /// From now on the manager hears of what changes.
    pub(crate) fn follow(&self, manager: &Manager) {
        self.store.feed(manager.registry_listener());
    }

    /// What is known is written down, and nobody waits for this server any more.
    pub(crate) async fn end(self) {
        let _ = timeout(Duration::from_secs(2), self.known.written()).await;
        let _ = timeout(Duration::from_secs(5), self.store.end()).await;
    }
}

/// An empty file of SQLite where plugins were on record before is no new registry, but one that was lost: to begin with it would
/// serve what was disabled.
async fn not_emptied(options: &Options, data: &Path, remembered: &Path) -> Result<(), Unable> {
    let url = options.registry.url(data);
    let Some(path) = url.strip_prefix("sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest)) else {
        return Ok(());
    };
    let (name, file) = (options.registry.name(data), remembered.to_owned());
    let plugins = spawn_blocking(move || LastKnown::remembered(&file, &name)).await.unwrap_or(0);
    if plugins == 0 || !Path::new(path).exists() {
        return Ok(());
    }
    // What else may be wrong with it is told when it is opened.
    if !matches!(Store::check(&url, &options.registry.store(data, &options.settings.limits)).await, Ok(Standing::Empty))
    {
        return Ok(());
    }
    Err(format!(
        "the registry cannot be used: {path} is empty, and {} remembers {plugins} plugins of it. It is kept as it is: put a backup \
         in its place, or move both files away to begin with an empty registry",
        remembered.display()
    )
    .into())
}
