//! What an install would do: which versions are chosen, from where, and what is refused before anything is fetched.
//!
//! What must not live here: carrying it out (`installing`), and whose word counts for a name (`offers`).

use super::{
    CatalogsInside, ServerCatalogs, invalid,
    offers::{OfferedPlugin, OpenCatalogs, missing},
};
use camlock_api::{InstallPlanView, InstallStepView};
use camlock_catalog::{
    CatalogTrouble, TroubleSort,
    resolve::{InstalledVersion, PackagePreference, Request, TakenPart, choose},
};
use camlock_policy::{
    CatalogInstallOrder, CatalogRefusal, Digest, Grants, InstallPreference, PluginSource, UpdateChannel,
    manifest::check_name,
};
use camlock_store::CatalogInstall;
use serde::{Deserialize, Serialize};
use std::{cell::RefCell, collections::BTreeMap};

/// What is to be done, as it stands on record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredPlan {
    /// The plugin that was asked for.
    pub(super) wanted: String,
    /// What is granted to it.
    pub(super) grants: Option<Grants>,
    pub(super) steps: Vec<PlannedStep>,
}

/// One plugin of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PlannedStep {
    pub(super) plugin: String,
    pub(super) from: Option<String>,
    /// Where what it replaces came from.
    pub(super) came_from: Option<PluginSource>,
    /// What all served before, if it came of nothing that lay here: that is gone back to, and nothing put back.
    #[serde(default)]
    pub(super) before: Option<Digest>,
    pub(super) version: String,
    pub(super) catalog: String,
    /// Its author's key; empty: nobody signed it.
    pub(super) publisher: String,
    /// What its package is known by, once it was fetched.
    pub(super) digest: String,
    /// The file of the package that is taken.
    pub(super) file: String,
    pub(super) is_source: bool,
    /// The range that was asked for.
    pub(super) wanted: String,
    pub(super) dependencies: BTreeMap<String, String>,
    pub(super) permissions: Vec<String>,
}

/// A plan, and how it is shown.
pub(super) struct Planned {
    pub(super) plan: StoredPlan,
    pub(super) view: InstallPlanView,
}

impl PlannedStep {
    fn view(&self, inside: &CatalogsInside) -> InstallStepView {
        InstallStepView {
            asks: inside.asks(&self.plugin, &self.catalog, &self.permissions),
            plugin: self.plugin.clone(),
            from: self.from.clone(),
            version: self.version.clone(),
            catalog: self.catalog.clone(),
            publisher: Some(self.publisher.clone()).filter(|key| !key.is_empty()),
            part: if self.is_source { "source" } else { "library" }.to_owned(),
            permissions: self.permissions.clone(),
        }
    }
}

/// What is asked for.
struct AskedInstall {
    plugin: String,
    range: semver::VersionReq,
    /// The range as it was written.
    wanted: String,
    /// Whether a version was named: that one is taken, whatever the update policy says of it.
    exact: bool,
    preference: PackagePreference,
}

impl AskedInstall {
    fn read(order: &CatalogInstallOrder) -> Result<Self, CatalogRefusal> {
        check_name(&order.plugin).map_err(|wrong| invalid(format!("`plugin_id`: {}", wrong.0)))?;
        let text = order.version.as_deref().unwrap_or("*");
        let exact = text.parse::<semver::Version>().is_ok();
        let range = if exact { format!("={text}").parse() } else { text.parse() };
        Ok(AskedInstall {
            plugin: order.plugin.clone(),
            range: range.map_err(|error| invalid(format!("`version`: it is no version and no range: {error}")))?,
            wanted: text.to_owned(),
            exact,
            preference: match order.prefer {
                InstallPreference::Prebuilt => PackagePreference::Prebuilt,
                InstallPreference::Source => PackagePreference::Source,
                InstallPreference::SourceOnly => PackagePreference::SourceOnly,
            },
        })
    }
}

impl ServerCatalogs {
    /// What an install would do.
    pub(super) async fn planned(&self, order: &CatalogInstallOrder) -> Result<Planned, CatalogRefusal> {
        let asked = AskedInstall::read(order)?;
        self.catch_up().await?;
        let offers = self.offers().await?;
        let installs = self.installed().await?;
        let (steps, mut view) =
            self.aside(move |inside| inside.steps(&OpenCatalogs::new(inside, &offers), asked, &installs)).await?;
        let plan = StoredPlan { wanted: order.plugin.clone(), grants: order.grants.clone(), steps };
        view.steps = plan.steps.iter().map(|step| step.view(&self.0)).collect();
        Ok(Planned { plan, view })
    }
}

