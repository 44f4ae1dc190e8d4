//! Catalogs, put together: what is on record of them, what is searched, and what others ask of them.
//!
//! None of it is on the way of a start or of a request: a catalog that is down changes nothing that runs. What must not live here:
//! what is believed (`camlock-catalog` decides that), how they are followed (`following`), and how an install goes on (`installing`).

mod advising;
mod discovered;
mod following;
mod installing;
mod offers;
mod packages;
mod planning;
mod preparing;
mod updating;
mod words;

use self::{
    following::kept,
    installing::Installing,
    words::{refused, unavailable},
};
use camlock_catalog::{
    CatalogTrouble, Demands,
    client::{CatalogPlace, CatalogReader, DiscoveredReader, FollowedCatalog, ListingReader, TrustedFiles},
    package::{LibraryFacts, PublisherKey, ReadLibrary, glibc_here, target_here},
    resolve::ServerFacts,
    search::{CatalogIndex, ListingOrder, ListingQuery},
};
use camlock_loader::{abi_version, inspect};
use camlock_policy::{
    CatalogAnswer, CatalogInstallOrder, CatalogOrder, CatalogPolicy, CatalogQuery, CatalogRefusal, CatalogRefused,
    CatalogSort, Catalogs, ConfigViolation, Digest, Discovery, Manager, PluginProblemView, UtcTime,
    manifest::check_name, registry::Actor,
};
use camlock_services::events::PluginEvents;
use camlock_store::{CatalogRecord, CatalogRecords};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};
use tokio::{
    sync::{Notify, Semaphore},
    task::spawn_blocking,
};

/// So many catalogs are read at once: each may hang for a minute.
const AT_ONCE: usize = 3;
/// The catalogs of a server. Clones are one.
#[derive(Clone)]
pub(crate) struct ServerCatalogs(Arc<CatalogsInside>);

struct CatalogsInside {
    records: CatalogRecords,
    /// Opened when it is first needed: a server that follows no catalog has none.
    index: Mutex<Option<CatalogIndex>>,
    /// Where it lies.
    searched: PathBuf,
    manager: Manager,
    /// The plugins directory.
    plugins: PathBuf,
    /// Where installs are prepared.
    folder: PathBuf,
    server: ServerFacts,
    read: ReadLibrary,
    policy: CatalogPolicy,
    /// Where plugins hear of what is wrong.
    events: PluginEvents,
    /// What is discovered may be a catalog too.
    discovery: Option<Arc<dyn Discovery>>,
    /// Notified whenever a catalog was followed.
    followed: Notify,
    /// When each was last followed, and why that failed.
    looks: Mutex<BTreeMap<String, (SystemTime, Option<String>)>>,
    turns: Arc<Semaphore>,
    /// Held by who installs: two at once could want different versions of the same.
    installing: Arc<tokio::sync::Mutex<()>>,
}

/// What a library says of itself.
pub fn read_library() -> ReadLibrary {
    Arc::new(|bytes: &[u8]| {
        let sections = inspect(bytes).map_err(|unfit| unfit.to_string())?;
        Ok(LibraryFacts {
            manifest: sections.manifest,
            contract: sections.abi,
            requires: sections.requires,
            sdk: sections.sdk,
            rustc: sections.rustc,
            config_schema: sections.config_schema,
        })
    })
}

impl ServerCatalogs {
    /// Those of the registry; `data` is the data directory.
    pub(crate) fn new(
        records: CatalogRecords,
        manager: Manager,
        (plugins, data): (&Path, &Path),
        compiles: bool,
        (policy, events): (CatalogPolicy, PluginEvents),
        discovery: Option<Arc<dyn Discovery>>,
    ) -> Self {
        let server = ServerFacts {
            target: target_here(),
            contract: abi_version(),
            glibc: glibc_here(),
            // The verifying child knows.
            features: None,
            compiles,
        };
        ServerCatalogs(Arc::new(CatalogsInside {
            records,
            index: Mutex::default(),
            searched: data.join("catalogs.db"),
            manager,
            plugins: plugins.to_owned(),
            folder: data.join("installs"),
            server,
            read: read_library(),
            policy,
            events,
            discovery,
            followed: Notify::new(),
            looks: Mutex::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            installing: Arc::default(),
        }))
    }

