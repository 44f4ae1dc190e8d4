//! What was discovered in an organisation's repositories, as a catalog: like a list that nobody signed, with the sources of each where its
//! repository has them at its release.
//!
//! Nothing here is proved but that the sources are those of the plugin that they are listed as. What must not live here: how plugins are
//! discovered, and how a forge is asked.

use super::{PackagePart, SyncedLines, Synchronized, listing::SOURCE};
use crate::{
    CatalogTrouble,
    documents::{AdvisoryList, ListingLine, PluginDocument, PluginVersion},
    package::{LARGEST_FILE, repack},
    trouble::shown,
};
use camlock_api::DiscoveredPlugin;
use camlock_policy::{Digest, manifest::check_name};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// What the URL of such a catalog begins with; the organisation comes after it.
const SCHEME: &str = "discovered:";

/// Fetches the archive of a plugin's repository at its release, of so many bytes at most.
pub type FetchArchive = Arc<dyn Fn(&DiscoveredPlugin, u64) -> Result<Vec<u8>, CatalogTrouble> + Send + Sync>;

/// What was discovered.
#[derive(Clone)]
pub struct DiscoveredReader {
    plugins: BTreeMap<String, DiscoveredPlugin>,
    version: u64,
    fetch: FetchArchive,
}

impl fmt::Debug for DiscoveredReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DiscoveredReader").field("version", &self.version).finish_non_exhaustive()
    }
}

impl DiscoveredReader {
    /// Whose repositories a URL names, if it is one of these: `discovered:ORGANIZATION`.
    pub fn organization_of(url: &str) -> Option<&str> {
        url.strip_prefix(SCHEME)
    }

    /// Those with a name that is one here.
    pub fn new(plugins: Vec<DiscoveredPlugin>, fetch: FetchArchive) -> Self {
        let named = plugins.into_iter().filter(|plugin| check_name(&plugin.name).is_ok());
        let plugins: BTreeMap<String, DiscoveredPlugin> = named.map(|plugin| (plugin.name.clone(), plugin)).collect();
        // Known by its digest, as lists are.
        let digest = Digest::of(&serde_json::to_vec(&plugins).unwrap_or_default()).hex();
        let version = u64::from_str_radix(&digest[..13], 16).unwrap_or_default();
        DiscoveredReader { plugins, version, fetch }
    }

    /// What tells it from what it was.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What there is, unless that is known.
    pub fn since(&self, known: Option<u64>) -> Synchronized {
        let line = |plugin: &DiscoveredPlugin| {
            let has_source = plugin.cannot_be_installed.is_none();
            ListingLine { has_source, ..document(plugin).line() }
        };
        let lines = match known == Some(self.version) {
            true => SyncedLines::Unchanged,
            false => SyncedLines::All(self.plugins.values().map(line).collect()),
        };
        Synchronized { version: self.version, lines, advisories: Some(AdvisoryList::default()) }
    }

    /// All that is known of a plugin.
    pub fn document(&self, name: &str) -> Result<PluginDocument, CatalogTrouble> {
        let plugin = self.plugins.get(name).map(document);
        plugin.ok_or_else(|| {
            CatalogTrouble::missing(format!("`{}` is discovered no longer: `camlock discover` says why", shown(name)))
        })
    }

    /// The sources of a version, as they are packed here.
    pub fn part(&self, name: &str, version: &PluginVersion) -> Result<PackagePart, CatalogTrouble> {
        let is_this = |plugin: &&DiscoveredPlugin| number(plugin) == version.version;
        let plugin = self.plugins.get(name).filter(is_this).ok_or_else(|| {
            CatalogTrouble::missing(format!("`{}` {} is not its latest release", shown(name), shown(&version.version)))
        })?;
        let archive = (self.fetch)(plugin, LARGEST_FILE)?;
        let stem = format!("{name}-{}", version.version);
        let part = repack(&archive, plugin.folder.as_deref(), &stem).and_then(|sources| {
            let part = PackagePart::of_sources((name, &version.version), SOURCE, sources)?;
            part.examine_source().map(|()| part)
        });
        part.map_err(|trouble| trouble.at(format!("`{name}` {} cannot be installed", plugin.version)))
    }
}

/// The version as it is said here.
fn number(plugin: &DiscoveredPlugin) -> &str {
    plugin.version.strip_prefix('v').unwrap_or(&plugin.version)
}

fn document(plugin: &DiscoveredPlugin) -> PluginDocument {
    let version = PluginVersion {
        version: number(plugin).to_owned(),
        dependencies: plugin.dependencies.iter().map(|name| (name.clone(), "*".to_owned())).collect(),
        source: Some(SOURCE.to_owned()),
        refused: plugin.cannot_be_installed.clone(),
        ..PluginVersion::default()
    };
    let author = plugin.author.clone().unwrap_or_default();
    PluginDocument {
        name: plugin.name.clone(),
        description: plugin.description.clone(),
        authors: author.name.or(author.email).into_iter().collect(),
        license: plugin.license.clone().unwrap_or_default(),
        category: plugin.category.clone(),
        tags: plugin.keywords.clone(),
        repository: format!("{}/{}", plugin.owner, plugin.repository),
        versions: vec![version],
        ..PluginDocument::default()
    }
}
