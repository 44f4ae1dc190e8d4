//! What catalogs offer of a plugin: whose word counts for a name, and what that says.
//!
//! A name belongs to the catalog and the publisher that it first came from. What must not live here: placing anything.

use super::{CatalogsInside, FollowedRecord, ServerCatalogs, advising::sentence, words::unavailable};
use camlock_api::{AdvisoryView, CatalogPluginView, CatalogVersionView, ListedPluginView};
use camlock_catalog::{
    CatalogTrouble, Demands, PluginAdvisory, PluginDocument,
    client::{DiscoveredReader, FollowedCatalog},
    package::PublisherKey,
    resolve::{PackagePreference, fitting},
    search::FoundLine,
};
use camlock_policy::CatalogRefusal;
use camlock_store::{CatalogInstall, CatalogName, CatalogRecord};
use semver::Version;
use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

/// What is on record when something is looked for.
pub(super) struct Offers {
    catalogs: Vec<CatalogRecord>,
    names: BTreeMap<String, CatalogName>,
    /// What was installed, with the versions.
    installs: Vec<CatalogInstall>,
    /// Discovered plugins that the operator lets stand in the place of others.
    overriding: BTreeSet<String>,
}

impl ServerCatalogs {
    pub(super) async fn offers(&self) -> Result<Offers, CatalogRefusal> {
        let catalogs = self.0.records.catalogs().await.map_err(unavailable)?;
        let names = self.0.records.names().await.map_err(unavailable)?;
        let installs = self.0.records.installs().await.map_err(unavailable)?;
        let overriding = self.overriding(&catalogs).await;
        Ok(Offers {
            catalogs,
            installs,
            overriding,
            names: names.into_iter().map(|name| (name.plugin.clone(), name)).collect(),
        })
    }

    /// What was installed from catalogs, and is there still.
    pub(super) async fn installed(&self) -> Result<Vec<CatalogInstall>, CatalogRefusal> {
        let mut installs = self.0.records.installs().await.map_err(unavailable)?;
        let overview = self.0.manager.overview();
        installs.retain_mut(|install| {
            let source = format!("catalog:{}", install.catalog);
            let there = overview.plugins.iter().find(|plugin| plugin.name == install.plugin);
            // Somebody may have gone back.
            if let Some(serving) = there.and_then(|plugin| plugin.serving.as_ref()) {
                install.version.clone_from(&serving.version);
            }
            there.is_some_and(|plugin| plugin.grants.source == source)
        });
        Ok(installs)
    }
}

/// A plugin as a catalog offers it.
#[derive(Clone, Debug)]
pub(super) struct OfferedPlugin {
    pub(super) catalog: String,
    pub(super) document: PluginDocument,
    /// The key that must have signed; none: nobody's, and the operator allowed that.
    pub(super) publisher: Option<PublisherKey>,
}

/// Catalogs that are open, each opened once.
pub(super) struct OpenCatalogs<'a> {
    inside: &'a CatalogsInside,
    offers: &'a Offers,
    readers: RefCell<BTreeMap<String, Rc<RefCell<FollowedCatalog>>>>,
}

pub(super) fn missing(plugin: &str) -> CatalogTrouble {
    CatalogTrouble {
        sort: camlock_catalog::TroubleSort::Missing,
        reason: format!(
            "no catalog lists `{plugin}`: `camlock catalog search` finds what there is, `camlock catalog sync` looks for what is new"
        ),
    }
}

fn denied(reason: String) -> CatalogTrouble {
    CatalogTrouble { sort: camlock_catalog::TroubleSort::Denied, reason }
}

impl<'a> OpenCatalogs<'a> {
    pub(super) fn new(inside: &'a CatalogsInside, offers: &'a Offers) -> Self {
        OpenCatalogs { inside, offers, readers: RefCell::default() }
    }

    /// What this version was known by when it was installed.
    pub(super) fn first_digest(&self, plugin: &str, version: &str) -> Option<&str> {
        let is_this = |install: &&CatalogInstall| install.plugin == plugin && install.version == version;
        self.offers.installs.iter().find(is_this).map(|install| install.digest.as_str())
    }

