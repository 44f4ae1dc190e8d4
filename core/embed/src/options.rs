//! What a Camlock is told. All of it has defaults but the two directories.

use camlock_admin::{Levels, Logs};
use camlock_build::{CompilerListener, Profile};
use camlock_loader::BuiltIn;
use camlock_policy::Settings;
use camlock_store::Objects;
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How a Camlock is made. Relative paths are relative to the current directory.
#[derive(Clone)]
pub struct Options {
    /// What is served. It need not exist yet.
    pub plugins: PathBuf,
    /// Where everything is kept that Camlock needs: artifacts, builds, the registry, the admin token. It is made if need be, and
    /// is for this user alone.
    pub data: PathBuf,
    /// Where cargo builds. Default: in the data directory.
    pub builds: Option<PathBuf>,
    /// How plugins are compiled. Default: to run fastest.
    pub profile: Profile,
    /// Limits, and whether a new plugin is served at once.
    pub settings: Settings,
    /// What is laid over this program's environment, for one plugin alone: variables, by the plugin's name.
    pub variables: BTreeMap<String, BTreeMap<String, String>>,
    /// The plugins that are compiled into this program.
    pub built_in: Vec<BuiltIn>,
    /// The admin token. Default: the one in the data directory, which is made the first time.
    pub token: Option<String>,
    /// The registry, `sqlite://PATH` or `postgres://…`; it may hold a password. Default: a file in the data directory.
    pub database: Option<String>,
    /// Its schema, in PostgreSQL.
    pub schema: String,
    /// Whether it is an error if the registry cannot be used for now. Otherwise what was last known is served.
    pub require_database: bool,
    /// So many days its journal is kept.
    pub journal_days: u32,
    /// How servers that share a registry know of one another.
    pub fleet: Fleet,
    /// Where artifacts are shared, if not in the registry.
    pub artifacts: Option<Arc<Objects>>,
    /// Where this server is, for the people who look at a fleet.
    pub address: String,
    /// The program's version, for people.
    pub version: String,
    /// What it was built from.
    pub revision: Option<String>,
    /// What it was built with.
    pub rustc: Option<String>,
    /// What plugins say goes here too, for `GET /api/v1/plugins/NAME/logs`, if it is a layer of the program's subscriber.
    pub logs: Logs,
    /// How much each plugin says; changed at run time by operators.
    pub levels: Levels,
    /// Who hears compilers.
    pub listener: Option<CompilerListener>,
    /// Origins whose pages may use the admin API in a browser, `https://admin.example.com`; by default none may.
    pub origins: Vec<http::HeaderValue>,
}

/// How servers that share a registry know of one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// How often a server is heard of.
    pub heartbeat: Duration,
    /// One that was not heard of for so long is not waited for.
    pub alive: Duration,
    /// How long a rollout waits for answers.
    pub rollout: Duration,
}

impl Default for Fleet {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Fleet { heartbeat: seconds(15), alive: seconds(45), rollout: seconds(30) }
    }
}

impl Options {
    /// The defaults, for plugins in this directory.
    pub fn new(plugins: impl Into<PathBuf>, data: impl Into<PathBuf>) -> Self {
        Options {
            plugins: plugins.into(),
            data: data.into(),
            builds: None,
            profile: Profile::Release,
            settings: Settings::default(),
            variables: BTreeMap::new(),
            built_in: Vec::new(),
            token: None,
            database: None,
            schema: "camlock".to_owned(),
            require_database: false,
            journal_days: 30,
            fleet: Fleet::default(),
            artifacts: None,
            address: String::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: None,
            rustc: None,
            logs: Logs::default(),
            levels: Levels::default(),
            listener: None,
            origins: Vec::new(),
        }
    }

    /// The registry's URL.
    pub(crate) fn database_url(&self, data: &Path) -> String {
        self.database.clone().unwrap_or_else(|| format!("sqlite://{}", data.join("registry.db").display()))
    }

    /// Which registry that is, without what lets one in.
    pub(crate) fn database_name(&self, data: &Path) -> String {
        let url = self.database_url(data);
        let place = match url.split_once("://") {
            Some((scheme, rest)) => {
                let place = rest.split(['?', '#']).next().unwrap_or_default();
                let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
                format!("{scheme}://{host}")
            }
            None => "unknown".to_owned(),
        };
        format!("{place} {}", self.schema)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the token nor the database's password.
        let mut shown = formatter.debug_struct("Options");
        shown.field("plugins", &self.plugins).field("data", &self.data).field("profile", &self.profile);
        shown.field("database", &self.database_name(&self.data)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown() {
        let database = Some("postgres://camlock:secret@db/plugins?password=secret".to_owned());
        let options = Options { database, token: Some("secret".to_owned()), ..Options::new("plugins", "data") };
        let shown = format!("{options:?}");
        assert!(shown.contains("postgres://db/plugins camlock"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
        let shown = Options::new("plugins", "data").database_name(Path::new("/data"));
        assert_eq!(shown, "sqlite:///data/registry.db camlock");
    }
}
