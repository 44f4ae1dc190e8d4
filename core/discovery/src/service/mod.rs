//! When repositories are looked at, who waits for it, and what is shown of it.
//!
//! In memory there is always what was last known; where it is kept is asked for something newer first, for another server may have
//! looked. What must not live here: how a forge is asked, and what a manifest must say.

mod hints;
mod sources;

use crate::{
    cache,
    forge::Forge,
    known::{Assembled, KnownOrganization, KnownRepository, assemble},
    scan::{made_with, scan, tell_of},
    secret::{is_secret, is_signed},
    settings::DiscoverySettings,
    trouble::{CacheError, DiscoveryError, ForgeError},
};
use camlock_api::{DiscoveredPlugin, DiscoveredPlugins, DiscoveredVersion, DiscoveryMeta, HintOutcome, ScanOutcome};
use camlock_policy::{
    BoxFuture, DiscoveredSources, Discovery, DiscoveryRecords, NotDiscovered, NotDiscoveredKind, RepositoryHint,
    ScanOrder, registry::Unavailable,
};
use hints::Hints;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};
use tokio::{runtime::Handle, sync::Notify};

/// Names of plugins that are on this server.
pub trait NamesHere: Send + Sync {
    /// All of them.
    fn all(&self) -> BTreeSet<String>;
    /// Those that did not come from what was discovered.
    fn others(&self) -> BoxFuture<BTreeSet<String>>;
}

/// For those who install nothing that was discovered.
impl<F: Fn() -> BTreeSet<String> + Send + Sync> NamesHere for F {
    fn all(&self) -> BTreeSet<String> {
        self()
    }

    fn others(&self) -> BoxFuture<BTreeSet<String>> {
        let names = self();
        Box::pin(async move { names })
    }
}

/// A scan that failed is made again after so long at the soonest.
const AGAIN: Duration = Duration::from_secs(60);

/// Discovery. Clones are the same.
#[derive(Clone)]
pub struct DiscoveryService(Arc<ServiceState>);

struct ServiceState {
    settings: DiscoverySettings,
    made_with: String,
    forge: Forge,
    records: Arc<dyn DiscoveryRecords>,
    here: Arc<dyn NamesHere>,
    /// Where it goes on when nobody waits for it.
    runtime: Handle,
    /// By organisation.
    known: Mutex<BTreeMap<String, Arc<KnownOrganization>>>,
    /// Who changes what is known.
    changing: tokio::sync::Mutex<()>,
    /// Who scans; each organisation's last scan that came to an end.
    scanning: tokio::sync::Mutex<BTreeMap<String, LastScan>>,
    hints: Hints,
    /// Somebody wants to know.
    wanted: AtomicBool,
    woken: Notify,
}

/// A scan that came to an end.
struct LastScan {
    began: Instant,
    failed: Option<NotDiscovered>,
}

impl fmt::Debug for DiscoveryService {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DiscoveryService").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl DiscoveryService {
    /// Nothing is asked by this. What it does when nobody waits for it it does on `runtime`.
    pub fn new(
        settings: DiscoverySettings,
        records: Arc<dyn DiscoveryRecords>,
        here: Arc<dyn NamesHere>,
        runtime: Handle,
    ) -> Result<Self, String> {
        if !is_name(&settings.organization) {
            return Err(format!("`{}` is no name of an organisation", settings.organization.escape_debug()));
        }
        Ok(DiscoveryService(Arc::new(ServiceState {
            made_with: made_with(&settings.manifests, &settings.api),
            forge: Forge::new(&settings)?,
            wanted: AtomicBool::new(!settings.lazy),
            hints: Hints::new(settings.hint_every),
            settings,
            records,
            here,
            runtime,
            known: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            scanning: tokio::sync::Mutex::default(),
            woken: Notify::new(),
        })))
    }

    /// Scans whenever what is known is too old, for good; if it is lazy, as soon as somebody has asked. A webhook may get lost.
    pub async fn keep_fresh(self) {
        while !self.0.wanted.load(Ordering::Relaxed) {
            self.0.woken.notified().await;
        }
        loop {
            let known = self.current(&self.0.settings.organization).await;
            let wait = match self.left(&known) {
                Some(left) => left,
                None => match self.scan_now(ScanOrder::default()).await {
                    Ok(_) => continue,
                    Err(why) => why.again.unwrap_or(AGAIN).max(AGAIN),
                },
            };
            tokio::time::sleep(wait.max(Duration::from_millis(10))).await;
        }
    }

    /// For how long what is known is new enough.
    fn left(&self, known: &KnownOrganization) -> Option<Duration> {
        if known.scan.made_with != self.0.made_with {
            return None;
        }
        let age = SystemTime::now().duration_since(known.scan.at?.system()).unwrap_or_default();
        self.0.settings.ttl.checked_sub(age).filter(|left| !left.is_zero())
    }

