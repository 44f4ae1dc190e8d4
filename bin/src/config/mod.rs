//! What the server is told: flags, environment, `camlock.toml`, defaults, in this order.
//!
//! Everything is read and checked before anything is opened. What must not live here: what the settings mean.

mod catalogs;
#[cfg(test)]
mod described;
mod discovery;
mod file;
mod page;
mod services;
mod values;

pub(crate) use page::PageListen;
pub(crate) use services::ServiceSettings;

use self::catalogs::FollowedKeys;
use camlock_embed::{
    AdminSettings, CatalogOrder, DiscoverySettings, FleetSettings, NotAnEventsUrl, RegistrySettings, SecretsKey,
};
use camlock_http::{FrontOptions, TlsFiles};
use camlock_policy::{Grants, Limits, Settings, manifest::check_name};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// Where settings come from on the command line and in the environment.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Flags {
    /// The configuration file [default: the nearest camlock.toml at or above the current directory]
    #[arg(long, env = "CAMLOCK_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the plugins are [default: plugins]
    #[arg(long, env = "CAMLOCK_PLUGINS", value_name = "DIR")]
    pub(crate) plugins: Option<PathBuf>,
    /// Where the server keeps what it needs: artifacts, builds, the admin token [default: .camlock]
    #[arg(long, env = "CAMLOCK_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The address to listen on [default: 127.0.0.1:8080]
    #[arg(long, env = "CAMLOCK_LISTEN", value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// The address of the page for operators, or `off` [default: 127.0.0.1:8081, or the next free port]
    #[arg(long, env = "CAMLOCK_PAGE", value_name = "ADDRESS")]
    pub(crate) page: Option<PageListen>,
    /// The registry: sqlite://PATH or postgres://… [default: sqlite in the data directory]
    #[arg(long, env = "CAMLOCK_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) database_url: Option<String>,
    /// End if the database cannot be used at the start, rather than serve what was last known
    #[arg(long)]
    pub(crate) require_database: bool,
    /// How plugins are compiled [default: quick on a terminal, else release]
    #[arg(long)]
    pub(crate) profile: Option<Profile>,
    /// How logs are written [default: human on a terminal, else json]
    #[arg(long)]
    pub(crate) log_format: Option<LogFormat>,
}

/// How plugins are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    /// Compiles soonest
    Quick,
    /// Runs fastest
    Release,
}

impl From<Profile> for camlock_build::Profile {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Quick => camlock_build::Profile::Quick,
            Profile::Release => camlock_build::Profile::Release,
        }
    }
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Lines for people
    Human,
    /// An object a line
    Json,
}

/// All settings, with absolute paths.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The file they come from, if there was one.
    pub(crate) file: Option<PathBuf>,
    pub(crate) plugins: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    /// Where the page is.
    pub(crate) page: PageListen,
    /// Connections, but for how many.
    pub(crate) front: FrontOptions,
    pub(crate) connections: ConnectionLimits,
    /// The server's own paths.
    pub(crate) admin: AdminSettings,
    pub(crate) registry: RegistrySettings,
    /// Where artifacts are shared, if not in the registry.
    pub(crate) artifacts: Option<String>,
    pub(crate) profile: Option<Profile>,
    /// Where cargo builds, if not in the data directory.
    pub(crate) builds: Option<PathBuf>,
    pub(crate) log_format: Option<LogFormat>,
    pub(crate) log_filter: Option<String>,
    /// How loud plugins are that are not as loud as the others.
    pub(crate) levels: BTreeMap<String, tracing::Level>,
    /// What is laid over the environment, by plugin.
    pub(crate) variables: BTreeMap<String, BTreeMap<String, String>>,
    /// In whose repositories plugins are looked for, if in anybody's.
    pub(crate) discovery: Option<DiscoverySettings>,
    /// Catalogs that are followed beside those that operators add.
    pub(crate) followed: Vec<CatalogOrder>,
    /// What secrets of configurations are sealed with, if it is set.
    pub(crate) secrets_key: Option<SecretsKey>,
    /// What plugins may keep, and what may be asked of them.
    pub(crate) services: ServiceSettings,
    pub(crate) settings: Settings,
}

/// How many connections there may be, as far as that is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectionLimits {
    /// At once; as many as there are descriptors for, unless it is set.
    pub(crate) most: Option<usize>,
    /// From one address; half of all, unless it is set.
    pub(crate) most_per_address: Option<usize>,
}

