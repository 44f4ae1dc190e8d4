//! The shape of `camlock.toml`. Every key stands here, and in docs/operators.md.

use super::{
    LogFormat, Misconfigured, PageListen, Profile,
    catalogs::{CatalogsKeys, FollowedKeys, UpdateKeys},
    discovery::DiscoveryKeys,
    services::ServicesKeys,
    values::{Count, CpuPercent, HostName, Origin, ProxyNetwork, Size, Time},
};
use camlock_api::LogLevel;
use camlock_policy::{CpuShare, Grants, Isolation, Limits, UiTrust};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ConfigFile {
    pub(super) plugins: PluginsKeys,
    pub(super) data: DataKeys,
    pub(super) server: ServerKeys,
    pub(super) page: PageKeys,
    pub(super) database: DatabaseKeys,
    pub(super) fleet: FleetKeys,
    pub(super) artifacts: ArtifactsKeys,
    pub(super) events: EventsKeys,
    pub(super) journal: JournalKeys,
    pub(super) build: BuildKeys,
    pub(super) log: LogKeys,
    pub(super) services: ServicesKeys,
    pub(super) discovery: DiscoveryKeys,
    pub(super) catalogs: CatalogsKeys,
    pub(super) catalog: Vec<FollowedKeys>,
    pub(super) secrets: SecretsKeys,
    pub(super) limits: LimitKeys,
    pub(super) isolation: IsolationKeys,
    pub(super) plugin: BTreeMap<String, LimitKeys>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct IsolationKeys {
    pub(super) require: RequiredFences,
}

/// How much of what holds an isolated plugin must be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RequiredFences {
    /// As much as this machine has; what is lacking is told.
    #[default]
    Any,
    /// All that this version knows.
    Full,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PluginsKeys {
    pub(super) dir: Option<PathBuf>,
    pub(super) new: Option<New>,
    pub(super) grant: Option<Grants>,
    pub(super) isolation: Option<Isolation>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum New {
    #[default]
    Enabled,
    Disabled,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DataKeys {
    pub(super) dir: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ServerKeys {
    pub(super) listen: Option<SocketAddr>,
    pub(super) cors: Vec<Origin>,
    pub(super) tls: Option<TlsKeys>,
    pub(super) hosts: Vec<HostName>,
    pub(super) proxies: Vec<ProxyNetwork>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PageKeys {
    pub(super) listen: Option<PageListen>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsKeys {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DatabaseKeys {
    pub(super) url: Option<String>,
    pub(super) schema: Option<String>,
    pub(super) require: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FleetKeys {
    pub(super) heartbeat: Option<Time>,
    pub(super) alive: Option<Time>,
    pub(super) rollout: Option<Time>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EventsKeys {
    /// It may hold a password.
    pub(super) url: Option<String>,
}

impl fmt::Debug for EventsKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EventsKeys").finish_non_exhaustive()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ArtifactsKeys {
    pub(super) url: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct JournalKeys {
    pub(super) keep_days: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BuildKeys {
    pub(super) profile: Option<Profile>,
    pub(super) dir: Option<PathBuf>,
    pub(super) sandbox: BuildSandbox,
}

/// What a build may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BuildSandbox {
    /// The network, and the files that a build needs.
    Network,
    /// There is none.
    #[default]
    None,
}

/// Not shown: it is the key itself.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SecretsKeys {
    pub(super) key: Option<String>,
}

impl fmt::Debug for SecretsKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SecretsKeys").finish_non_exhaustive()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogKeys {
    pub(super) format: Option<LogFormat>,
    pub(super) filter: Option<String>,
}

/// As `tracing` has it.
pub(super) fn tracing_level(level: LogLevel) -> tracing::Level {
    match level {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
        LogLevel::Trace => tracing::Level::TRACE,
    }
}

/// `[limits]` and `[plugin.NAME]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitKeys {
    drain: Option<Time>,
    farewell: Option<Time>,
    probation: Option<Time>,
    panics: Option<u64>,
    health: Option<Time>,
    unwell: Option<u32>,
    restarts: Option<usize>,
    build: Option<Time>,
    verify: Option<Time>,
    create: Option<Time>,
    start: Option<Time>,
    quiesce: Option<Time>,
    pinned: Option<usize>,
    artifacts: Option<usize>,
    request: Option<Time>,
    body: Option<Size>,
    concurrency: Option<usize>,
    memory: Option<Size>,
    cpu: Option<CpuPercent>,
    cpu_burst: Option<Time>,
    processes: Option<Count>,
    open_files: Option<u64>,
    disk: Option<Size>,
    pub(super) connections: Option<usize>,
    pub(super) connections_per_address: Option<usize>,
    pub(super) head: Option<Time>,
    pub(super) write: Option<Time>,
    /// No limit, but the operator's word on what one plugin claims.
    pub(super) claims: Option<Vec<String>>,
    /// No limit either: where one plugin runs.
    pub(super) isolation: Option<Isolation>,
    /// Nor this: where what one plugin brings to the page runs.
    pub(super) ui: Option<UiTrust>,
    /// No limit, but what else there is to say of one plugin.
    pub(super) log: Option<LogLevel>,
    /// Nor these: the variables of its environment.
    pub(super) env: BTreeMap<String, String>,
    /// Nor this: which newer versions of it are taken.
    pub(super) updates: Option<UpdateKeys>,
}

impl LimitKeys {
    /// A key that holds for the whole server, if one is set.
    pub(super) fn of_the_server(&self) -> Option<&'static str> {
        let set = [
            ("verify", self.verify.is_some()),
            ("create", self.create.is_some()),
            ("connections", self.connections.is_some()),
            ("connections_per_address", self.connections_per_address.is_some()),
            ("head", self.head.is_some()),
            ("write", self.write.is_some()),
        ];
        set.into_iter().find_map(|(key, set)| set.then_some(key))
    }

    /// What cannot be a variable of an environment, in words.
    pub(super) fn no_variable(&self) -> Option<String> {
        let bad =
            |(key, value): &(&String, &String)| key.is_empty() || key.contains(['=', '\0']) || value.contains('\0');
        let (key, _) = self.env.iter().find(bad)?;
        Some(format!("`env.{}` is no variable: a name has no `=`, and nothing has a zero byte", key.escape_debug()))
    }

    /// What is so small that nothing would work with it, in words.
    pub(super) fn too_small(&self) -> Option<String> {
        let health = self.health.is_some_and(|time| time.0 < Duration::from_millis(100));
        if health {
            return Some("`health` is 100 ms at least".to_owned());
        }
        if self.head.as_ref().is_some_and(|time| time.0 < Duration::from_secs(1)) {
            return Some("`head` is a second at least".to_owned());
        }
        if self.write.as_ref().is_some_and(|time| time.0 < Duration::from_secs(1)) {
            return Some("`write` is a second at least".to_owned());
        }
        if self.memory.is_some_and(|size| size.0.is_some_and(|bytes| bytes < 16 << 20)) {
            return Some("`memory` is 16 MiB at least".to_owned());
        }
        if self.cpu.is_some_and(|share| share.0.is_some_and(|percent| percent < 1)) {
            return Some("`cpu` is \"1%\" at least".to_owned());
        }
        if self.processes.is_some_and(|count| count.0.is_some_and(|count| count < 16)) {
            return Some("`processes` is 16 at least: its threads count too".to_owned());
        }
        if self.open_files.is_some_and(|count| count < 32) {
            return Some("`open_files` is 32 at least".to_owned());
        }
        let counts = [
            ("panics", self.panics == Some(0)),
            ("unwell", self.unwell == Some(0)),
            ("concurrency", self.concurrency == Some(0)),
            ("connections", self.connections == Some(0)),
            ("connections_per_address", self.connections_per_address == Some(0)),
        ];
        counts.into_iter().find_map(|(key, none)| none.then(|| format!("`{key}` is 1 at least")))
    }

    /// Overrides what was said.
    pub(super) fn apply(self, limits: &mut Limits) {
        fn set<T>(place: &mut T, said: Option<T>) {
            if let Some(said) = said {
                *place = said;
            }
        }
        let time = |time: Option<Time>| time.map(|time| time.0);
        set(&mut limits.drain, time(self.drain));
        set(&mut limits.farewell, time(self.farewell));
        set(&mut limits.probation, time(self.probation));
        set(&mut limits.panics, self.panics);
        set(&mut limits.health, time(self.health));
        set(&mut limits.unwell, self.unwell);
        set(&mut limits.restarts, self.restarts);
        set(&mut limits.build, time(self.build));
        set(&mut limits.verify, time(self.verify));
        set(&mut limits.create, time(self.create));
        set(&mut limits.start, time(self.start));
        set(&mut limits.quiesce, time(self.quiesce));
        set(&mut limits.pinned, self.pinned);
        set(&mut limits.artifacts, self.artifacts);
        set(&mut limits.requests.timeout, time(self.request));
        set(&mut limits.requests.body, self.body.map(|size| size.0));
        set(&mut limits.requests.concurrency, self.concurrency);
        set(&mut limits.process.memory, self.memory.map(|size| size.0));
        set(&mut limits.process.processes, self.processes.map(|count| count.0));
        set(&mut limits.process.open_files, self.open_files);
        set(&mut limits.process.disk, self.disk.map(|size| size.0));
        if let Some(CpuPercent(said)) = self.cpu {
            let burst = limits.process.cpu.unwrap_or_default().burst;
            limits.process.cpu = said.map(|percent| CpuShare { percent, burst });
        }
        if let (Some(cpu), Some(burst)) = (limits.process.cpu.as_mut(), self.cpu_burst) {
            cpu.burst = burst.0;
        }
    }
}

/// Reads the text of a file.
pub(super) fn parse(path: &Path, text: &str) -> Result<ConfigFile, Misconfigured> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        Misconfigured(format!("{}, line {line}: {}", path.display(), error.message()))
    })
}
