//! What is discovered in repositories, as a catalog that an operator asked for: `discovered:ORGANIZATION`.
//!
//! What must not live here: how plugins are discovered, and what of it can be installed (`camlock-catalog` looks at that).

use super::{CatalogsInside, ServerCatalogs};
use camlock_catalog::{
    CatalogTrouble, TroubleSort,
    client::{DiscoveredReader, FetchArchive},
};
use camlock_policy::{CatalogRefusal, DiscoveredSources, NotDiscovered, NotDiscoveredKind};
use camlock_store::CatalogRecord;
use std::{collections::BTreeSet, sync::Arc};
use tokio::runtime::Handle;

impl CatalogsInside {
    /// What is discovered of an organisation. Only from a thread for what blocks.
    pub(super) fn discovered(&self, organization: &str, look: bool) -> Result<DiscoveredReader, CatalogTrouble> {
        let discovery = self.discovery.clone().ok_or_else(|| elsewhere(organization, "nothing"))?;
        let sources = discovery.sources(look);
        let DiscoveredSources { organization: own, plugins, .. } =
            Handle::current().block_on(sources).map_err(undiscovered)?;
        if !own.eq_ignore_ascii_case(organization) {
            return Err(elsewhere(organization, &format!("the plugins of `{own}`")));
        }
        let fetch: FetchArchive = Arc::new(move |plugin, most| {
            Handle::current().block_on(discovery.archive(plugin.clone(), most)).map_err(undiscovered)
        });
        Ok(DiscoveredReader::new(plugins, fetch))
    }
}

impl ServerCatalogs {
    /// Names of discovered plugins that may stand in the place of others.
    pub(super) async fn overriding(&self, catalogs: &[CatalogRecord]) -> BTreeSet<String> {
        let is_followed = catalogs.iter().any(|record| DiscoveredReader::organization_of(&record.url).is_some());
        let Some(discovery) = self.0.discovery.as_ref().filter(|_| is_followed) else { return BTreeSet::new() };
        discovery.sources(false).await.map(|sources| sources.overriding).unwrap_or_default()
    }

    /// Those of these catalogs of what is discovered in which something is new. Nobody is asked for it.
    pub(super) async fn newly_discovered(
        &self,
        records: &[CatalogRecord],
    ) -> Result<Vec<CatalogRecord>, CatalogRefusal> {
        let discovered = records.iter().filter(|record| DiscoveredReader::organization_of(&record.url).is_some());
        let discovered: Vec<CatalogRecord> = discovered.cloned().collect();
        if discovered.is_empty() {
            return Ok(Vec::new());
        }
        self.aside(move |inside| {
            let mut new = Vec::new();
            for record in discovered {
                let organization = DiscoveredReader::organization_of(&record.url).unwrap_or_default();
                // What cannot be told now is told when it is looked at.
                let Ok(now) = inside.discovered(organization, false) else { continue };
                if inside.with_index(|index| index.version(&record.name))? != Some(now.version()) {
                    new.push(record);
                }
            }
            Ok(new)
        })
        .await
    }
}

fn elsewhere(organization: &str, what: &str) -> CatalogTrouble {
    CatalogTrouble {
        sort: TroubleSort::Unfit,
        reason: format!(
            "this server discovers {what}, and not the plugins of `{organization}`: `discovery.organization` says whose"
        ),
    }
}

fn undiscovered(why: NotDiscovered) -> CatalogTrouble {
    let sort = match why.kind {
        NotDiscoveredKind::Invalid => TroubleSort::Unfit,
        NotDiscoveredKind::Missing => TroubleSort::Missing,
        NotDiscoveredKind::Forge | NotDiscoveredKind::Limited => TroubleSort::Unavailable,
    };
    CatalogTrouble { sort, reason: why.reason }
}
