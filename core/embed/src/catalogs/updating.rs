//! Updates by policy: which newer versions wait, and until when; and those that come by themselves.
//!
//! What must not live here: what a policy says of a version (`camlock-policy` decides that), and how an install goes on.

use super::{
    CatalogsInside, ServerCatalogs,
    installing::Installing,
    offers::{Offers, OpenCatalogs},
    words::unavailable,
};
use camlock_api::{InstallStepView, OutdatedView};
use camlock_catalog::{CatalogTrouble, PluginDocument};
use camlock_policy::{CatalogInstallOrder, CatalogRefusal, CatalogRefused, UpdateChannel, registry::Actor};
use camlock_store::CatalogInstall;
use semver::Version;
use serde_json::json;
use std::time::{Duration, SystemTime};
use tokio::time::timeout;

/// So often it is looked whether it is time for an update.
const OFTEN: Duration = Duration::from_secs(600);

impl ServerCatalogs {
    /// Updates what updates by itself, whenever a catalog was followed and whenever it may have become time, for as long as this runs.
    pub(super) async fn keep_updated(&self) {
        let updates = |policy: &camlock_policy::CatalogPolicy| {
            policy.updates.automatic || policy.plugins.values().any(|policy| policy.automatic)
        };
        if !updates(&self.0.policy) {
            return;
        }
        loop {
            let _ = timeout(OFTEN, self.0.followed.notified()).await;
            if let Err(why) = self.update_by_policy().await {
                tracing::warn!("updates that come by themselves are not known for now: {why}");
            }
        }
    }

    async fn update_by_policy(&self) -> Result<(), CatalogRefusal> {
        for install in self.installed().await? {
            // The one before may have taken long.
            let now = now();
            let there = self.0.manager.plugin(&install.plugin);
            if !there.is_some_and(|there| there.enabled) || !self.0.policy.updates_of(&install.plugin).is_time(now) {
                continue;
            }
            let (catalog, plugin) = (install.catalog.clone(), install.plugin.clone());
            let line = self.aside(move |inside| inside.with_index(|index| index.line(&catalog, &plugin))).await?;
            let newest = line.and_then(|line| line.version.parse::<Version>().ok());
            // Pre-releases do not stand in the line.
            let all = self.0.policy.updates_of(&install.plugin).channel == UpdateChannel::PreRelease;
            if all || newest > install.version.parse().ok() {
                self.update(&install).await?;
            }
        }
        Ok(())
    }

    /// Each version is tried once, by one server.
    async fn update(&self, install: &CatalogInstall) -> Result<(), CatalogRefusal> {
        let CatalogInstall { plugin, version: from, .. } = install;
        let order = CatalogInstallOrder { plugin: plugin.clone(), ..CatalogInstallOrder::default() };
        let planned = match self.planned(&order).await {
            Ok(planned) => planned,
            Err(why) => {
                tracing::debug!(plugin, "there is no update for now: {why}");
                return Ok(());
            }
        };
        let Some(to) = planned.view.steps.iter().find(|step| step.plugin == *plugin).map(|step| step.version.clone())
        else {
            return Ok(());
        };
        let may = |step: &InstallStepView| {
            let is_itself = step.plugin == *plugin;
            is_itself || step.from.is_some() && self.0.policy.updates_of(&step.plugin).is_time(now())
        };
        if let Some(other) = planned.view.steps.iter().find(|step| !may(step)) {
            tracing::info!(
                plugin,
                to,
                other = other.plugin,
                "it does not come by itself: another plugin would come with it"
            );
            return Ok(());
        }
        // What was installed already and does not serve, somebody went back from.
        let installs = self.0.records.installs().await.map_err(unavailable)?;
        let was = installs.iter().find(|one| one.plugin == *plugin).and_then(|one| one.version.parse::<Version>().ok());
        if was.is_some() && was >= to.parse().ok() {
            return Ok(());
        }
        if !self.0.records.try_update(plugin, &to).await.map_err(unavailable)? {
            return Ok(());
        }
        let installing = Installing { catalogs: self.clone(), by: Actor::from("update-policy") };
        let outcome = installing.install(CatalogInstallOrder { version: Some(to.clone()), ..order }).await;
        if outcome.as_ref().is_err_and(|why| why.kind == CatalogRefused::Unavailable) {
            // Something was away, and the version itself was not tried.
            self.0.records.forget_update(plugin, &to).await.map_err(unavailable)?;
        }
        let reason = outcome.as_ref().err().map(ToString::to_string);
        match &reason {
            None => tracing::info!(plugin, from, to, "it was updated, as its policy says"),
            Some(why) => tracing::warn!(plugin, from, to, "it was to be updated, as its policy says: {why}"),
        }
        let payload = json!({ "from": from, "to": to, "updated": reason.is_none(), "reason": reason });
        let topic = format!("camlock.plugin.{plugin}.update");
        self.0.events.emit_of_host(&topic, payload.to_string().as_bytes());
        Ok(())
    }
}

