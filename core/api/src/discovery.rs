//! What was discovered in an organisation's repositories, and what became of a look at them.

use crate::UtcTime;
use serde::{Deserialize, Serialize};

/// All that was discovered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DiscoveredPlugins))]
pub struct DiscoveredPlugins {
    /// By name.
    pub data: Vec<DiscoveredPlugin>,
    pub meta: DiscoveryMeta,
}

/// A plugin that a repository offers: its manifest, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DiscoveredPlugin))]
pub struct DiscoveredPlugin {
    pub name: String,
    /// The release that it was read from.
    pub version: String,
    pub owner: String,
    pub repository: String,
    /// Always `community`.
    pub source: String,
    pub category: String,
    pub description: String,
    /// Names of other plugins.
    pub dependencies: Vec<String>,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub docs_url: Option<String>,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<DiscoveredAuthor>, required))]
    pub author: Option<DiscoveredAuthor>,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub license: Option<String>,
    pub keywords: Vec<String>,
    /// The sort of forge.
    pub repository_type: String,
    /// Where in the repository it is, if not at its root.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub folder: Option<String>,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub replace: Option<String>,
    /// The commit of its release, where the forge tells it.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub commit: Option<String>,
    /// Always false: nothing proves who made it.
    pub signed: bool,
    /// Null: nothing that its manifest says is in the way.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub cannot_be_installed: Option<String>,
}

/// Who made a plugin, by their own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DiscoveredAuthor))]
pub struct DiscoveredAuthor {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<String>,
}

/// About the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DiscoveryMeta))]
pub struct DiscoveryMeta {
    pub total: u64,
    /// When all repositories were last looked at. Null: never.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub last_scan: Option<UtcTime>,
    pub scan_duration_ms: u64,
    pub organization: String,
    /// Repositories that are no plugins, and why.
    pub failed: Vec<DiscoveryFailure>,
    /// Why not all repositories were looked at the last time.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub incomplete: Option<String>,
}

/// A repository that is no plugin, or could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DiscoveryFailure))]
pub struct DiscoveryFailure {
    pub owner: String,
    pub repository: String,
    /// At least one.
    pub errors: Vec<DiscoveryTrouble>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DiscoveryTrouble))]
pub struct DiscoveryTrouble {
    pub kind: TroubleWithPlugin,
    pub message: String,
    /// The manifest, and the place in it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub column: Option<u64>,
}

/// What sort of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DiscoveryTroubleKind))]
#[serde(rename_all = "snake_case")]
pub enum TroubleWithPlugin {
    /// The manifest lacks a field.
    MissingRequiredField,
    /// Something in the manifest is not as it must be.
    InvalidFormat,
    /// It depends on something that is not there.
    InvalidDependency,
    /// The forge lets nobody ask any more for now.
    RateLimit,
    /// The repository is not there.
    RepositoryNotFound,
    /// The release is not there.
    ReleaseNotFound,
    /// The forge does not answer as it must.
    ForgeApi,
}

/// What came of a scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ScanOutcome))]
pub struct ScanOutcome {
    /// `success`; `incomplete`: not all repositories could be looked at; `cached`: what was known is not too old.
    pub status: String,
    pub organization: String,
    pub statistics: DiscoveryStatistics,
    pub plugins: Vec<DiscoveredVersion>,
    pub failed: Vec<DiscoveryFailure>,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub incomplete: Option<String>,
}

/// A plugin and its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DiscoveredVersion))]
pub struct DiscoveredVersion {
    pub name: String,
    pub version: String,
}

/// Counts of a scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DiscoveryStatistics))]
pub struct DiscoveryStatistics {
    /// Public repositories that the organisation has.
    pub repositories_scanned: u64,
    /// Those of them that have a manifest at their latest release.
    pub manifests_scanned: u64,
    pub plugins_registered: u64,
    /// Those that were not there before, or have another version now.
    pub plugins_updated: u64,
    pub plugins_failed: u64,
    pub duration_ms: u64,
    /// Questions to the forge, and those of them that were answered with "not modified".
    pub calls: u64,
    pub not_modified: u64,
}

/// What came of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = HintOutcome))]
pub struct HintOutcome {
    /// `success`; `accepted`: it is being looked at; `ignored`: `detail` says why.
    pub status: String,
    /// Null: the repository is no plugin.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<HintedPlugin>, required))]
    pub plugin: Option<HintedPlugin>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
}

/// The plugin that a webhook was about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = HintedPlugin))]
pub struct HintedPlugin {
    pub name: String,
    pub version: String,
    /// Whether it is another version than before.
    pub updated: bool,
}
