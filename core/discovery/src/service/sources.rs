//! What was discovered, for those who install it: which plugins there are, and the sources of one.
//!
//! What must not live here: whether anybody may install it, and what is in the sources.

use super::{DiscoveryService, not_discovered};
use crate::{known::assemble, scan::tell_of};
use camlock_api::DiscoveredPlugin;
use camlock_policy::{DiscoveredSources, NotDiscovered};

impl DiscoveryService {
    pub(super) async fn to_install(&self, look: bool) -> Result<DiscoveredSources, NotDiscovered> {
        let organization = &self.0.settings.organization;
        let known = if look {
            self.want();
            self.discovered_once().await?
        } else {
            self.current(organization).await
        };
        let plugins = assemble(&known.repositories, &self.elsewhere()).plugins;
        let overriding = plugins.iter().map(|plugin| plugin.name.clone());
        let overriding = overriding.filter(|name| self.0.settings.overrides.allows(name)).collect();
        Ok(DiscoveredSources { organization: organization.clone(), plugins, overriding })
    }

    pub(super) async fn fetched(&self, plugin: DiscoveredPlugin, most: u64) -> Result<Vec<u8>, NotDiscovered> {
        let DiscoveredPlugin { owner, repository, commit, version, .. } = plugin;
        // What a commit is does not change; where a tag leads may.
        let reference = commit.unwrap_or(version);
        self.0.forge.archive(&owner, &repository, &reference, most).await.map_err(|error| {
            tell_of(&format!("{owner}/{repository}"), &error.clone().into());
            not_discovered(&error)
        })
    }
}