pub(super) fn now() -> jiff::Timestamp {
    SystemTime::now().try_into().unwrap_or_default()
}

impl CatalogsInside {
    /// Versions that are newer than the one that is there, and that the policy does not take now, say why.
    pub(super) fn hold(
        &self,
        document: &mut PluginDocument,
        there: &Version,
        catalog: &str,
    ) -> Result<(), CatalogTrouble> {
        let (name, policy, now) = (document.name.clone(), self.policy.updates_of(&document.name), now());
        let is_advised = |version: &str| -> Result<bool, CatalogTrouble> {
            Ok(self.advisories_on(&name, version)?.iter().any(|advisory| advisory.catalog == catalog))
        };
        let wrong = is_advised(&there.to_string())?;
        for version in &mut document.versions {
            let Some(number) = version.semver().filter(|number| number > there) else { continue };
            let mends = wrong && !is_advised(&version.version)?;
            let held = policy.holds(&number, &version.published_at, now, mends);
            version.refused = version.refused.take().or(held);
        }
        Ok(())
    }

    /// The newest version that counts for this plugin, and why it is not taken now.
    pub(super) fn newest(&self, document: &PluginDocument) -> Option<(Version, Option<String>)> {
        let all = self.policy.updates_of(&document.name).channel == UpdateChannel::PreRelease;
        let offered = document.versions.iter().filter(|version| version.yanked.is_none());
        let known = offered.filter_map(|version| Some((version.semver()?, version)));
        let newest = known.max_by_key(|(number, _)| (all || number.pre.is_empty(), number.clone()));
        newest.map(|(number, version)| (number, version.refused.clone()))
    }

    pub(super) fn outdated(
        &self,
        offers: &Offers,
        installs: &[CatalogInstall],
    ) -> Result<Vec<OutdatedView>, CatalogTrouble> {
        let open = OpenCatalogs::new(self, offers);
        let mut outdated = Vec::new();
        for install in installs {
            let Ok(there) = install.version.parse::<Version>() else { continue };
            let line = self.with_index(|index| index.line(&install.catalog, &install.plugin))?;
            let mut newest = line.and_then(|line| line.version.parse().ok()).unwrap_or_else(|| there.clone());
            let all = self.policy.updates_of(&install.plugin).channel == UpdateChannel::PreRelease;
            let mut held = None;
            if all || newest > there {
                // While its catalog is away, what is known of it is told.
                if let Ok(Some(mut offered)) = open.offered(&install.plugin)
                    && offered.catalog == install.catalog
                {
                    self.hold(&mut offered.document, &there, &install.catalog)?;
                    (newest, held) = self.newest(&offered.document).unwrap_or((newest, None));
                }
            }
            let advisories = self.advisories_on(&install.plugin, &install.version)?;
            if newest > there || !advisories.is_empty() {
                outdated.push(OutdatedView {
                    plugin: install.plugin.clone(),
                    installed: install.version.clone(),
                    held: held.filter(|_| newest > there),
                    newest: newest.max(there).to_string(),
                    catalog: install.catalog.clone(),
                    advisories,
                });
            }
        }
        Ok(outdated)
    }
}
