//! The server's side: starts a plugin's process, has it make an instance, and gives core what it needs to use and to end it.
//!
//! `process` is the process itself, `talk` the control socket, `watch` what keeps an eye on both until nothing is left, `instance`
//! what core calls. What must not live here: which plugin is isolated.

mod instance;
mod leased;
mod process;
mod refusals;
mod retold;
mod talk;
mod watch;

pub(crate) use self::process::in_words;

use self::{
    instance::{IsolatedInstance, ServeAsks},
    process::Process,
    talk::{OrderSender, ReportSocket},
    watch::{RunnerAnnouncer, RunnerBegun, RunnerWatcher},
};
use crate::{
    bounds::{BoundKeeper, ControlGroup, GroupPlaces, HeldProcess, PluginFiles, ProcessUse},
    broker::{Broker, NetworkRules},
    control::words::{Beginning, RunnerCounts, RunnerOrder},
    link::{End, Link},
    runner,
    sandbox::{FencePart, Openings, OwnBounds},
};
use camlock_loader::{OwnDirectory, Surroundings};
use camlock_policy::{
    Asker, Description, Digest, Ending, Failure, GenerationStart, Lease, Loaded, Manifest, ReplacedDocument, Stage,
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::runtime::Handle;
use tracing::{Level, level_filters::LevelFilter};

/// What a plugin's process may take to say that it has an instance, beyond the time that `create` has.
const BEGINNING: Duration = Duration::from_secs(10);

/// Runs plugins in processes of their own. One for a server.
pub struct Runners {
    /// Where each has a directory of its own.
    place: PathBuf,
    create: Duration,
    surroundings: Surroundings,
    runtime: Handle,
    require_all: bool,
    absent: Vec<FencePart>,
    groups: GroupPlaces,
    database: Vec<(String, u16)>,
    loud: Mutex<Loudness>,
}

/// How loud plugins' records are to be.
#[derive(Default)]
struct Loudness {
    chosen: HashMap<String, Level>,
    live: Vec<(String, OrderSender)>,
}

impl fmt::Debug for Runners {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Runners").field("place", &self.place).finish_non_exhaustive()
    }
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What its file says.
    pub manifest: Manifest,
    /// Its bytes.
    pub digest: Digest,
    /// Where they are.
    pub path: PathBuf,
}

impl Runners {
    /// Uses a directory, making it if need be. What the plugins give out is carried on this runtime.
    pub fn new(
        place: impl Into<PathBuf>,
        create: Duration,
        surroundings: Surroundings,
        runtime: Handle,
    ) -> io::Result<Self> {
        let place = place.into();
        fs::create_dir_all(&place)?;
        let place = place.canonicalize()?;
        Ok(Runners {
            place,
            create,
            surroundings,
            runtime,
            require_all: false,
            absent: Vec::new(),
            groups: GroupPlaces::here(),
            database: Vec::new(),
            loud: Mutex::default(),
        })
    }

    /// The same, which runs nobody where something of what holds a plugin is lacking.
    #[must_use]
    pub fn requiring_all(self, require_all: bool) -> Self {
        Runners { require_all, ..self }
    }

    /// The same, where plugins that connect to their database themselves find it at these hosts and ports.
    #[must_use]
    pub fn with_database(self, database: Vec<(String, u16)>) -> Self {
        Runners { database, ..self }
    }