    /// What an operator demands of what comes from a catalog.
    pub(super) fn demands(&self, catalog: &str) -> Result<Demands, CatalogTrouble> {
        let record = self.offers.catalogs.iter().find(|record| record.name == catalog);
        record.map_or_else(|| Ok(Demands::default()), |record| Demands::read(&record.attested_by, &record.pins))
    }

    pub(super) fn reader(&self, catalog: &str) -> Result<Rc<RefCell<FollowedCatalog>>, CatalogTrouble> {
        if let Some(open) = self.readers.borrow().get(catalog) {
            return Ok(open.clone());
        }
        let record = self.offers.catalogs.iter().find(|record| record.name == catalog);
        let record = record.ok_or_else(|| denied(format!("the catalog `{catalog}` is followed no longer")))?;
        let reader = Rc::new(RefCell::new(self.inside.open(record)?.0));
        self.readers.borrow_mut().insert(catalog.to_owned(), reader.clone());
        Ok(reader)
    }

    /// Whether an operator lets a discovered plugin stand in the place of others of its name.
    fn overrides(&self, plugin: &str, catalog: &str) -> bool {
        let is_discovered = |record: &&CatalogRecord| DiscoveredReader::organization_of(&record.url).is_some();
        let record = self.offers.catalogs.iter().find(|record| record.name == catalog);
        record.filter(is_discovered).is_some() && self.offers.overriding.contains(plugin)
    }

    /// Whether what is there under a name gives way to a discovered plugin, by an operator's word.
    pub(super) fn gives_way(&self, plugin: &str) -> bool {
        self.offers.overriding.contains(plugin)
            && self.offered(plugin).is_ok_and(|found| found.is_some_and(|found| self.overrides(plugin, &found.catalog)))
    }

    /// Who has a name: where it came from before, else a catalog that proves what it holds, of those the one with the highest priority.
    pub(super) fn offered(&self, plugin: &str) -> Result<Option<OfferedPlugin>, CatalogTrouble> {
        let listing = self.inside.with_index(|index| index.catalogs_of(plugin))?;
        let bound = self.offers.names.get(plugin);
        let mut records: Vec<&CatalogRecord> = self
            .offers
            .catalogs
            .iter()
            .filter(|record| listing.contains(&record.name) && record.provides(plugin))
            .collect();
        if let Some(bound) = bound {
            let others: Vec<String> = records.iter().map(|record| format!("`{}`", record.name)).collect();
            records.retain(|record| record.name == bound.catalog);
            if records.is_empty() && !others.is_empty() {
                return Err(denied(format!(
                    "`{plugin}` belongs to the catalog `{}`, which does not list it, and {} would provide another one of that name: \
                     delete its row of `catalog_names` in the registry if that is what you want",
                    bound.catalog,
                    others.join(", ")
                )));
            }
        }
        records.sort_by_key(|record| {
            let overrides = self.overrides(plugin, &record.name);
            (!overrides, !record.proves(), Reverse(record.priority), record.name.clone())
        });
        let Some(record) = records.first() else { return Ok(None) };
        let mut document = self.reader(&record.name)?.borrow_mut().document(plugin)?;
        self.demands(&record.name)?.refuse(&mut document, &record.name);
        self.inside.refuse_advised(&record.name, &mut document)?;
        let publisher = publisher(record, bound, &document)?;
        Ok(Some(OfferedPlugin { catalog: record.name.clone(), document, publisher }))
    }
}

/// Whose signature a plugin must have.
fn publisher(
    record: &CatalogRecord,
    bound: Option<&CatalogName>,
    document: &PluginDocument,
) -> Result<Option<PublisherKey>, CatalogTrouble> {
    let (plugin, catalog) = (&document.name, &record.name);
    let key = document.publisher.as_deref().map(PublisherKey::read).transpose()?;
    if let Some(bound) = bound.filter(|bound| !bound.publisher.is_empty())
        && key.as_ref().is_none_or(|key| key.to_string() != bound.publisher)
    {
        return Err(denied(format!(
            "`{plugin}` came from the publisher {}, and the catalog `{catalog}` now names {}: ask its author whether the key was \
             changed, and delete its row of `catalog_names` in the registry if so",
            bound.publisher,
            key.map_or_else(|| "none".to_owned(), |key| key.to_string())
        )));
    }
    let mut listed = Vec::new();
    for key in &record.publishers {
        listed.push(PublisherKey::read(key)?);
    }
    match &key {
        Some(key) if !listed.is_empty() && !listed.contains(key) => Err(denied(format!(
            "`{plugin}` is by the publisher {key}, who is not among those that are taken from the catalog `{catalog}`"
        ))),
        None if !record.unsigned => Err(denied(format!(
            "nobody signed `{plugin}`, and the catalog `{catalog}` was added without allowing that"
        ))),
        _ => Ok(key),
    }
}