    /// Work that blocks.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&CatalogsInside) -> Result<T, CatalogTrouble> + Send + 'static,
    ) -> Result<T, CatalogRefusal> {
        let inside = self.0.clone();
        let turn = inside.turns.clone().acquire_owned().await;
        let done = spawn_blocking(move || {
            let done = work(&inside);
            drop(turn);
            done
        });
        let broken = |_| CatalogRefusal {
            kind: CatalogRefused::Unavailable,
            reason: "reading catalogs was broken off".to_owned(),
        };
        done.await.map_err(broken)?.map_err(refused)
    }

    async fn record(&self, name: &str) -> Result<CatalogRecord, CatalogRefusal> {
        let all = self.0.records.catalogs().await.map_err(unavailable)?;
        all.into_iter().find(|record| record.name == name).ok_or_else(|| CatalogRefusal {
            kind: CatalogRefused::Missing,
            reason: format!("there is no catalog `{name}`: `camlock catalog list` shows those that there are"),
        })
    }

    fn looks(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (SystemTime, Option<String>)>> {
        self.0.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self, record: &CatalogRecord) -> camlock_api::CatalogView {
        let look = self.looks().get(&record.name).cloned();
        let listed = self.0.with_index(|index| index.listed(&record.name));
        camlock_api::CatalogView {
            name: record.name.clone(),
            url: record.url.clone(),
            root_sha256: match record.proves() {
                true => Digest::of(record.root.as_bytes()).hex(),
                false => String::new(),
            },
            version: record.version,
            listed: listed.unwrap_or_default(),
            priority: record.priority,
            names: record.names.clone(),
            publishers: record.publishers.clone(),
            attested_by: record.attested_by.clone(),
            pins: record.pins.clone(),
            unsigned: record.unsigned,
            synced: look.as_ref().map(|(at, _)| UtcTime::from(*at)),
            trouble: look.and_then(|(_, why)| why),
        }
    }
}

impl CatalogsInside {
    /// Opens a catalog: asks it what is there now.
    fn open(&self, record: &CatalogRecord) -> Result<(FollowedCatalog, TrustedFiles), CatalogTrouble> {
        if let Some(organization) = DiscoveredReader::organization_of(&record.url) {
            let discovered = self.discovered(organization, true)?;
            return Ok((FollowedCatalog::Discovered(discovered), TrustedFiles::default()));
        }
        let files = record.metadata.iter().map(|(name, text)| (name.clone(), text.clone().into_bytes()));
        let trusted = TrustedFiles::of(files.collect());
        let now = SystemTime::now().try_into().unwrap_or_default();
        Ok((FollowedCatalog::open(&record.url, record.root.as_bytes(), trusted.clone(), now)?, trusted))
    }

    fn with_index<T>(
        &self,
        work: impl FnOnce(&mut CatalogIndex) -> Result<T, CatalogTrouble>,
    ) -> Result<T, CatalogTrouble> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let open = match index.take() {
            Some(open) => open,
            None => CatalogIndex::open(&self.searched)?,
        };
        work(index.insert(open))
    }
}

/// A catalog's record as what reads it needs it.
trait FollowedRecord {
    fn provides(&self, plugin: &str) -> bool;
    /// Whether it proves what it holds. A list that nobody signed does not.
    fn proves(&self) -> bool;
}

impl FollowedRecord for CatalogRecord {
    /// Whether it may provide this name.
    fn provides(&self, plugin: &str) -> bool {
        let covers = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => plugin.starts_with(beginning),
            None => plugin == pattern,
        };
        self.names.is_empty() || self.names.iter().any(covers)
    }

    fn proves(&self) -> bool {
        proves(&self.url)
    }
}

/// Whether what a URL names is signed.
fn proves(url: &str) -> bool {
    !ListingReader::is_named_by(url) && DiscoveredReader::organization_of(url).is_none()
}

fn invalid(reason: impl Into<String>) -> CatalogRefusal {
    CatalogRefusal { kind: CatalogRefused::Invalid, reason: reason.into() }
}

