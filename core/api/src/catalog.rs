//! Catalogs, what they list, and what an install from them comes to.

use crate::{PermissionView, UtcTime};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A catalog from which plugins are installed by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Catalog))]
pub struct CatalogView {
    pub name: String,
    pub url: String,
    /// The sha-256 of the root that is trusted, in hexadecimal digits; empty: it is a list that nobody signed.
    pub root_sha256: String,
    /// Its version, as it was last proved; 0: never yet.
    pub version: u64,
    /// So many plugins are listed.
    pub listed: u64,
    /// Where two have a name, the one with the higher number has it.
    pub priority: i32,
    /// Which names it may provide; `*` at an end covers all that begin alike. Empty: all.
    pub names: Vec<String>,
    /// Whose keys are taken. Empty: anybody's, and then the same for ever.
    pub publishers: Vec<String>,
    /// Which repositories' workflows must have attested what is taken: `OWNER/REPOSITORY`, or `OWNER/REPOSITORY:WORKFLOW.yml`. Empty: nobody has to.
    pub attested_by: Vec<String>,
    /// `NAME@VERSION=SHA256` of packages: of a plugin that is named only such versions, with these digests, are taken. Empty: all are.
    pub pins: Vec<String>,
    /// Whether packages are taken that nobody signed.
    pub unsigned: bool,
    /// When this server last followed it; null: not since it started.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub synced: Option<UtcTime>,
    /// Why that did not work, if it did not.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub trouble: Option<String>,
}

/// A plugin that a catalog lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ListedPlugin))]
pub struct ListedPluginView {
    pub name: String,
    pub display_name: String,
    pub description: String,
    pub category: String,
    pub tags: Vec<String>,
    pub authors: Vec<String>,
    pub license: String,
    /// The newest version.
    pub version: String,
    pub catalog: String,
    /// Whether there is a library for this server's target, or sources.
    pub available_here: bool,
    /// From 1 to 5, where the catalog knows.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub rating: Option<f64>,
    /// Where the catalog knows.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub downloads: Option<u64>,
    pub created_at: String,
    pub updated_at: String,
    /// The version that is there; null: it is not installed.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub installed: Option<String>,
}

/// All that a catalog says of a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = CatalogPlugin))]
pub struct CatalogPluginView {
    #[serde(flatten)]
    pub listed: ListedPluginView,
    /// Its author's key; null: nobody signed it.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub publisher: Option<String>,
    pub repository: String,
    /// The newest first.
    pub versions: Vec<CatalogVersionView>,
    pub advisories: Vec<AdvisoryView>,
}

/// A version of a plugin in a catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = CatalogVersion))]
pub struct CatalogVersionView {
    pub version: String,
    pub published_at: String,
    /// Why nobody should install it any more, if that is so.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub yanked: Option<String>,
    /// Why it does not fit this server; null: it does.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub unfit: Option<String>,
    /// Whether its author's signature lies with it.
    pub signed: bool,
    /// What it asks to be allowed.
    pub permissions: Vec<String>,
    /// Other plugins that it needs, each with a range.
    pub dependencies: Vec<String>,
}

/// What is in a package for people, proved as what is installed is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = CatalogPackage))]
pub struct CatalogPackageView {
    pub plugin: String,
    pub version: String,
    pub catalog: String,
    /// The sha-256 that the package is known by, in hexadecimal digits; null: the catalog has none of it.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub digest: Option<String>,
    /// Its README, as its author wrote it.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub readme: Option<String>,
    /// The JSON Schema of its configuration.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>, required))]
    pub config_schema: Option<Map<String, Value>>,
}

/// So many plugins of a category are listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = CatalogCategory))]
pub struct CatalogCategoryView {
    pub category: String,
    pub listed: u64,
}

/// What is wrong with versions of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Advisory))]
pub struct AdvisoryView {
    pub id: String,
    pub catalog: String,
    pub plugin: String,
    /// Which versions, as a range.
    pub versions: String,
    pub severity: String,
    pub title: String,
    /// What to do, or empty.
    pub remedy: String,
    pub url: String,
}

/// One plugin of an install.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = InstallStep))]
pub struct InstallStepView {
    pub plugin: String,
    /// The version that is there until now; null: none.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub from: Option<String>,
    pub version: String,
    pub catalog: String,
    /// Its author's key; null: nobody signed it.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub publisher: Option<String>,
    /// `library`, or `source`, which is compiled here.
    pub part: String,
    /// What it asks to be allowed.
    pub permissions: Vec<String>,
    /// The same: what each lets it do, and whether it was granted to what came from this catalog before.
    pub asks: Vec<PermissionView>,
}

/// An install from a catalog that goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = CatalogInstall))]
pub struct CatalogInstallView {
    pub id: u64,
    /// The plugin that was asked for.
    pub plugin: String,
    /// `planned`: its files are fetched and verified; `verified`: all of them are; `placed`: each is put in its place, in order, and
    /// comes to serve; `serving`: it is put on record.
    pub state: String,
    /// Who installs.
    pub by: String,
    /// Each plugin of it, with the version that comes.
    pub steps: Vec<String>,
}

/// What an install does, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = InstallPlan))]
pub struct InstallPlanView {
    /// Empty: all that is asked for is there.
    pub steps: Vec<InstallStepView>,
    /// What is wrong with what would be installed.
    pub advisories: Vec<AdvisoryView>,
    /// Newer versions that the update policy does not take now, with why, in sentences.
    pub held: Vec<String>,
}

/// A plugin that was installed from a catalog, and that is not the newest, or has something wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = OutdatedPlugin))]
pub struct OutdatedView {
    pub plugin: String,
    pub installed: String,
    pub newest: String,
    /// Why that is not taken now by an update; null: it is.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub held: Option<String>,
    pub catalog: String,
    /// What is wrong with the version that is installed.
    pub advisories: Vec<AdvisoryView>,
}