/// Something is wrong with the configuration: exit code 64.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub(crate) struct Misconfigured(pub(crate) String);

impl Config {
    /// From now on nothing is shared with other servers: the registry is a file in the data directory.
    pub(crate) fn keep_to_itself(&mut self) {
        (self.registry.url, self.artifacts, self.registry.required) = (None, None, false);
        (self.services.events.url, self.discovery) = (None, None);
    }

    /// Whether the registry is a file in the data directory, as no other one is named.
    pub(crate) fn database_is_in_data(&self) -> bool {
        self.registry.url.is_none()
    }

    /// Reads everything.
    pub(crate) fn read(flags: &Flags) -> Result<Config, Misconfigured> {
        let here = env::current_dir()
            .map_err(|error| Misconfigured(format!("the current directory cannot be used: {error}")))?;
        let path = match &flags.config {
            Some(path) => Some(here.join(path)),
            None => here.ancestors().map(|dir| dir.join("camlock.toml")).find(|path| path.is_file()),
        };
        let text = path.as_deref().map(read_file).transpose()?;
        let variable = |name: &str| env::var(name).ok();
        let config = Config::merge(flags, path.as_deref().zip(text.as_deref()), &here, &variable)?;
        match env::var("CAMLOCK_SECRETS_KEY").ok().filter(|key| !key.is_empty()) {
            Some(key) => Ok(Config { secrets_key: Some(secrets_key("CAMLOCK_SECRETS_KEY", &key)?), ..config }),
            None => Ok(config),
        }
    }