/// What makes no sense is told before anything is asked for.
fn checked(order: &CatalogOrder) -> Result<(), CatalogRefusal> {
    check_name(&order.name).map_err(|_| {
        invalid("`name` is no name for a catalog: small letters, digits and hyphens, a letter first, up to 64")
    })?;
    for pattern in &order.names {
        let beginning = pattern.strip_suffix('*').unwrap_or(pattern);
        if beginning.is_empty() || beginning.contains('*') {
            return Err(invalid("`names` has an entry that is no name, nor the beginning of one with `*` behind"));
        }
    }
    for key in &order.publishers {
        PublisherKey::read(key).map_err(|trouble| invalid(format!("`publishers`: {}", trouble.reason)))?;
    }
    Demands::read(&order.attested_by, &order.pins)
        .map_err(|trouble| invalid(format!("`attested_by`, `pins`: {}", trouble.reason)))?;
    let digits = |digest: &String| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    if order.root_sha256.as_ref().is_some_and(|digest| !digits(digest)) {
        return Err(invalid("`root_sha256` is no sha-256 in 64 hexadecimal digits"));
    }
    match DiscoveredReader::organization_of(&order.url) {
        Some("") => Err(invalid("`url`: whose repositories they are comes after `discovered:`")),
        Some(_) => Ok(()),
        None => {
            CatalogPlace::read(&order.url).map(drop).map_err(|trouble| invalid(format!("`url`: {}", trouble.reason)))
        }
    }
}

impl Catalogs for ServerCatalogs {
    fn list(&self) -> CatalogAnswer<Vec<camlock_api::CatalogView>> {
        let this = self.clone();
        Box::pin(async move {
            let all = this.0.records.catalogs().await.map_err(unavailable)?;
            Ok(all.iter().map(|record| this.view(record)).collect())
        })
    }

    fn add(&self, order: CatalogOrder, by: Actor) -> CatalogAnswer<camlock_api::CatalogView> {
        let this = self.clone();
        Box::pin(async move {
            checked(&order)?;
            let taken = || CatalogRefusal {
                kind: CatalogRefused::Conflict,
                reason: format!("there is a catalog `{}`: remove it first", order.name),
            };
            if this.0.records.catalogs().await.map_err(unavailable)?.iter().any(|record| record.name == order.name) {
                return Err(taken());
            }
            let is_signed = proves(&order.url);
            if !is_signed && !order.unsigned {
                return Err(CatalogRefusal {
                    kind: CatalogRefused::Denied,
                    reason: format!(
                        "{} is a list that nobody signed: add it with `--unsigned` if what it names may be installed all the same",
                        order.url
                    ),
                });
            }
            // A list has no root that could be trusted.
            let url = order.url.clone();
            let root = match is_signed {
                false => Vec::new(),
                true => this.aside(move |_| CatalogReader::first_root(&CatalogPlace::read(&url)?)).await?,
            };
            let there = Digest::of(&root).hex();
            if let Some(wanted) = order.root_sha256.as_ref().filter(|wanted| wanted.to_lowercase() != there) {
                return Err(CatalogRefusal {
                    kind: CatalogRefused::Denied,
                    reason: format!(
                        "the root of {} has the sha-256 {there}, and not {wanted}: it is another catalog",
                        order.url
                    ),
                });
            }
            let not_text = |_| CatalogRefusal {
                kind: CatalogRefused::Denied,
                reason: format!("the root of {} is not UTF-8", order.url),
            };
            let mut record = CatalogRecord {
                name: order.name.clone(),
                url: order.url.clone(),
                root: String::from_utf8(root).map_err(not_text)?,
                priority: order.priority,
                names: order.names.clone(),
                publishers: order.publishers.clone(),
                attested_by: order.attested_by.clone(),
                pins: order.pins.clone(),
                unsigned: order.unsigned,
                ..CatalogRecord::default()
            };
            // What is not to be believed is not followed.
            let proving = record.clone();
            let (metadata, version) = this
                .aside(move |inside| {
                    inside.with_index(|index| index.forget(&proving.name))?;
                    let (reader, trusted) = inside.open(&proving)?;
                    Ok((kept(&trusted), reader.version()))
                })
                .await?;
            if !this.0.records.add(record.clone(), by).await.map_err(unavailable)? {
                return Err(taken());
            }
            (record.metadata, record.version) = (metadata, version);
            this.look(record.clone()).await?;
            Ok(this.view(&record))
        })
    }

    fn remove(&self, name: &str, by: Actor) -> CatalogAnswer<()> {
        let (this, name) = (self.clone(), name.to_owned());
        Box::pin(async move {
            this.record(&name).await?;
            this.0.records.remove(&name, by).await.map_err(unavailable)?;
            this.looks().remove(&name);
            this.aside(move |inside| inside.with_index(|index| index.forget(&name))).await
        })
    }