    /// What is known, with what another server may have found out.
    async fn current(&self, organization: &str) -> Arc<KnownOrganization> {
        let known = self.in_memory(organization);
        match self.0.records.load(organization.to_owned(), known.revision).await {
            Ok(None) => known,
            Ok(Some(record)) => self.remember(cache::known(record)),
            Err(Unavailable(why)) => {
                self.cannot_keep(organization, why);
                known
            }
        }
    }

    fn in_memory(&self, organization: &str) -> Arc<KnownOrganization> {
        let all = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let empty = || KnownOrganization { organization: organization.to_owned(), ..KnownOrganization::default() };
        all.get(organization).cloned().unwrap_or_else(|| Arc::new(empty()))
    }

    fn remember(&self, known: KnownOrganization) -> Arc<KnownOrganization> {
        let known = Arc::new(known);
        let mut all = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(known.organization.clone(), known.clone());
        known
    }

    fn cannot_keep(&self, organization: &str, why: String) {
        tell_of(organization, &DiscoveryError::Cache(CacheError(why)));
    }

    /// Keeps what is known now.
    async fn keep(&self, mut known: KnownOrganization) -> Arc<KnownOrganization> {
        match self.0.records.save(cache::record(&known)).await {
            Ok(revision) => known.revision = revision,
            Err(Unavailable(why)) => self.cannot_keep(&known.organization, why),
        }
        self.remember(known)
    }

    /// Names that may be depended on although no repository has them.
    fn elsewhere(&self) -> BTreeSet<String> {
        let mut names = self.0.here.all();
        names.extend(self.0.settings.official.iter().cloned());
        names
    }

    async fn scan_now(&self, order: ScanOrder) -> Result<ScanOutcome, NotDiscovered> {
        let organization = order.organization.unwrap_or_else(|| self.0.settings.organization.clone());
        if !is_name(&organization) {
            let reason = format!("`{}` is no name of an organisation", organization.escape_debug());
            return Err(NotDiscovered { kind: NotDiscoveredKind::Invalid, reason, again: None });
        }
        let asked = Instant::now();
        let mut scans = self.0.scanning.lock().await;
        let mut before = self.current(&organization).await;
        // Somebody else had it done meanwhile.
        let meanwhile = scans.get(&organization).filter(|last| last.began >= asked && !order.clear);
        if let Some(why) = meanwhile.and_then(|last| last.failed.clone()) {
            return Err(why);
        }
        let done = meanwhile.is_some();
        if done || (!order.force && !order.clear && self.left(&before).is_some()) {
            return Ok(self.outcome(&before, if done { "success" } else { "cached" }));
        }
        if order.clear {
            if let Err(Unavailable(why)) = self.0.records.clear(organization.clone()).await {
                self.cannot_keep(&organization, why);
            }
            let empty = KnownOrganization { organization: organization.clone(), ..KnownOrganization::default() };
            before = self.remember(empty);
        }
        let began = Instant::now();
        let found = scan(&self.0.forge, &before, &self.0.made_with, &self.elsewhere()).await;
        let (mut known, _) = match found {
            Ok(found) => found,
            Err(error) => {
                tell_of(&organization, &error.clone().into());
                let why = not_discovered(&error);
                scans.insert(organization, LastScan { began, failed: Some(why.clone()) });
                return Err(why);
            }
        };
        let _alone = self.0.changing.lock().await;
        // What was looked at for a webhook meanwhile is newer than this.
        let now = self.current(&organization).await;
        for name in self.0.hints.since(&organization, began) {
            match now.repositories.get(&name) {
                Some(newer) => drop(known.repositories.insert(name, newer.clone())),
                None => drop(known.repositories.remove(&name)),
            }
        }
        known.revision = now.revision;
        scans.insert(organization, LastScan { began, failed: None });
        let known = self.keep(known).await;
        let status = if known.scan.incomplete.is_some() { "incomplete" } else { "success" };
        Ok(self.outcome(&known, status))
    }

    fn outcome(&self, known: &KnownOrganization, status: &str) -> ScanOutcome {
        let Assembled { plugins, failed } = assemble(&known.repositories, &self.elsewhere());
        let version =
            |plugin: camlock_api::DiscoveredPlugin| DiscoveredVersion { name: plugin.name, version: plugin.version };
        ScanOutcome {
            status: status.to_owned(),
            organization: known.organization.clone(),
            statistics: known.scan.statistics,
            plugins: plugins.into_iter().map(version).collect(),
            failed,
            incomplete: known.scan.incomplete.clone(),
        }
    }

