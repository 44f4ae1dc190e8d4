//! What a Camlock is told. All of it has defaults but the two directories.

use crate::kept::{AskSettings, DatabaseSettings, EventSettings, StorageSettings, TaskSettings};
use camlock_admin::{AdminSettings, Levels, Logs};
use camlock_build::{CompilerListener, Profile};
use camlock_discovery::DiscoverySettings;
use camlock_isolate::ParentLink;
use camlock_loader::BuiltIn;
use camlock_policy::{CatalogOrder, Doctor, Limits, Settings};
use camlock_services::ExecutionSettings;
use camlock_services::{NotAService, Service, ServiceSet, secrets::SecretsKey};
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
    /// What plugins may ask of this program, beside what Camlock offers: see [`Options::service`].
    pub services: ServiceSet,
    /// How much plugins may keep.
    pub storage: StorageSettings,
    /// How plugins' own tables are reached.
    pub database: DatabaseSettings,
    /// Where events are kept, and how much waits.
    pub events: EventSettings,
    /// How much plugins may have done later.
    pub tasks: TaskSettings,
    /// The bounds of what plugins work out, and what is kept of it.
    pub executions: ExecutionSettings,
    /// How much of the machine what plugins ask for may take.
    pub asks: AskSettings,
    /// In whose repositories plugins are looked for, and how. Default: in nobody's.
    pub discovery: Option<DiscoverySettings>,
    /// Catalogs that are followed beside those that operators add.
    pub followed: Vec<CatalogOrder>,
    /// The key that seals secrets of plugins' configurations. Default: the file `secrets.key` in the data directory, which is made if
    /// the registry knows of no key yet.
    pub secrets_key: Option<SecretsKey>,
    /// The admin token. Default: the one in the data directory, which is made the first time.
    pub token: Option<String>,
    /// The registry.
    pub registry: RegistrySettings,
    /// Where artifacts are shared, if not in the registry.
    pub artifacts: Option<Arc<Objects>>,
    /// Where this server is, for the people who look at a fleet.
    pub address: String,
    /// Where the page is, if it has a listener: see [`Camlock::page`](crate::Camlock::page).
    pub page: Option<String>,
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
    /// What examines the server and its machine for whoever asks `GET /api/v1/doctor`. Default: nothing does.
    pub doctor: Option<Arc<dyn Doctor>>,
    /// Who hears compilers.
    pub listener: Option<CompilerListener>,
    /// Who may use Camlock's own paths from where.
    pub admin: AdminSettings,
    /// The parent of this process, if it has one that keeps its sockets: see [`under_parent`](crate::under_parent).
    pub parent: ParentLink,
}

/// Where the registry is, and how it is used.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistrySettings {
    /// `sqlite://PATH` or `postgres://…`; it may hold a password. Default: a file in the data directory.
    pub url: Option<String>,
    /// Its schema, in PostgreSQL.
    pub schema: String,
    /// Whether it is an error if the registry cannot be used for now. Otherwise what was last known is served.
    pub required: bool,
    /// So many days its journal is kept.
    pub journal_days: u32,
    /// How servers that share it know of one another.
    pub fleet: FleetSettings,
}

/// How servers that share a registry know of one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetSettings {
    /// How often a server is heard of.
    pub heartbeat: Duration,
    /// One that was not heard of for so long is not waited for.
    pub alive: Duration,
    /// How long a rollout waits for answers.
    pub rollout: Duration,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        // Whoever keeps the registry has the defaults.
        let store = camlock_store::StoreOptions::new("");
        let fleet = FleetSettings { heartbeat: store.heartbeat, alive: store.silence, rollout: store.rollout };
        RegistrySettings { url: None, schema: store.schema, required: false, journal_days: store.journal_days, fleet }
    }
}

impl RegistrySettings {
    /// The registry's URL, for this data directory.
    pub fn url(&self, data: &Path) -> String {
        self.url.clone().unwrap_or_else(|| format!("sqlite://{}", data.join("registry.db").display()))
    }

    /// How its database is used, for this data directory and with these limits.
    pub fn store(&self, data: &Path, limits: &Limits) -> camlock_store::StoreOptions {
        camlock_store::StoreOptions {
            schema: self.schema.clone(),
            heartbeat: self.fleet.heartbeat,
            silence: self.fleet.alive,
            rollout: self.fleet.rollout,
            journal_days: self.journal_days,
            artifacts: u32::try_from(limits.artifacts).unwrap_or(u32::MAX),
            ..camlock_store::StoreOptions::new(data)
        }
    }