impl Offers {
    pub(super) fn show(&self, inside: &CatalogsInside, plugin: &str) -> Result<CatalogPluginView, CatalogTrouble> {
        let open = OpenCatalogs::new(inside, self);
        let offered = open.offered(plugin)?.ok_or_else(|| missing(plugin))?;
        let document = &offered.document;
        let line = document.line();
        let mut versions: Vec<_> = document.versions.iter().collect();
        versions.sort_by_key(|version| std::cmp::Reverse(version.semver()));
        let version = |version: &&camlock_catalog::PluginVersion| CatalogVersionView {
            version: version.version.clone(),
            published_at: version.published_at.clone(),
            yanked: version.yanked.clone(),
            unfit: fitting(version, &inside.server, PackagePreference::default()).err(),
            signed: version.signature.is_some(),
            permissions: version.permissions.clone(),
            dependencies: version.dependencies.iter().map(|(name, range)| format!("{name} {range}")).collect(),
        };
        let advisories = inside.with_index(|index| index.advisories())?;
        let about = advisories.into_iter().filter(|(catalog, one)| *catalog == offered.catalog && one.plugin == plugin);
        Ok(CatalogPluginView {
            publisher: offered.publisher.as_ref().map(ToString::to_string),
            repository: document.repository.clone(),
            versions: versions.iter().map(version).collect(),
            advisories: about.map(|(catalog, one)| advisory(catalog, one)).collect(),
            listed: inside.listed(FoundLine { catalog: offered.catalog, line }),
        })
    }
}

fn advisory(catalog: String, one: PluginAdvisory) -> AdvisoryView {
    let PluginAdvisory { id, plugin, versions, severity, title, remedy, url } = one;
    AdvisoryView { id, catalog, plugin, versions, severity, title, remedy, url }
}

impl CatalogsInside {
    /// What is wrong with a version of a plugin, whichever catalog says so.
    pub(super) fn advisories_on(&self, plugin: &str, version: &str) -> Result<Vec<AdvisoryView>, CatalogTrouble> {
        let Ok(version) = version.parse::<Version>() else { return Ok(Vec::new()) };
        let all = self.with_index(|index| index.advisories())?;
        let about = all.into_iter().filter(|(_, one)| one.concerns(plugin, &version));
        Ok(about.map(|(catalog, one)| advisory(catalog, one)).collect())
    }

    /// Versions that the catalog itself warns of are refused, if the operator says so.
    fn refuse_advised(&self, catalog: &str, document: &mut PluginDocument) -> Result<(), CatalogTrouble> {
        if !self.policy.refuses_advised() {
            return Ok(());
        }
        for version in &mut document.versions {
            let about = self.advisories_on(&document.name, &version.version)?;
            let advised = about.iter().find(|advisory| advisory.catalog == catalog);
            version.refused = version.refused.take().or_else(|| {
                advised.map(|one| format!("`catalogs.advisories` of this server refuses it: {}", sentence(one)))
            });
        }
        Ok(())
    }

    pub(super) fn listed(&self, found: FoundLine) -> ListedPluginView {
        let FoundLine { catalog, line } = found;
        let there = self.manager.plugin(&line.name);
        let available_here = line.has_source && self.server.compiles || line.targets.contains(&self.server.target);
        ListedPluginView {
            installed: there.map(|plugin| plugin.version.clone()),
            available_here,
            name: line.name,
            display_name: line.display_name,
            description: line.description,
            category: line.category,
            tags: line.tags,
            authors: line.authors,
            license: line.license,
            version: line.version,
            catalog,
            rating: line.rating,
            downloads: line.downloads,
            created_at: line.created_at,
            updated_at: line.updated_at,
        }
    }
}