    async fn list(&self) -> Result<DiscoveredPlugins, NotDiscovered> {
        self.want();
        let organization = &self.0.settings.organization;
        let known = self.discovered_once().await?;
        let here = self.0.here.others().await;
        let Assembled { mut plugins, failed } = assemble(&known.repositories, &self.elsewhere());
        for plugin in &mut plugins {
            let taken = here.contains(&plugin.name) || self.0.settings.official.contains(&plugin.name);
            if taken && !self.0.settings.overrides.allows(&plugin.name) && plugin.cannot_be_installed.is_none() {
                plugin.cannot_be_installed = Some(format!(
                    "cannot be installed: `{}` is the name of a plugin that is there already; `discovery.override` lets this one stand in its place",
                    plugin.name
                ));
            }
        }
        let meta = DiscoveryMeta {
            total: plugins.len() as u64,
            last_scan: known.scan.at,
            scan_duration_ms: known.scan.statistics.duration_ms,
            organization: organization.clone(),
            failed,
            incomplete: known.scan.incomplete.clone(),
        };
        Ok(DiscoveredPlugins { data: plugins, meta })
    }

    /// What is known; if it never was, it is found out.
    async fn discovered_once(&self) -> Result<Arc<KnownOrganization>, NotDiscovered> {
        let organization = &self.0.settings.organization;
        let known = self.current(organization).await;
        if known.scan.at.is_some() {
            return Ok(known);
        }
        self.spawned(|this| async move { this.scan_now(ScanOrder::default()).await }).await?;
        Ok(self.current(organization).await)
    }

    /// From now on it is kept fresh.
    fn want(&self) {
        self.0.wanted.store(true, Ordering::Relaxed);
        self.0.woken.notify_one();
    }

    /// Does something that goes on if nobody waits for it any more.
    async fn spawned<T, F>(&self, act: impl FnOnce(Self) -> F) -> Result<T, NotDiscovered>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, NotDiscovered>> + Send + 'static,
    {
        let done = self.0.runtime.spawn(act(self.clone())).await;
        done.unwrap_or_else(|error| {
            let reason = format!("it was not discovered: {error}");
            Err(NotDiscovered { kind: NotDiscoveredKind::Forge, reason, again: None })
        })
    }
}

impl Discovery for DiscoveryService {
    fn discovered(&self) -> BoxFuture<Result<DiscoveredPlugins, NotDiscovered>> {
        let this = self.clone();
        Box::pin(async move { this.list().await })
    }

    fn scan(&self, order: ScanOrder) -> BoxFuture<Result<ScanOutcome, NotDiscovered>> {
        let this = self.clone();
        Box::pin(async move {
            this.want();
            this.spawned(|this| async move { this.scan_now(order).await }).await
        })
    }

    fn hint(&self, hint: RepositoryHint) -> BoxFuture<Result<HintOutcome, NotDiscovered>> {
        let this = self.clone();
        Box::pin(async move { this.spawned(|this| async move { this.hinted(hint).await }).await })
    }

    fn sources(&self, look: bool) -> BoxFuture<Result<DiscoveredSources, NotDiscovered>> {
        let this = self.clone();
        Box::pin(async move { this.to_install(look).await })
    }

    fn archive(&self, plugin: DiscoveredPlugin, most: u64) -> BoxFuture<Result<Vec<u8>, NotDiscovered>> {
        let this = self.clone();
        Box::pin(async move { this.spawned(|this| async move { this.fetched(plugin, most).await }).await })
    }

    fn is_secret(&self, shown: &[u8]) -> bool {
        self.0.settings.webhook_secret.as_ref().is_some_and(|secret| is_secret(secret.text(), shown))
    }

    fn is_signed(&self, signature: &[u8], body: &[u8]) -> bool {
        self.0.settings.webhook_secret.as_ref().is_some_and(|secret| is_signed(secret.text(), signature, body))
    }
}

/// What forges take as a name of an owner or a repository.
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=100).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with('.')
}

fn not_discovered(error: &ForgeError) -> NotDiscovered {
    let (kind, again) = match error {
        ForgeError::RateLimit { again, .. } => (NotDiscoveredKind::Limited, Some(*again)),
        ForgeError::RepositoryNotFound(_) => (NotDiscoveredKind::Missing, None),
        _ => (NotDiscoveredKind::Forge, None),
    };
    NotDiscovered { kind, reason: error.to_string(), again }
}

/// The version of the plugin that a repository has.
fn version(known: Option<&KnownRepository>) -> Option<(&str, &str)> {
    known.and_then(KnownRepository::plugin).map(|plugin| (plugin.name.as_str(), plugin.version.as_str()))
}