    /// Where it is, of one that is reached over the network: hosts and ports.
    pub(crate) fn hosts(&self, data: &Path) -> Vec<(String, u16)> {
        let url = self.url(data);
        let Some(rest) = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")) else {
            return Vec::new();
        };
        let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let hosts = place.rsplit_once('@').map_or(place, |(_, hosts)| hosts);
        let hosts = hosts.split(',').filter(|host| !host.is_empty() && !host.contains('%'));
        let parted =
            |host: &str| match host.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']')) {
                Some((host, port)) => (host.to_owned(), port.parse().unwrap_or(5432)),
                None => (host.to_owned(), 5432),
            };
        hosts.map(parted).collect()
    }

    /// Which registry that is, without what lets one in.
    pub(crate) fn name(&self, data: &Path) -> String {
        let url = self.url(data);
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

impl fmt::Debug for RegistrySettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the database's password.
        formatter.debug_struct("RegistrySettings").field("name", &self.name(Path::new(""))).finish_non_exhaustive()
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
            services: ServiceSet::default(),
            storage: StorageSettings::default(),
            database: DatabaseSettings::default(),
            events: EventSettings::default(),
            tasks: TaskSettings::default(),
            executions: ExecutionSettings::default(),
            asks: AskSettings::default(),
            discovery: None,
            followed: Vec::new(),
            secrets_key: None,
            token: None,
            registry: RegistrySettings::default(),
            artifacts: None,
            address: String::new(),
            page: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: None,
            rustc: None,
            logs: Logs::default(),
            levels: Levels::default(),
            doctor: None,
            listener: None,
            admin: AdminSettings::default(),
            parent: ParentLink::default(),
        }
    }
}

impl Options {
    /// One more service that this program offers to plugins, by its name and version: `sessions/1`. A plugin asks it with
    /// `host.ask`, by paths that begin with the name.
    ///
    /// ```
    /// use camlock_embed::{AskError, Asker, Body, Options};
    /// use http::{Request, Response};
    ///
    /// async fn sessions(asker: Asker, request: Request<Body>) -> Result<Response<Body>, AskError> {
    ///     // What its manifest asks for, and an operator granted.
    ///     asker.may("app:read:sessions")?;
    ///     match request.uri().path() {
    ///         "/sessions/1/count" => Ok(Response::new(Body::from("3".to_owned()))),
    ///         path => Err(AskError::new(camlock_embed::AskErrorCode::NotFound, format!("there is no {path}"))),
    ///     }
    /// }
    ///
    /// let options = Options::new("plugins", "data").service("sessions/1", sessions)?;
    /// # Ok::<(), camlock_embed::NotAService>(())
    /// ```
    pub fn service(mut self, name: &str, service: impl Service) -> Result<Self, NotAService> {
        self.services.add(name, service)?;
        Ok(self)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the token nor the database's password.
        let mut shown = formatter.debug_struct("Options");
        shown.field("plugins", &self.plugins).field("data", &self.data).field("profile", &self.profile);
        shown.field("database", &self.registry.name(&self.data)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown() {
        let at = |url: &str| {
            RegistrySettings { url: Some(url.to_owned()), ..RegistrySettings::default() }.hosts(Path::new(""))
        };
        let two = [("db".to_owned(), 6432), ("[::1]".to_owned(), 5432)];
        assert_eq!(at("postgres://camlock:secret@db:6432,[::1]/plugins?sslmode=require"), two);
        assert_eq!((at("sqlite:///x.db"), at("postgresql:///plugins?host=/run")), (Vec::new(), Vec::new()));
        let database = Some("postgres://camlock:secret@db/plugins?password=secret".to_owned());
        let registry = RegistrySettings { url: database, ..RegistrySettings::default() };
        let shown = format!("{registry:?}");
        assert!(shown.contains("postgres://db/plugins camlock") && !shown.contains("secret"), "{shown}");
        let options = Options { registry, token: Some("secret".to_owned()), ..Options::new("plugins", "data") };
        let shown = format!("{options:?}");
        assert!(shown.contains("postgres://db/plugins camlock"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
        let shown = RegistrySettings::default().name(Path::new("/data"));
        assert_eq!(shown, "sqlite:///data/registry.db camlock");
    }
}
