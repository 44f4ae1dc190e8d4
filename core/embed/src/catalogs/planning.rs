//! What an install would do: which versions are chosen, from where, and what is refused before anything is fetched.
//!
//! What must not live here: carrying it out (`installing`), and whose word counts for a name (`offers`).

use super::{
    CatalogsInside, ServerCatalogs, invalid,
    offers::{OfferedPlugin, OpenCatalogs, missing},
};
use camlock_api::{AdvisoryView, InstallPlanView, InstallStepView};
use camlock_catalog::{
    CatalogTrouble, TroubleSort,
    resolve::{InstalledVersion, PackagePreference, Request, TakenPart, choose},
};
use camlock_policy::{
    CatalogInstallOrder, CatalogRefusal, Grants, InstallPreference, PluginSource, manifest::check_name,
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
    fn view(&self) -> InstallStepView {
        InstallStepView {
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

/// The range that is asked for. A version alone means that one.
fn range_of(version: Option<&str>) -> Result<semver::VersionReq, CatalogRefusal> {
    let Some(text) = version else { return Ok(semver::VersionReq::STAR) };
    let exact = text.parse::<semver::Version>().is_ok();
    let range = if exact { format!("={text}").parse() } else { text.parse() };
    range.map_err(|error| invalid(format!("`version`: it is no version and no range: {error}")))
}

impl ServerCatalogs {
    /// What an install would do.
    pub(super) async fn planned(&self, order: &CatalogInstallOrder) -> Result<Planned, CatalogRefusal> {
        check_name(&order.plugin).map_err(|wrong| invalid(format!("`plugin_id`: {}", wrong.0)))?;
        let range = range_of(order.version.as_deref())?;
        let wanted = order.version.clone().unwrap_or_else(|| "*".to_owned());
        let (plugin, grants) = (order.plugin.clone(), order.grants.clone());
        let preference = match order.prefer {
            InstallPreference::Prebuilt => PackagePreference::Prebuilt,
            InstallPreference::Source => PackagePreference::Source,
            InstallPreference::SourceOnly => PackagePreference::SourceOnly,
        };
        self.catch_up().await?;
        let offers = self.offers().await?;
        let installs = self.installed().await?;
        let (steps, advisories) = self
            .aside(move |inside| {
                let open = OpenCatalogs::new(inside, &offers);
                inside.steps(&open, (&plugin, range, &wanted), preference, &installs)
            })
            .await?;
        let plan = StoredPlan { wanted: order.plugin.clone(), grants, steps };
        let view = InstallPlanView { steps: plan.steps.iter().map(PlannedStep::view).collect(), advisories };
        Ok(Planned { plan, view })
    }
}

impl CatalogsInside {
    fn steps(
        &self,
        open: &OpenCatalogs<'_>,
        (plugin, range, wanted): (&str, semver::VersionReq, &str),
        preference: PackagePreference,
        installs: &[CatalogInstall],
    ) -> Result<(Vec<PlannedStep>, Vec<AdvisoryView>), CatalogTrouble> {
        let conflict = |reason: String| CatalogTrouble { sort: TroubleSort::Conflict, reason };
        let offered: RefCell<BTreeMap<String, OfferedPlugin>> = RefCell::default();
        let ask = |name: &str| {
            let found = open.offered(name)?;
            if let Some(found) = &found {
                offered.borrow_mut().insert(name.to_owned(), found.clone());
            }
            Ok(found.map(|found| found.document))
        };
        if ask(plugin)?.is_none() {
            return Err(missing(plugin));
        }
        let mut installed = BTreeMap::new();
        for there in &self.manager.overview().plugins {
            let Ok(version) = there.version.parse() else { continue };
            let dependencies = installs.iter().find(|install| install.plugin == there.name);
            let dependencies = dependencies.map(|install| install.dependencies.clone()).unwrap_or_default();
            installed.insert(there.name.clone(), InstalledVersion { version, dependencies });
        }
        let is_ours = |name: &str| installs.iter().any(|install| install.plugin == name);
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
        let request = Request { wanted: BTreeMap::from([(plugin.to_owned(), range)]), installed, preference };
        let chosen = choose(&request, &self.server, &ask)?;
        let offered = offered.into_inner();
        let (mut steps, mut advisories) = (Vec::new(), Vec::new());
        for (name, chosen) in chosen {
            let there = self.manager.plugin(&name);
            if there.is_some() && !is_ours(&name) {
                return Err(conflict(format!(
                    "`{name}` {} is needed, and there is one that came otherwise, {}: update or remove that first",
                    chosen.version.version,
                    there.map(|there| there.version.clone()).unwrap_or_default()
                )));
            }
            let Some(offered) = offered.get(&name) else { return Err(missing(&name)) };
            advisories.extend(self.advisories_on(&name, &chosen.version.version)?);
            let (file, is_source) = match &chosen.part {
                TakenPart::Source(file) => (file.clone(), true),
                TakenPart::Library(target) => (chosen.version.libraries[target].file.clone(), false),
            };
            steps.push(PlannedStep {
                from: there.as_ref().map(|there| there.version.clone()),
                came_from: there.and_then(|there| there.grants.source.parse().ok()),
                version: chosen.version.version.clone(),
                catalog: offered.catalog.clone(),
                publisher: offered.publisher.as_ref().map(ToString::to_string).unwrap_or_default(),
                digest: String::new(),
                file,
                is_source,
                wanted: if name == plugin { wanted.to_owned() } else { "*".to_owned() },
                dependencies: chosen.version.dependencies.clone(),
                permissions: chosen.version.permissions.clone(),
                plugin: name,
            });
        }
        Ok((steps, advisories))
    }
}
