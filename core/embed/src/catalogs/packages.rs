//! What is in a package for people: its README and the schema of its configuration. They are proved as what is installed is, so what
//! is read before an install is its author's; and so that what does not fit is told before. What must not live here: installing.

use super::{
    CatalogsInside, ServerCatalogs,
    offers::{Offers, OpenCatalogs, missing},
};
use camlock_api::{CatalogPackageView, InstallStepView, PermissionView};
use camlock_catalog::{CatalogTrouble, TroubleSort};
use camlock_config::Schema;
use camlock_policy::{
    CatalogInstallOrder, CatalogRefusal, ConfigSchema, ConfigViolation, PluginSource, covers, meaning,
};
use serde_json::Value;

/// The largest file that is shown. Packages that Camlock makes have none that is larger.
const LARGEST_SHOWN: u64 = 1 << 20;

impl Offers {
    pub(super) fn package(
        &self,
        inside: &CatalogsInside,
        plugin: &str,
        version: &str,
    ) -> Result<CatalogPackageView, CatalogTrouble> {
        let open = OpenCatalogs::new(inside, self);
        let offered = open.offered(plugin)?.ok_or_else(|| missing(plugin))?;
        let listed = offered.document.version(version).ok_or_else(|| CatalogTrouble {
            sort: TroubleSort::Missing,
            reason: format!(
                "the catalog `{}` lists `{plugin}`, and no version of it that is called so",
                offered.catalog
            ),
        })?;
        let reader = open.reader(&offered.catalog)?;
        let read = |file: &str| {
            if listed.files.get(file).is_none_or(|record| record.size > LARGEST_SHOWN) {
                return Ok(None);
            }
            let part = reader.borrow().part(plugin, listed, file)?;
            if let Some(key) = &offered.publisher {
                part.verify(key)?;
            }
            Ok(Some(part.bytes().to_vec()))
        };
        let schema = read("config.schema.json")?;
        let unfit = |error| CatalogTrouble {
            sort: TroubleSort::Unfit,
            reason: format!("the schema of the configuration of `{plugin}` {version} is not understood: {error}"),
        };
        Ok(CatalogPackageView {
            plugin: plugin.to_owned(),
            version: version.to_owned(),
            catalog: offered.catalog.clone(),
            digest: listed.package.as_ref().map(|record| record.sha256.clone()),
            readme: read("README.md")?.map(|text| String::from_utf8_lossy(&text).into_owned()),
            config_schema: schema.map(|text| serde_json::from_slice(&text).map_err(unfit)).transpose()?,
        })
    }
}

impl ServerCatalogs {
    pub(super) async fn misfits_of(&self, order: CatalogInstallOrder) -> Result<Vec<ConfigViolation>, CatalogRefusal> {
        let Some(config) = order.config.clone() else { return Ok(Vec::new()) };
        let plan = self.planned(&order).await?.view;
        let comes = |step: &&InstallStepView| step.plugin == order.plugin && step.from.is_none();
        let Some(step) = plan.steps.iter().find(comes).cloned() else { return Ok(Vec::new()) };
        let offers = self.offers().await?;
        let package = self.aside(move |inside| offers.package(inside, &step.plugin, &step.version)).await?;
        let Some(schema) = package.config_schema else { return Ok(Vec::new()) };
        // One that cannot be used is the trouble of whoever loads it.
        let Ok(schema) = Schema::read(&Value::Object(schema).to_string()) else { return Ok(Vec::new()) };
        Ok(schema.complete(&config).err().unwrap_or_default())
    }
}

impl CatalogsInside {
    /// What each of these permissions means, and whether it was granted to what came under this name from this catalog before.
    pub(super) fn asks(&self, plugin: &str, catalog: &str, permissions: &[String]) -> Vec<PermissionView> {
        let there = self.manager.plugin(plugin);
        let source = PluginSource::Catalog(catalog.to_owned()).to_string();
        let grants = there.as_ref().map(|there| &there.grants).filter(|grants| grants.source == source);
        let is_granted = |permission: &str| {
            grants.is_some_and(|grants| grants.all || grants.granted.iter().any(|granted| covers(granted, permission)))
        };
        let ask = |permission: &String| PermissionView {
            meaning: meaning(permission).to_owned(),
            granted: is_granted(permission),
            permission: permission.clone(),
        };
        permissions.iter().map(ask).collect()
    }
}