    /// The same, as on a machine that has none of these: for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn without(self, absent: &[FencePart]) -> Self {
        Runners { absent: absent.to_vec(), ..self }
    }

    /// The same, as on a machine that has no control groups: for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn without_control_groups(self) -> Self {
        Runners { groups: GroupPlaces::default(), ..self }
    }

    /// Starts a process, and makes an instance in it that begins so.
    pub async fn load(&self, subject: &Subject, start: GenerationStart) -> Result<Loaded, Failure> {
        if !runner::is_armed() {
            let why = "this program cannot give plugins processes of their own: call `run_runner_if_asked()` first thing in \
                       `main`, for it is started again";
            return Err(Failure::new(Stage::Isolate, why));
        }
        let transient =
            |error: io::Error| Failure::transient(Stage::Isolate, format!("no process can be started for it: {error}"));
        let name: Arc<str> = subject.manifest.name.as_str().into();
        let own = OwnDirectory::within(&self.place, |_, _| Ok(())).map_err(transient)?;
        let beginning = self.beginning(subject, &start, own.path()).map_err(transient)?;
        let started = self.runtime.spawn(Process::start()).await;
        let (process, ways) = started.map_err(io::Error::other).and_then(|started| started).map_err(transient)?;
        let (orders, queued) = OrderSender::new();
        let document = ReplacedDocument::default();
        let asker = Asker {
            plugin: name.clone(),
            generation: start.generation,
            granted: start.granted.clone(),
            document: document.clone(),
        };
        let asks = Arc::new(ServeAsks { asker, services: self.surroundings.services.clone() });
        let link = Link::begin(ways.requests, End::Host, asks, &self.runtime).map_err(transient)?;
        let control = {
            let _entered = self.runtime.enter();
            ReportSocket::new(ways.control).map_err(transient)?
        };
        let counts = Arc::new(Mutex::new(RunnerCounts::default()));
        let (ending, ended) = tokio::sync::watch::channel(Ending::Alive);
        let (let_go, last_lease) = tokio::sync::oneshot::channel();
        let let_go = Mutex::new(Some(let_go));
        let lease = Lease::first(move || {
            if let Some(let_go) = let_go.lock().take() {
                let _ = let_go.send(());
            }
        });
        let (uses, held) = (ProcessUse::default(), Arc::<OnceLock<HeldProcess>>::default());
        let place = format!("camlock-{}-{name}-{}", std::process::id(), start.generation);
        // Before its first word, so that whatever it starts is in it.
        let group = ControlGroup::make(&self.groups, &place, &start.limits);
        let places = [Some(own.path().to_owned()), beginning.dirs.as_ref().map(|dirs| dirs.join(&*name))];
        let of_server = fs::metadata(&subject.path).map_or(0, |artifact| artifact.len());
        let keeper = BoundKeeper::new(
            start.limits,
            beginning.openings.process,
            (group, process.id()),
            PluginFiles { places: places.into_iter().flatten().collect(), of_server },
            (uses.clone(), held.clone()),
        );
        let is_networked = beginning.openings.network.is_some();
        orders.give(&RunnerOrder::Begin(Box::new(beginning)), &[]);
        let rules = NetworkRules::of(granted(subject, &start), &self.database);
        let broker = is_networked.then(|| Arc::new(Broker::new(rules, held.clone())));
        let (announcer, RunnerBegun { made, died }) = RunnerAnnouncer::new();
        let watcher = RunnerWatcher {
            plugin: name.clone(),
            generation: start.generation,
            process,
            own,
            link: link.clone(),
            orders: orders.clone(),
            counts: counts.clone(),
            keeper,
            uses: uses.clone(),
            held,
            broker,
            ending,
            announcer,
        };
        self.runtime.spawn(watcher.run(control, queued, ways.printed, last_lease));
        self.remember(&name, &orders);
        let openapi = match tokio::time::timeout(self.create + BEGINNING, made).await {
            Ok(Ok(made)) => made?,
            Ok(Err(_)) => {
                return Err(Failure::transient(Stage::Isolate, "its process ended before it had an instance"));
            }
            Err(_) => {
                let seconds = (self.create + BEGINNING).as_secs();
                let why = format!("its process had no instance within {seconds} s");
                return Err(Failure::transient(Stage::Isolate, why));
            }
        };
        let description = Description { manifest: subject.manifest.clone(), openapi };
        let leases = lease.watch();
        let instance = Arc::new(IsolatedInstance { description, link, orders, counts, document, uses, died, lease });
        Ok(Loaded { instance, leases, ending: ended })
    }

    fn beginning(&self, subject: &Subject, start: &GenerationStart, place: &Path) -> io::Result<Beginning> {
        let plugin = subject.manifest.name.clone();
        if let Some(dirs) = &self.surroundings.dirs {
            fs::create_dir_all(dirs.join(&plugin))?;
        }
        let artifacts = subject.path.parent().unwrap_or(Path::new("/")).canonicalize()?;
        let variables = self.surroundings.variables.as_ref().map(|of| of(&plugin)).unwrap_or_default();
        let granted = granted(subject, start);
        let mut variables = variables;
        for name in granted.iter().filter_map(|permission| permission.strip_prefix("env:")) {
            if let Ok(value) = std::env::var(name) {
                variables.entry(name.to_owned()).or_insert(value);
            }
        }
        variables.entry("TMPDIR".to_owned()).or_insert_with(|| place.display().to_string());
        let level = self.loud.lock().chosen.get(&plugin).copied();
        Ok(Beginning {
            generation: start.generation,
            digest: subject.digest,
            artifacts,
            place: place.to_owned(),
            dirs: self.surroundings.dirs.as_ref().map(|dirs| dirs.canonicalize()).transpose()?,
            variables,
            config: start.config.as_ref().to_owned(),
            create: self.create,
            level: level.map_or_else(loudest, runner::number),
            openings: Openings::of(granted),
            require_all: self.require_all,
            hidden: self.place.parent().unwrap_or(&self.place).to_owned(),
            bounds: OwnBounds {
                memory: start.limits.memory,
                open_files: start.limits.open_files,
                file: start.limits.disk,
                processes: start.limits.processes,
            },
            absent: self.absent.clone(),
            plugin,
        })
    }

    fn remember(&self, plugin: &str, orders: &OrderSender) {
        let mut loud = self.loud.lock();
        loud.live.retain(|(_, orders)| orders.is_taken());
        loud.live.push((plugin.to_owned(), orders.clone()));
    }

    /// Sets the loudest level at which a plugin's records are wanted, of all its generations; none: what this process's own
    /// subscriber listens to.
    pub fn set_level(&self, plugin: &str, level: Option<Level>) {
        let mut loud = self.loud.lock();
        match level {
            Some(level) => loud.chosen.insert(plugin.to_owned(), level),
            None => loud.chosen.remove(plugin),
        };
        let number = level.map_or_else(loudest, runner::number);
        for (_, orders) in loud.live.iter().filter(|(name, _)| name == plugin) {
            orders.give(&RunnerOrder::Level(number), &[]);
        }
    }
}

/// What it asks for and was granted.
fn granted<'a>(subject: &'a Subject, start: &GenerationStart) -> Vec<&'a str> {
    let asked = subject.manifest.camlock.permissions.iter().map(String::as_str);
    asked.filter(|permission| start.granted.has(permission)).collect()
}

fn loudest() -> u8 {
    LevelFilter::current().into_level().map_or(0, runner::number)
}
