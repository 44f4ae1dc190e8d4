//! The parts that the supervisor works with, put together: builds, artifacts, loading, plugins compiled in.
//!
//! What must not live here: HTTP, signals, what is printed.

use crate::{
    Options,
    installs::LimitedInstalls,
    keepings::PluginKeepings,
    kept::{self, KeptPlaces},
    tasks::TaskParts,
};
use camlock_build::{Builder, FileShelf, Identified, Identify, Installer, LibraryIdentity, Profile};
use camlock_http::Meters;
use camlock_isolate::{BothModes, Runners};
use camlock_loader::{
    Loader, LoaderOptions, Sections, Staging, Surroundings, Suspects, VariablesOf, Verifier, VerifierLimits, Workbench,
    compiled_in, inspect, read_schema,
};
use camlock_policy::{
    Aside, Candidate, Digest, Failure, PluginWork, Ports, Publish, ServedPlugins, Settings, Stage,
    registry::{Exchange, Registry},
};
use camlock_services::{
    AskLimits, Executor, HostServices, OpenApiService, PluginStorage, StorageService, TaskDesk, TasksService,
    analytics::PluginAnalytics,
    database::{
        PluginTables,
        service::{DatabaseService, SessionLimits},
    },
    events::{EventService, PluginEvents},
    secrets::Keyring,
};
use std::{
    fmt::Display,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};
use tokio::{runtime::Handle, sync::Semaphore};

/// Everything but where requests go.
pub(crate) struct Parts {
    pub(crate) builder: Builder,
    pub(crate) built_in: Vec<Arc<dyn Candidate>>,
    pub(crate) installer: LimitedInstalls,
    shelf: FileShelf,
    workbench: Workbench,
    staging: Staging,
    pub(crate) loader: Arc<Loader>,
    pub(crate) runners: Arc<Runners>,
    pub(crate) suspects: Arc<Suspects>,
    pub(crate) services: Arc<HostServices>,
    pub(crate) storage: PluginStorage,
    pub(crate) executor: Executor,
    pub(crate) analytics: PluginAnalytics,
    keepings: PluginKeepings,
    pub(crate) tables: PluginTables,
    pub(crate) events: PluginEvents,
    pub(crate) tasks: TaskParts,
}

/// What there is before the parts are, and they work with.
pub(crate) struct Prerequisites {
    /// The way into plugins, for what no client asks for.
    pub(crate) deliveries: Arc<dyn ServedPlugins>,
    /// What is counted of requests.
    pub(crate) served: Meters,
    /// Where plugins' own timers and futures run.
    pub(crate) work: Handle,
    /// What this server is called among those that share its registry.
    pub(crate) node: String,
}

impl Parts {
    /// Opens it. Plugins' own timers and futures run on `work`; who is served is counted there.
    pub(crate) fn open(
        options: &Options,
        (plugins, data): (&Path, &Path),
        Prerequisites { deliveries, served, work, node }: Prerequisites,
        keyring: Keyring,
    ) -> Result<Self, String> {
        let limits = &options.settings.limits;
        let artifacts = data.join("artifacts");
        let builds = options.builds.as_deref().unwrap_or(data);
        let staging = Staging::at(&artifacts).map_err(in_words)?;
        let verifying = VerifierLimits { time: limits.verify, ..VerifierLimits::default() };
        let variables = options.variables.clone();
        let variables: VariablesOf = Arc::new(move |plugin| variables.get(plugin).cloned().unwrap_or_default());
        let verifier = Verifier::new(data.join("verdicts"), verifying).map_err(because("no verdicts can be kept"))?;
        let verifier = verifier.with_variables(variables.clone());
        let creating = LoaderOptions { create: limits.create };
        let loader =
            Loader::new(data.join("run"), creating, Some(work.clone())).map_err(because("no plugins can be loaded"))?;
        let suspects = Suspects::open(&data.join("suspects"), options.parent.died_by_itself())
            .map_err(because("no marks can be kept of what is started"))?;
        let mut services = options.services.clone();
        let shares = kept::shares(options, data, served)?;
        let KeptPlaces { storage, tables, records, events, tasks } =
            kept::places(options, data, work.clone(), &shares)?;
        let analytics = PluginAnalytics::new(records.clone(), &node);
        let executor = Executor::new(deliveries.clone(), read_schema, records, options.executions, &work);
        let events = PluginEvents::kept_in(events, &node, deliveries, options.events.limits, work.clone());
        let tasks = TaskParts::new(tasks);
        kept::keep_swept(storage.clone(), &work);
        services.add("storage/1", StorageService::new(storage.clone())).map_err(in_words)?;
        let desk = TaskDesk::new(tasks.queue.clone(), tasks.known.clone());
        let database = DatabaseService::new(tables.clone(), SessionLimits::default()).with_tasks(desk);
        let task_asks = TasksService::new(tasks.queue.clone(), tasks.known.clone(), tasks.runner.clone());
        services.add("tasks/1", task_asks).map_err(in_words)?;
        services.add("database/1", database).map_err(in_words)?;
        services.add("openapi/1", OpenApiService::default()).map_err(in_words)?;
        services.add("events/1", EventService::new(events.clone())).map_err(in_words)?;
        let services = Arc::new(HostServices::new(services, AskLimits::default()).with_shares(shares));
        let around = Surroundings {
            dirs: Some(data.join("plugins")),
            variables: Some(variables),
            services: Some(services.clone()),
        };
        let runners = Runners::new(data.join("runners"), limits.create, around.clone(), work.clone());
        let runners = runners.map_err(because("no plugins can be isolated"))?;
        let runners = Arc::new(
            runners.requiring_all(options.settings.isolation.requires_all).with_database(options.registry.hosts(data)),
        );
        let loader = Arc::new(loader.with_suspects(suspects.clone()).with_surroundings(around));
        let built_in = options.built_in.iter().map(|plugin| compiled_in(*plugin, loader.clone()));
        Ok(Parts {
            builder: Builder::new(camlock_build::BuilderOptions {
                listener: options.listener.clone(),
                removed: data.join("removed"),
                ..build_options(plugins, builds, &options.settings, options.profile)
            }),
            built_in: built_in.collect::<Result<_, _>>().map_err(in_words)?,
            installer: LimitedInstalls::new(
                Installer::new(plugins, data, identify()).map_err(because("nothing can be installed"))?,
            ),
            shelf: FileShelf::new(data, artifacts),
            workbench: Workbench::new(staging.clone(), verifier, loader.clone()),
            staging,
            loader,
            runners,
            suspects,
            services,
            storage: storage.clone(),
            executor: executor.clone(),
            analytics: analytics.clone(),
            keepings: PluginKeepings {
                dirs: data.join("plugins"),
                storage,
                events: events.clone(),
                tasks: tasks.queue.clone(),
                executor,
                analytics,
                tables: tables.clone(),
                keyring,
            },
            tables,
            events,
            tasks,
        })
    }