    /// Puts flags and a file's text together.
    fn merge(
        flags: &Flags,
        file: Option<(&Path, &str)>,
        here: &Path,
        environment: discovery::Variables<'_>,
    ) -> Result<Config, Misconfigured> {
        let parsed = file.map(|(path, text)| file::parse(path, text)).transpose()?.unwrap_or_default();
        let base = file.and_then(|(path, _)| path.parent()).unwrap_or(here);
        // What a flag names is relative to where it is typed; the file and the defaults, to the file's folder.
        let dir = |flag: &Option<PathBuf>, key: Option<PathBuf>, default: &str| {
            flag.as_ref().map_or_else(|| base.join(key.unwrap_or_else(|| default.into())), |flag| here.join(flag))
        };
        let mut settings = Settings::default();
        let mut levels = BTreeMap::new();
        if let Some(told) = parsed.limits.too_small() {
            return Err(Misconfigured(format!("[limits]: {told}")));
        }
        if parsed.limits.log.is_some() {
            return Err(Misconfigured("[limits]: `log` is for one plugin: `log.filter` is for all".to_owned()));
        }
        if parsed.limits.claims.is_some() {
            return Err(Misconfigured("[limits]: `claims` is for one plugin: set it in [plugin.NAME]".to_owned()));
        }
        if parsed.limits.isolation.is_some() {
            return Err(Misconfigured("[limits]: `isolation` of all is `plugins.isolation`".to_owned()));
        }
        if !parsed.limits.env.is_empty() {
            return Err(Misconfigured("[limits]: `env` is for one plugin".to_owned()));
        }
        if parsed.limits.ui.is_some() {
            return Err(Misconfigured("[limits]: `ui` is for one plugin: set it in [plugin.NAME]".to_owned()));
        }
        if parsed.limits.updates.is_some() {
            return Err(Misconfigured("[limits]: `updates` of all is `catalogs.updates`".to_owned()));
        }
        settings.catalogs = parsed.catalogs.policy()?;
        let mut variables = BTreeMap::new();
        let mut front = FrontOptions::default();
        front.head = parsed.limits.head.as_ref().map_or(front.head, |time| time.0);
        front.write = parsed.limits.write.as_ref().map_or(front.write, |time| time.0);
        front.tls =
            parsed.server.tls.map(|tls| TlsFiles { certificate: base.join(tls.certificate), key: base.join(tls.key) });
        let connections = ConnectionLimits {
            most: parsed.limits.connections,
            most_per_address: parsed.limits.connections_per_address,
        };
        parsed.limits.apply(&mut settings.limits);
        settings.isolation.usual = parsed.plugins.isolation;
        settings.builds_are_sandboxed = parsed.build.sandbox == file::BuildSandbox::Network;
        settings.isolation.requires_all = parsed.isolation.require == file::RequiredFences::Full;
        settings.grants = parsed.plugins.grant.unwrap_or(Grants::Asked);
        settings.new_enabled = parsed.plugins.new.unwrap_or_default() == file::New::Enabled;
        for (name, limits) in parsed.plugin {
            check_name(&name).map_err(|invalid| Misconfigured(format!("[plugin.{name}]: {invalid}")))?;
            if let Some(key) = limits.of_the_server() {
                let told = format!("[plugin.{name}]: `{key}` holds for the whole server: set it in [limits]");
                return Err(Misconfigured(told));
            }
            if let Some(told) = limits.too_small() {
                return Err(Misconfigured(format!("[plugin.{name}]: {told}")));
            }
            if let Some(level) = limits.log {
                levels.insert(name.clone(), file::tracing_level(level));
            }
            if let Some(told) = limits.no_variable() {
                return Err(Misconfigured(format!("[plugin.{name}]: {told}")));
            }
            if !limits.env.is_empty() {
                variables.insert(name.clone(), limits.env.clone());
            }
            if let Some(isolation) = limits.isolation {
                settings.isolation.plugins.insert(name.clone(), isolation);
            }
            if let Some(trust) = limits.ui {
                settings.ui.insert(name.clone(), trust);
            }
            if let Some(claims) = &limits.claims {
                settings.claims.insert(name.clone(), claims.clone());
            }
            if let Some(updates) = limits.updates.clone() {
                let policy = updates.over(&settings.catalogs.updates);
                let policy = policy.map_err(|told| Misconfigured(format!("[plugin.{name}]: {told}")))?;
                settings.catalogs.plugins.insert(name.clone(), policy);
            }
            let mut own: Limits = settings.limits.clone();
            limits.apply(&mut own);
            settings.plugins.insert(name, own);
        }
        let mut services = parsed.services.settings()?;
        let url = parsed.events.url.as_deref().map(str::parse).transpose();
        services.events.url = url.map_err(|why: NotAnEventsUrl| Misconfigured(why.to_string()))?;
        let secrets_key = parsed.secrets.key.map(|key| secrets_key("secrets.key", &key)).transpose()?;
        let usual = RegistrySettings::default();
        let heartbeat = parsed.fleet.heartbeat.map_or(usual.fleet.heartbeat, |time| time.0);
        let fleet = FleetSettings {
            heartbeat,
            alive: parsed.fleet.alive.map_or(heartbeat * 3, |time| time.0),
            rollout: parsed.fleet.rollout.map_or(usual.fleet.rollout, |time| time.0),
        };
        if fleet.heartbeat < Duration::from_millis(100) || fleet.alive < fleet.heartbeat * 2 {
            let told = "[fleet]: `heartbeat` is 100 ms at least, and `alive` twice that at least";
            return Err(Misconfigured(told.to_owned()));
        }
        Ok(Config {
            registry: RegistrySettings {
                url: flags.database_url.clone().or(parsed.database.url),
                schema: parsed.database.schema.unwrap_or(usual.schema),
                required: flags.require_database || parsed.database.require,
                journal_days: parsed.journal.keep_days.unwrap_or(usual.journal_days),
                fleet,
            },
            artifacts: parsed.artifacts.url,
            file: file.map(|(path, _)| path.to_owned()),
            plugins: dir(&flags.plugins, parsed.plugins.dir, "plugins"),
            data: dir(&flags.data, parsed.data.dir, ".camlock"),
            front,
            connections,
            admin: AdminSettings {
                origins: parsed.server.cors.into_iter().map(|origin| origin.0).collect(),
                hosts: parsed.server.hosts.into_iter().map(|host| host.0).collect(),
                proxies: parsed.server.proxies.into_iter().map(|proxy| proxy.0).collect(),
                ..AdminSettings::default()
            },
            listen: flags.listen.or(parsed.server.listen).unwrap_or(([127, 0, 0, 1], 8080).into()),
            page: flags.page.or(parsed.page.listen).unwrap_or(PageListen::Usual),
            profile: flags.profile.or(parsed.build.profile),
            builds: parsed.build.dir.map(|dir| base.join(dir)),
            log_format: flags.log_format.or(parsed.log.format),
            log_filter: parsed.log.filter,
            levels,
            variables,
            discovery: parsed.discovery.settings(environment, base)?,
            followed: parsed.catalog.into_iter().map(FollowedKeys::order).collect::<Result<_, _>>()?,
            secrets_key,
            services,
            settings,
        })
    }
}

/// A key that somebody wrote down. What is written there is not told.
fn secrets_key(place: &str, text: &str) -> Result<SecretsKey, Misconfigured> {
    SecretsKey::parse(text).map_err(|why| Misconfigured(format!("{place} is no key: {why}")))
}