    fn sync(&self, name: &str) -> CatalogAnswer<camlock_api::CatalogView> {
        let (this, name) = (self.clone(), name.to_owned());
        Box::pin(async move {
            this.look(this.record(&name).await?).await?;
            Ok(this.view(&this.record(&name).await?))
        })
    }

    fn search(&self, query: CatalogQuery) -> CatalogAnswer<Vec<camlock_api::ListedPluginView>> {
        let this = self.clone();
        Box::pin(async move {
            let CatalogQuery { text, category, tag, author, available_here, sort, skip, most } = query;
            let order = match sort {
                CatalogSort::Relevance => ListingOrder::Relevance,
                CatalogSort::Name => ListingOrder::Name,
                CatalogSort::Rating => ListingOrder::Rating,
                CatalogSort::Downloads => ListingOrder::Downloads,
                CatalogSort::CreatedAt => ListingOrder::Created,
            };
            this.catch_up().await?;
            let target = available_here.then(|| this.0.server.target.clone());
            let query = ListingQuery { text, category, tag, author, target, order, skip, most };
            let found = this.aside(move |inside| inside.with_index(|index| index.search(&query))).await?;
            Ok(found.into_iter().map(|found| this.0.listed(found)).collect())
        })
    }

    fn categories(&self) -> CatalogAnswer<Vec<camlock_api::CatalogCategoryView>> {
        let this = self.clone();
        Box::pin(async move {
            this.catch_up().await?;
            let all = this.aside(|inside| inside.with_index(|index| index.categories())).await?;
            let view = |(category, listed)| camlock_api::CatalogCategoryView { category, listed };
            Ok(all.into_iter().map(view).collect())
        })
    }

    fn package(&self, plugin: &str, version: &str) -> CatalogAnswer<camlock_api::CatalogPackageView> {
        let (this, plugin, version) = (self.clone(), plugin.to_owned(), version.to_owned());
        Box::pin(async move {
            check_name(&plugin).map_err(|wrong| CatalogRefusal { kind: CatalogRefused::Missing, reason: wrong.0 })?;
            let offers = this.offers().await?;
            this.aside(move |inside| offers.package(inside, &plugin, &version)).await
        })
    }

    fn installs(&self) -> CatalogAnswer<Vec<camlock_api::CatalogInstallView>> {
        let this = self.clone();
        Box::pin(async move { this.going_on().await })
    }

    fn show(&self, plugin: &str) -> CatalogAnswer<camlock_api::CatalogPluginView> {
        let (this, plugin) = (self.clone(), plugin.to_owned());
        Box::pin(async move {
            check_name(&plugin).map_err(|wrong| CatalogRefusal { kind: CatalogRefused::Missing, reason: wrong.0 })?;
            this.catch_up().await?;
            let offers = this.offers().await?;
            this.aside(move |inside| offers.show(inside, &plugin)).await
        })
    }

    fn plan(&self, order: CatalogInstallOrder) -> CatalogAnswer<camlock_api::InstallPlanView> {
        let this = self.clone();
        Box::pin(async move { this.planned(&order).await.map(|plan| plan.view) })
    }

    fn misfits(&self, order: CatalogInstallOrder) -> CatalogAnswer<Vec<ConfigViolation>> {
        let this = self.clone();
        Box::pin(async move { this.misfits_of(order).await })
    }

    fn install(&self, order: CatalogInstallOrder, by: Actor) -> CatalogAnswer<camlock_api::InstallPlanView> {
        let installing = Installing { catalogs: self.clone(), by };
        Box::pin(async move {
            // Whoever waits may give up.
            let done = tokio::spawn(async move { installing.install(order).await });
            let lost = |_| CatalogRefusal {
                kind: CatalogRefused::Failed,
                reason: "installing it was broken off: it goes on when the server starts again".to_owned(),
            };
            done.await.map_err(lost)?
        })
    }

    fn outdated(&self) -> CatalogAnswer<Vec<camlock_api::OutdatedView>> {
        let this = self.clone();
        Box::pin(async move {
            let installs = this.installed().await?;
            let offers = this.offers().await?;
            this.aside(move |inside| inside.outdated(&offers, &installs)).await
        })
    }

    fn advised(&self) -> CatalogAnswer<Vec<PluginProblemView>> {
        let this = self.clone();
        Box::pin(async move { this.problems().await })
    }
}
