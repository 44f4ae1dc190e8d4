//! The port through which operators see catalogs, and have plugins installed from them by name. What must not live here: what a
//! catalog is, and whom it takes to believe it.

use crate::{BoxFuture, Grants, registry::Actor};
use camlock_api::{
    CatalogCategoryView, CatalogInstallView, CatalogPackageView, CatalogPluginView, CatalogView, ConfigViolation,
    InstallPlanView, ListedPluginView, OutdatedView, PluginProblemView,
};
use serde::Deserialize;
use serde_json::Value;

/// A catalog that is to be followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogOrder {
    /// What it is called here.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// What the sha-256 of its first root must be, in hexadecimal digits; without, whatever it is now is trusted.
    pub root_sha256: Option<String>,
    /// Where two have a name, the one with the higher number has it.
    pub priority: i32,
    /// Which names it may provide; `*` at an end covers all that begin alike. None: all.
    pub names: Vec<String>,
    /// Whose keys are taken. None: anybody's, and then the same for ever.
    pub publishers: Vec<String>,
    /// Which repositories' workflows must have attested what is taken: `OWNER/REPOSITORY`, or `OWNER/REPOSITORY:WORKFLOW.yml`. None: nobody has to.
    pub attested_by: Vec<String>,
    /// `NAME@VERSION=SHA256` of packages: of a plugin that is named only such versions, with these digests, are taken. None: all are.
    pub pins: Vec<String>,
    /// Whether packages are taken that nobody signed.
    pub unsigned: bool,
}

/// In what order what is found is listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CatalogSort {
    /// What fits best first.
    #[default]
    Relevance,
    /// By name.
    Name,
    /// What is rated best first.
    Rating,
    /// What was fetched most often first.
    Downloads,
    /// The newest first.
    CreatedAt,
}

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogQuery {
    /// Words.
    pub text: String,
    /// Only of this category.
    pub category: Option<String>,
    /// Only with this tag.
    pub tag: Option<String>,
    /// Only by this author.
    pub author: Option<String>,
    /// Only what there is for this server.
    pub available_here: bool,
    /// In what order.
    pub sort: CatalogSort,
    /// So many of the first ones are left out.
    pub skip: usize,
    /// So many are listed at most.
    pub most: Option<usize>,
}

/// A plugin that is to be installed by name, with what it needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CatalogInstallOrder {
    /// The plugin.
    pub plugin: String,
    /// A version, or a range; without, the newest that fits.
    pub version: Option<String>,
    /// Its configuration.
    pub config: Option<Value>,
    /// What is granted; without, what was granted before, or nothing.
    pub grants: Option<Grants>,
    /// Which of library and sources is taken.
    pub prefer: InstallPreference,
}

/// Which of library and sources is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstallPreference {
    /// The library, where one fits; otherwise the sources.
    #[default]
    Prebuilt,
    /// The sources, where they can be compiled; otherwise the library.
    Source,
    /// Nothing but sources.
    SourceOnly,
}

/// What sort of trouble there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatalogRefused {
    /// What was asked for makes no sense.
    Invalid,
    /// There is no such thing.
    Missing,
    /// A signature, or what the operator decided, is against it.
    Denied,
    /// It does not fit together, or not here; or there is something else in its place.
    Conflict,
    /// It was tried, failed, and was taken back.
    Failed,
    /// That passes.
    Unavailable,
}

/// Why something was not had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct CatalogRefusal {
    /// What sort of trouble it is.
    pub kind: CatalogRefused,
    /// One sentence.
    pub reason: String,
}

/// What comes of asking for something of catalogs.
pub type CatalogAnswer<T> = BoxFuture<Result<T, CatalogRefusal>>;

/// Catalogs, for operators.
pub trait Catalogs: Send + Sync {
    /// All that are followed, by name.
    fn list(&self) -> CatalogAnswer<Vec<CatalogView>>;
    /// Follows one from now on, and looks at it.
    fn add(&self, order: CatalogOrder, by: Actor) -> CatalogAnswer<CatalogView>;
    /// Follows it no longer. What was installed from it stays.
    fn remove(&self, name: &str, by: Actor) -> CatalogAnswer<()>;
    /// Looks at one now.
    fn sync(&self, name: &str) -> CatalogAnswer<CatalogView>;
    /// What is found, in order.
    fn search(&self, query: CatalogQuery) -> CatalogAnswer<Vec<ListedPluginView>>;
    /// Which categories what is listed belongs to, by name.
    fn categories(&self) -> CatalogAnswer<Vec<CatalogCategoryView>>;
    /// All that is known of a plugin.
    fn show(&self, plugin: &str) -> CatalogAnswer<CatalogPluginView>;
    /// What is in a package for people.
    fn package(&self, plugin: &str, version: &str) -> CatalogAnswer<CatalogPackageView>;
    /// What an install would do.
    fn plan(&self, order: CatalogInstallOrder) -> CatalogAnswer<InstallPlanView>;
    /// What of the configuration of an install would not fit what it brings. Of what is there already the supervisor says so.
    fn misfits(&self, order: CatalogInstallOrder) -> CatalogAnswer<Vec<ConfigViolation>>;
    /// Installs: all of it, or nothing. Whoever waits may give up; it goes on.
    fn install(&self, order: CatalogInstallOrder, by: Actor) -> CatalogAnswer<InstallPlanView>;
    /// What this server is installing from catalogs now.
    fn installs(&self) -> CatalogAnswer<Vec<CatalogInstallView>>;
    /// What is installed and not the newest, or has something wrong with it.
    fn outdated(&self) -> CatalogAnswer<Vec<OutdatedView>>;
    /// What advisories say of what is installed, as problems of plugins.
    fn advised(&self) -> CatalogAnswer<Vec<PluginProblemView>>;
}