    /// Where this server has an artifact, if it has it.
    pub(crate) fn holding(&self) -> impl Fn(Digest) -> Option<PathBuf> + Send + Sync + 'static {
        let staging = self.staging.clone();
        move |digest| Some(staging.path_of(digest)).filter(|path| path.is_file())
    }

    /// What the supervisor needs.
    pub(crate) fn ports(
        self,
        publish: Arc<dyn Publish>,
        (registry, exchange): (Arc<dyn Registry>, Arc<dyn Exchange>),
        control: Handle,
    ) -> Ports {
        let at_once = thread::available_parallelism().map_or(2, usize::from) * 2;
        let turns = || Arc::new(Semaphore::new(at_once));
        Ports {
            sources: Arc::new(self.builder),
            shelf: Arc::new(self.shelf),
            loading: Arc::new(BothModes::new(Arc::new(self.workbench), self.runners)),
            publish,
            registry,
            exchange,
            built_in: self.built_in,
            keepings: Arc::new(self.keepings),
            work: PluginWork { aside: aside(control), verifying: turns(), loading: turns() },
            install: Some(Arc::new(self.installer)),
        }
    }
}

/// What a library says of itself.
fn identify() -> Identify {
    Arc::new(|path: &Path| {
        let manifest = sections(path)?.manifest;
        Ok(Identified { name: manifest.name, claims: manifest.camlock.routes })
    })
}

/// How the plugins in a directory are built, and how a library's own words are read. `builds` is where cargo works.
pub fn build_options(
    plugins: &Path,
    builds: &Path,
    settings: &Settings,
    profile: Profile,
) -> camlock_build::BuilderOptions {
    let inspect = Arc::new(|path: &Path| {
        let Sections { manifest, fingerprint, .. } = sections(path)?;
        Ok(LibraryIdentity { name: manifest.name, fingerprint })
    });
    let settings = settings.clone();
    camlock_build::BuilderOptions {
        profile,
        sandbox: settings.builds_are_sandboxed,
        limit: Arc::new(move |plugin| settings.limits(plugin).build),
        ..camlock_build::BuilderOptions::new(plugins, builds, identify(), inspect)
    }
}

fn sections(path: &Path) -> Result<Sections, Failure> {
    let unreadable = |error| Failure::transient(Stage::Manifest, format!("{} cannot be read: {error}", path.display()));
    let bytes = std::fs::read(path).map_err(unreadable)?;
    inspect(&bytes).map_err(|unfit| Failure::new(Stage::Verify, unfit.to_string()))
}

/// A thread of its own for each piece of plugin code that is no request: it may block there as long as it likes, and what it
/// leaves on the thread goes with it.
fn aside(control: Handle) -> Aside {
    Arc::new(move |work| {
        let control = control.clone();
        let started = thread::Builder::new().name("camlock-aside".to_owned()).spawn(move || control.block_on(work));
        if let Err(error) = started {
            // Whoever waits hears that it was not run.
            tracing::error!(%error, "no thread could be started for a plugin's work");
        }
    })
}

fn because<E: Display>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}

fn in_words(error: impl Display) -> String {
    error.to_string()
}