fn read_file(path: &Path) -> Result<String, Misconfigured> {
    fs::read_to_string(path).map_err(|error| Misconfigured(format!("{} cannot be read: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlock_policy::{CpuShare, Isolation, ProcessLimits, UiTrust};

    fn merged(flags: &Flags, text: &str) -> Result<Config, Misconfigured> {
        let file = Some((Path::new("/etc/camlock/camlock.toml"), text));
        Config::merge(flags, file, Path::new("/srv/here"), &|_| None)
    }

    pub(super) fn refused(text: &str) -> String {
        merged(&Flags::default(), text).unwrap_err().0
    }

    #[test]
    fn nothing_said_means_the_defaults() {
        let config = Config::merge(&Flags::default(), None, Path::new("/srv/here"), &|_| None).unwrap();
        assert_eq!(config.plugins, Path::new("/srv/here/plugins"));
        assert_eq!(config.data, Path::new("/srv/here/.camlock"));
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.settings.limits, Limits::default());
        assert!(config.settings.new_enabled);
    }

    #[test]
    fn flags_come_before_the_file_and_paths_are_where_they_were_said() {
        let text = "plugins.dir = \"mine\"\nserver.listen = \"127.0.0.1:1\"\nbuild.profile = \"release\"";
        let config = merged(&Flags::default(), text).unwrap();
        assert_eq!(config.plugins, Path::new("/etc/camlock/mine"));
        assert_eq!(config.data, Path::new("/etc/camlock/.camlock"));
        assert_eq!((config.listen.port(), config.profile), (1, Some(Profile::Release)));
        let flags = Flags { plugins: Some("other".into()), listen: "127.0.0.1:2".parse().ok(), ..Flags::default() };
        let config = merged(&flags, text).unwrap();
        assert_eq!(config.plugins, Path::new("/srv/here/other"));
        assert_eq!(config.listen.port(), 2);
    }

    #[test]
    fn the_key_for_secrets_is_read_and_never_shown() {
        let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let config = merged(&Flags::default(), &format!("secrets.key = \"{text}\"")).unwrap();
        assert_eq!(config.secrets_key.as_ref().map(|key| key.text().to_string()).as_deref(), Some(text));
        assert!(!format!("{config:?}").contains(text));
        let told = refused("secrets.key = \"hunter2\"");
        assert!(
            told.starts_with("secrets.key is no key: it is not 32 bytes in base64") && !told.contains("hunter2"),
            "{told}"
        );
    }

    #[test]
    fn a_server_for_events_is_named_by_its_url() {
        let text = "events.url = \"nats://me:hunter2@127.0.0.1:4222/shop\"";
        match merged(&Flags::default(), text) {
            Ok(config) => assert!(cfg!(feature = "nats") && !format!("{config:?}").contains("hunter2")),
            Err(Misconfigured(told)) => {
                assert!(!cfg!(feature = "nats") && told.contains("without the feature `nats`"), "{told}");
                assert!(!told.contains("hunter2"), "{told}");
            }
        }
        let told = refused("events.url = \"http://127.0.0.1\"");
        assert!(told.starts_with("events.url begins with nats:// or tls://"), "{told}");
        let text = "[services.events]\nwaiting = 7\nbytes = \"1 MiB\"\nattempts = 3\npause = \"2s\"";
        let limits = merged(&Flags::default(), text).unwrap().services.events.limits;
        assert_eq!((limits.waiting, limits.bytes, limits.attempts), (7, 1 << 20, 3));
        assert_eq!(limits.pause, Duration::from_secs(2));
        assert_eq!(refused("services.events.attempts = 0"), "[services.events]: `attempts` is 1 at least");
    }

    #[test]
    fn hosts_and_proxies_are_read() {
        let text =
            "[server]\nhosts = [\"Plugins.Example.com\", \"[2001:db8::1]\"]\nproxies = [\"10.0.0.0/8\", \"::1\"]";
        let AdminSettings { hosts, proxies, .. } = merged(&Flags::default(), text).unwrap().admin;
        assert_eq!(hosts, ["plugins.example.com", "[2001:db8::1]"]);
        assert_eq!(proxies, ["10.0.0.0/8", "::1"].map(|proxy| proxy.parse().unwrap()));
    }

    #[test]
    fn limits_for_all_and_for_one() {
        let text = r#"
            plugins.new = "disabled"
            plugins.grant = ["storage", "network:*"]
            plugins.isolation = "process"
            isolation.require = "full"
            build.sandbox = "network"
            services.storage.keys = 7
            services.asks.share = 0.5
            [limits]
            drain = "5s"
            body = "2 MiB"
            [plugin.hello]
            request = "500ms"
            concurrency = 3
            log = "debug"
            env.DATABASE_URL = "sqlite:todo.db"
            claims = ["shop.example.com", "/"]
            isolation = "none"
            ui = "trusted"
        "#;
        let Config { settings, levels, variables, .. } = merged(&Flags::default(), text).unwrap();
        assert_eq!(levels, BTreeMap::from([("hello".to_owned(), tracing::Level::DEBUG)]));
        let own = BTreeMap::from([("DATABASE_URL".to_owned(), "sqlite:todo.db".to_owned())]);
        assert_eq!(variables, BTreeMap::from([("hello".to_owned(), own)]));
        assert_eq!(settings.claims["hello"], ["shop.example.com", "/"]);
        assert!(!settings.new_enabled);
        assert_eq!(merged(&Flags::default(), text).unwrap().services.storage.limits.keys, 7);
        assert_eq!(merged(&Flags::default(), text).unwrap().services.asks.share, 0.5);
        assert_eq!(merged(&Flags::default(), "").unwrap().services, ServiceSettings::default());
        for none in ["0", "1.1", "-0.1", "nan"] {
            let told = merged(&Flags::default(), &format!("services.asks.share = {none}")).unwrap_err().0;
            assert_eq!(told, "[services.asks]: `share` is above 0, and 1 at most");
        }
        assert_eq!(settings.grants, Grants::these(["storage", "network:*"]).unwrap());
        assert_eq!((settings.isolation.usual, settings.isolation.requires_all), (Some(Isolation::Process), true));
        assert_eq!(settings.ui["hello"], UiTrust::Trusted);
        assert!(settings.builds_are_sandboxed);
        assert_eq!(settings.isolation.plugins.values().collect::<Vec<_>>(), [&Isolation::None]);
        assert_eq!(settings.limits.drain, Duration::from_secs(5));
        assert_eq!(settings.limits.requests.body, Some(2 << 20));
        let hello = &settings.plugins["hello"];
        assert_eq!(hello.drain, Duration::from_secs(5));
        assert_eq!(hello.requests.timeout, Duration::from_millis(500));
        assert_eq!((hello.requests.concurrency, hello.requests.body), (3, Some(2 << 20)));
    }

    #[test]
    fn processes_of_plugins_have_bounds() {
        let text = r#"
            [limits]
            memory = "256 MiB"
            cpu = "80%"
            [plugin.hello]
            cpu = "200%"
            cpu_burst = "5s"
            processes = "unlimited"
            open_files = 64
            disk = "1 GiB"
            [plugin.other]
            cpu = "unlimited"
        "#;
        let settings = merged(&Flags::default(), text).unwrap().settings;
        let burst = Duration::from_secs(30);
        assert_eq!(settings.limits.process.cpu, Some(CpuShare { percent: 80, burst }));
        let expected = ProcessLimits {
            memory: Some(256 << 20),
            cpu: Some(CpuShare { percent: 200, burst: Duration::from_secs(5) }),
            processes: None,
            open_files: 64,
            disk: Some(1 << 30),
        };
        assert_eq!(settings.plugins["hello"].process, expected);
        assert_eq!(settings.plugins["other"].process.cpu, None);
        assert_eq!(refused("[limits]\nmemory = 1"), "[limits]: `memory` is 16 MiB at least");
        assert_eq!(refused("[limits]\ncpu = \"0%\""), "[limits]: `cpu` is \"1%\" at least");
        assert_eq!(refused("[plugin.hello]\nopen_files = 3"), "[plugin.hello]: `open_files` is 32 at least");
    }

    #[test]
    fn connections_have_bounds_and_may_be_encrypted() {
        let text = r#"
            server.tls = { certificate = "tls/certificate.pem", key = "/etc/key.pem" }
            [limits]
            connections = 7
            connections_per_address = 3
            head = "5s"
            write = "6s"
        "#;
        let Config { connections, front, .. } = merged(&Flags::default(), text).unwrap();
        assert_eq!(connections, ConnectionLimits { most: Some(7), most_per_address: Some(3) });
        assert_eq!((front.head, front.write), (Duration::from_secs(5), Duration::from_secs(6)));
        let certificate = "/etc/camlock/tls/certificate.pem".into();
        assert_eq!(front.tls, Some(TlsFiles { certificate, key: "/etc/key.pem".into() }));
        assert!(refused("server.tls.key = \"key.pem\"").contains("line 1: missing field `certificate`"));
        assert_eq!(refused("[limits]\nwrite = \"10ms\""), "[limits]: `write` is a second at least");
        assert_eq!(
            refused("[limits]\nclaims = [\"/\"]"),
            "[limits]: `claims` is for one plugin: set it in [plugin.NAME]"
        );
    }

    #[test]
    fn mistakes_name_file_line_and_what_was_expected() {
        let place = "/etc/camlock/camlock.toml, line ";
        for (text, expected) in [
            ("\n[limits]\ndrian = \"5s\"", "3: unknown field `drian`, expected one of `drain`"),
            ("[limits]\ndrain = \"5 lightyears\"", "2: `5 lightyears` is no time: a number and ms, s, m or h"),
            ("[limits]\ndrain = \"9000h\"", "2: a time is a year at most"),
            ("[limits]\ndrain = true", "2: invalid type: boolean `true`, expected a time"),
            ("[limits]\nbody = \"much\"", "2: `much` is no size: a number and B, KiB, MiB or GiB, or `unlimited`"),
            ("[limits]\ncpu = \"half\"", "2: `half` is no share of a core: \"50%\", \"200%\", or \"unlimited\""),
            ("[limits]\nprocesses = \"few\"", "2: `few` is no number"),
            ("server.listen = \"here\"", "1: invalid socket address syntax"),
            ("[plugin.hello]\nlog = \"loud\"", "2: unknown variant `loud`, expected one of `error`, `warn`"),
            ("build.profile = \"fast\"", "1: unknown variant `fast`, expected `quick` or `release`"),
            ("plugins.new = 1", "1: "),
            ("plugins.grant = [\"storge\"]", "1: `storge` is no permission; did you mean `storage`?"),
            (
                "plugins.grant = \"all\"",
                "1: invalid value: string \"all\", expected \"asked\", \"none\", or a list of permissions",
            ),
            ("nonsense", "1: "),
        ] {
            let told = refused(text);
            assert!(told.starts_with(&format!("{place}{expected}")), "{told}");
        }
        assert_eq!(refused("[limits]\nhealth = 0"), "[limits]: `health` is 100 ms at least");
        assert_eq!(refused("[limits]\nlog = \"debug\""), "[limits]: `log` is for one plugin: `log.filter` is for all");
        assert_eq!(refused("[plugin.hello]\npanics = 0"), "[plugin.hello]: `panics` is 1 at least");
        assert_eq!(refused("[limits]\nenv.A = \"b\""), "[limits]: `env` is for one plugin");
        assert_eq!(
            refused("[plugin.hello]\nenv.\"A=B\" = \"c\""),
            "[plugin.hello]: `env.A=B` is no variable: a name has no `=`, and nothing has a zero byte"
        );
        assert_eq!(refused("[limits]\nconnections = 0"), "[limits]: `connections` is 1 at least");
        assert_eq!(refused("[limits]\nhead = \"10ms\""), "[limits]: `head` is a second at least");
        for origin in ["*", "example.com", "https://", "https://example.com/", "https://Example.com"] {
            let told = refused(&format!("[server]\ncors = [\"https://a.example\", \"{origin}\"]"));
            assert!(told.contains(&format!("line 2: `{origin}` is no origin: ")), "{told}");
        }
        for host in ["", "a b", "plugins.example.com:8080", "https://x", "a/b", "me@x"] {
            let told = refused(&format!("[server]\nhosts = [\"a.example\", \"{host}\"]"));
            assert!(told.contains(&format!("line 2: `{host}` is no host: ")), "{told}");
        }
        for proxy in ["proxy.example", "10.0.0.0/33", ""] {
            let told = refused(&format!("[server]\nproxies = [\"10.0.0.1\", \"{proxy}\"]"));
            assert!(told.contains(&format!("line 2: `{proxy}` is no address")), "{told}");
        }
        let told = refused("[plugin.hello]\nverify = \"1s\"");
        assert_eq!(told, "[plugin.hello]: `verify` holds for the whole server: set it in [limits]");
        assert!(refused("[plugin.No]\ndrain = \"1s\"").starts_with("[plugin.No]: `No` is no name for a plugin"));
    }
}