impl CatalogsInside {
    fn steps(
        &self,
        open: &OpenCatalogs<'_>,
        asked: AskedInstall,
        installs: &[CatalogInstall],
    ) -> Result<(Vec<PlannedStep>, InstallPlanView), CatalogTrouble> {
        let AskedInstall { plugin, range, wanted, exact, preference } = asked;
        let plugin = plugin.as_str();
        let conflict = |reason: String| CatalogTrouble { sort: TroubleSort::Conflict, reason };
        let offered: RefCell<BTreeMap<String, OfferedPlugin>> = RefCell::default();
        let is_ours = |name: &str| installs.iter().any(|install| install.plugin == name);
        let mut installed = BTreeMap::new();
        for there in &self.manager.overview().plugins {
            if !is_ours(&there.name) && open.gives_way(&there.name) {
                continue;
            }
            let record = installs.iter().find(|install| install.plugin == there.name);
            // Of what was not loaded since the server started only the record knows the version.
            let known = there.version.parse().ok().or_else(|| record?.version.parse().ok());
            let Some(version) = known else { continue };
            let dependencies = record.map(|install| install.dependencies.clone()).unwrap_or_default();
            installed.insert(there.name.clone(), InstalledVersion { version, dependencies });
        }
        let ask = |name: &str| {
            let mut found = open.offered(name)?;
            if let Some(found) = &mut found {
                // What is there and came from a catalog is updated as its policy says, unless a version is named.
                if let Some(there) = installed.get(name).filter(|_| is_ours(name) && !(exact && name == plugin)) {
                    self.hold(&mut found.document, &there.version, &found.catalog)?;
                }
                offered.borrow_mut().insert(name.to_owned(), found.clone());
            }
            Ok(found.map(|found| found.document))
        };
        if ask(plugin)?.is_none() {
            return Err(missing(plugin));
        }
        if let Some(there) = installed.get(plugin) {
            if !is_ours(plugin) {
                return Err(conflict(format!(
                    "there is a plugin `{plugin}` {} that came otherwise, and it stays: remove it first, `camlock remove {plugin}`",
                    there.version
                )));
            }
            let newest = |version: &&semver::Version| range.matches(version);
            let documents = offered.borrow();
            let versions: Vec<_> = documents[plugin].document.versions.iter().filter_map(|one| one.semver()).collect();
            if let Some(best) = versions.iter().filter(newest).max().filter(|best| **best < there.version) {
                return Err(conflict(format!(
                    "`{plugin}` is {} here, and {best} is older: going back is `camlock rollback {plugin}`",
                    there.version
                )));
            }
        }
        let pre_releases = |name: &&String| self.policy.updates_of(name).channel == UpdateChannel::PreRelease;
        let request = Request {
            wanted: BTreeMap::from([(plugin.to_owned(), range)]),
            pre_releases: installed.keys().filter(pre_releases).cloned().collect(),
            installed: installed.clone(),
            preference,
        };
        let chosen = choose(&request, &self.server, &ask)?;
        let offered = offered.into_inner();
        let (mut steps, mut view) = (Vec::new(), InstallPlanView::default());
        if let (Some(there), Some(offered)) = (installed.get(plugin), offered.get(plugin))
            && let Some((newest, Some(why))) =
                self.newest(&offered.document).filter(|(newest, _)| *newest > there.version)
        {
            view.held.push(format!(
                "{plugin} {newest} is not taken: {why}; `camlock install {plugin}@{newest}` takes it all the same"
            ));
        }
        for (name, chosen) in chosen {
            let there = self.manager.plugin(&name);
            if there.is_some() && !is_ours(&name) && !open.gives_way(&name) {
                return Err(conflict(format!(
                    "`{name}` {} is needed, and there is one that came otherwise, {}: update or remove that first",
                    chosen.version.version,
                    there.map(|there| there.version.clone()).unwrap_or_default()
                )));
            }
            let Some(offered) = offered.get(&name) else { return Err(missing(&name)) };
            view.advisories.extend(self.advisories_on(&name, &chosen.version.version)?);
            let (file, is_source) = match &chosen.part {
                TakenPart::Source(file) => (file.clone(), true),
                TakenPart::Library(target) => (chosen.version.libraries[target].file.clone(), false),
            };
            steps.push(PlannedStep {
                from: there.as_ref().map(|there| there.version.clone()),
                came_from: there.and_then(|there| there.grants.source.parse().ok()),
                before: None,
                version: chosen.version.version.clone(),
                catalog: offered.catalog.clone(),
                publisher: offered.publisher.as_ref().map(ToString::to_string).unwrap_or_default(),
                digest: String::new(),
                file,
                is_source,
                wanted: if name == plugin { wanted.clone() } else { "*".to_owned() },
                dependencies: chosen.version.dependencies.clone(),
                permissions: chosen.version.permissions.clone(),
                plugin: name,
            });
        }
        Ok((steps, view))
    }
}
