//! What advisories come to, for what is installed: each is told once, and, if the operator says so, its plugin is disabled, once.
//!
//! What must not live here: what an install refuses (`offers`), and how catalogs are followed.

use super::{CatalogsInside, ServerCatalogs, words::unavailable};
use camlock_api::{AdvisoryView, UtcTime};
use camlock_catalog::CatalogTrouble;
use camlock_policy::{Act, AdvisoryPolicy, CatalogRefusal, Order, PluginProblemView, ProblemRule, registry::Actor};
use camlock_store::{AdvisedPlugin, CatalogInstall};
use serde_json::json;
use std::time::SystemTime;

/// What is installed, and what is wrong with it.
type Concerned = (CatalogInstall, Vec<AdvisoryView>);

impl ServerCatalogs {
    async fn concerned(&self) -> Result<Vec<Concerned>, CatalogRefusal> {
        let installs = self.installed().await?;
        if installs.is_empty() {
            return Ok(Vec::new());
        }
        self.aside(move |inside| inside.concerned(installs)).await
    }

    /// Holds what is installed against what catalogs say is wrong. What does not work now is tried again the next time.
    pub(super) async fn advise(&self) {
        if let Err(why) = self.try_to_advise().await {
            tracing::warn!("what advisories come to is not known for now: {why}");
        }
    }

    async fn try_to_advise(&self) -> Result<(), CatalogRefusal> {
        let concerned = self.concerned().await?;
        if concerned.is_empty() {
            return Ok(());
        }
        let told = self.0.records.advised().await.map_err(unavailable)?;
        for (install, advisories) in concerned {
            for advisory in advisories {
                // A catalog has no say about what came from another one.
                let disables =
                    self.0.policy.advisories == AdvisoryPolicy::Disable && advisory.catalog == install.catalog;
                let is_this = |one: &&AdvisedPlugin| {
                    (&one.plugin, &one.version, &one.advisory) == (&install.plugin, &install.version, &advisory.id)
                };
                if told.iter().find(is_this).is_some_and(|one| one.disabled || !disables) {
                    continue;
                }
                self.tell(&install, &advisory, disables).await?;
            }
        }
        Ok(())
    }

    /// First it is done, then it is on record: whoever ends in between does it again.
    async fn tell(
        &self,
        install: &CatalogInstall,
        advisory: &AdvisoryView,
        disables: bool,
    ) -> Result<(), CatalogRefusal> {
        let CatalogInstall { plugin, version, .. } = install;
        let by = Actor::from(format!("catalog:{}", advisory.catalog).as_str());
        let there = self.0.manager.plugin(plugin);
        let is_enabled = there.as_ref().is_some_and(|there| there.enabled);
        let serving = there.as_ref().and_then(|there| there.serving.as_ref()).map(|serving| &serving.version);
        if disables && is_enabled && serving != Some(version) {
            // Which version comes up is not known yet: the next look decides.
            return Ok(());
        }
        if disables && is_enabled {
            let order = Order { plugin: plugin.clone(), act: Act::Enable(false), by: by.clone(), revision: None };
            if let Err(why) = self.0.manager.order(order).await {
                tracing::warn!(
                    plugin,
                    advisory = advisory.id,
                    "it was not disabled, though an advisory is about it: {why}"
                );
                return Ok(());
            }
        }
        let reason = sentence(advisory);
        let told = AdvisedPlugin {
            plugin: plugin.clone(),
            version: version.clone(),
            advisory: advisory.id.clone(),
            disabled: disables,
            at: SystemTime::now(),
        };
        if self.0.records.advise(told, reason.clone(), by).await.map_err(unavailable)? {
            let done = if disables { "it was disabled" } else { "it serves on" };
            tracing::warn!(plugin, version, advisory = advisory.id, "an advisory is about it, and {done}: {reason}");
            let payload = json!({
                "advisory": advisory.id, "catalog": advisory.catalog, "version": version, "severity": advisory.severity,
                "title": advisory.title, "remedy": advisory.remedy, "url": advisory.url, "disabled": disables,
            });
            let topic = format!("camlock.plugin.{plugin}.advisory");
            self.0.events.emit_of_host(&topic, payload.to_string().as_bytes());
        }
        Ok(())
    }

    /// The same as problems of plugins, one of each.
    pub(super) async fn problems(&self) -> Result<Vec<PluginProblemView>, CatalogRefusal> {
        let concerned = self.concerned().await?;
        if concerned.is_empty() {
            return Ok(Vec::new());
        }
        let told = self.0.records.advised().await.map_err(unavailable)?;
        let problem = |(install, advisories): Concerned| {
            let since = told.iter().filter(|one| one.plugin == install.plugin && one.version == install.version);
            let what: Vec<String> = advisories.iter().map(|one| format!("{}: {}", one.id, one.title)).collect();
            let remedies: Vec<&str> =
                advisories.iter().map(|one| one.remedy.as_str()).filter(|remedy| !remedy.is_empty()).collect();
            let usual = format!(
                "`camlock update {0}`, or `camlock disable {0}` until there is a version that mends it",
                install.plugin
            );
            PluginProblemView {
                rule: ProblemRule::Advisory,
                since: UtcTime::from(since.map(|one| one.at).min().unwrap_or_else(SystemTime::now)),
                what: format!("{} is concerned by {}", install.version, what.join("; ")),
                evidence: json!({
                    "version": install.version,
                    "catalog": install.catalog,
                    "advisories": advisories.iter().map(|one| format!("{} ({})", one.id, one.severity)).collect::<Vec<_>>(),
                }),
                recommendation: if remedies.is_empty() { usual } else { remedies.join("; ") },
                act: None,
                plugin: install.plugin,
            }
        };
        Ok(concerned.into_iter().map(problem).collect())
    }
}

impl CatalogsInside {
    fn concerned(&self, installs: Vec<CatalogInstall>) -> Result<Vec<Concerned>, CatalogTrouble> {
        let mut concerned = Vec::new();
        for install in installs {
            let advisories = self.advisories_on(&install.plugin, &install.version)?;
            if !advisories.is_empty() {
                concerned.push((install, advisories));
            }
        }
        Ok(concerned)
    }
}

/// What is wrong, and what to do.
pub(super) fn sentence(advisory: &AdvisoryView) -> String {
    let AdvisoryView { id, severity, title, remedy, .. } = advisory;
    let remedy = if remedy.is_empty() { String::new() } else { format!("; {remedy}") };
    format!("{id} ({severity}): {title}{remedy}")
}
