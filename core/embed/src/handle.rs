//! The handle: everything is begun here, asked through here, and ended here.

use crate::{
    Options, analytics,
    catalogs::ServerCatalogs,
    data,
    discovery::discovery,
    known::tell_plugins,
    lifecycle_events, parent,
    parts::{Parts, Prerequisites},
    record::OpenRegistry,
    runtimes::Runtimes,
    secrets::{self, OwnKey},
    sql_rights,
    suspects::{put_under_quarantine, tell_lost},
    tasks::{OperatorsTasks, TaskParts, follow_takers},
    values::{StoredTables, StoredValues},
    watch::watch,
};
use camlock_admin::{
    AdminOptions, AsksCounted, ControlSocket, PageEntrance, Token, admin_router, bind_socket, serve_socket,
};
use camlock_api::ServerHealth;
use camlock_build::Builder;
use camlock_http::{Dispatch, FrontOptions, Meter, look_after};
use camlock_isolate::ParentLink;
use camlock_loader::{abi_version, on_thread_park};
use camlock_page::{PageOptions, page_router};
use camlock_policy::{
    Act, AskError, Digest, Done, Emission, EventControl, ExecutionOrder, ExecutionOutcome, Executions, LivePlugin,
    Manager, NotExecuted, Overview, Refused, WantedTask, supervise,
};
use camlock_services::{Executor, RunnerSettings, TaskRunner, analytics::PluginAnalytics, events::PluginEvents};
use std::{
    fmt, path,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Once, PoisonError},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::watch as signal,
    task::{JoinHandle, spawn_blocking},
    time::sleep,
};

/// How long requests have to end by themselves before plugins are told to.
const GRACE: Duration = Duration::from_secs(1);

/// Why there can be no Camlock: one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unable {
    /// Why.
    pub reason: String,
    /// What it was told makes no sense; it is of no use to try again.
    pub misconfigured: bool,
}

impl From<String> for Unable {
    fn from(reason: String) -> Self {
        Unable { reason, misconfigured: false }
    }
}

/// Camlock in this process. Cheap to clone; dropping the last one, and the last router of it, ends it at once, without a drain.
#[derive(Clone)]
pub struct Camlock(Arc<Inner>);

struct Inner {
    dispatch: Dispatch,
    manager: Manager,
    executor: Executor,
    analytics: PluginAnalytics,
    data: PathBuf,
    token: String,
    /// Camlock's own paths.
    admin: axum::Router,
    /// Of the page's listener, if there is one.
    page: Option<(Arc<PageEntrance>, Vec<String>)>,
    cannot_build: Option<String>,
    builder: Builder,
    events: PluginEvents,
    /// What ends last. There until it does.
    rest: Mutex<Option<EndsLast>>,
    ended: signal::Sender<bool>,
    looking: Once,
    /// The program's own runtime.
    serving: Handle,
    runtimes: Runtimes,
    tasks: TaskParts,
    parent: ParentLink,
    /// Those that count what was lost with the process before.
    _lost: Vec<Arc<Meter>>,
}

struct EndsLast {
    record: OpenRegistry,
    socket: Option<ControlSocket>,
    watching: JoinHandle<()>,
    /// The key for secrets.
    following: JoinHandle<()>,
    catalogs: JoinHandle<()>,
    /// What keeps fresh what was discovered, if anything is.
    discovering: Option<JoinHandle<()>>,
    runner: TaskRunner,
}

impl Camlock {
    /// Begins: opens what is kept, and has the plugins directory looked at. Plugins serve as soon as they can; [`ready`] waits
    /// for that. To be called on the tokio runtime that answers requests; Camlock has two small ones of its own beside it.
    ///
    /// [`ready`]: Camlock::ready
    pub async fn start(options: Options) -> Result<Self, Unable> {
        let runtimes = Runtimes::start()?;
        let control = runtimes.control.clone();
        let begun = control.spawn(Camlock::open(options, runtimes, Handle::current()));
        begun.await.unwrap_or_else(|error| Err(Unable::from(format!("Camlock could not be started: {error}"))))
    }

    async fn open(options: Options, runtimes: Runtimes, serving: Handle) -> Result<Self, Unable> {
        let Runtimes { control, work, .. } = &runtimes;
        let data = data::open(&options.data)?;
        let plugins = path::absolute(&options.plugins)
            .map_err(|error| format!("the plugins directory {} has no place: {error}", options.plugins.display()))?;
        let token = match &options.token {
            Some(token) => token.clone(),
            None => data::admin_token(&data)?,
        };
        // First: what is wrong with its URL is told here.
        let mut record = OpenRegistry::open(&options, &data).await?;
        let own_key = OwnKey::of(&options, &data);
        let key_record = record.store.key();
        let keyring = secrets::open(&own_key, &key_record, record.store.trouble().is_some()).await;
        let dispatch = Dispatch::default();
        let deliveries = Arc::new(dispatch.deliveries(Some(on_thread_park)));
        let around = Prerequisites {
            deliveries: deliveries.clone(),
            served: dispatch.meters(),
            work: work.clone(),
            node: record.registry().this_node(),
        };
        let parts = Parts::open(&options, (&plugins, &data), around, keyring.clone())?;
        record.answer_requests(parts.holding());
        let cannot_build = parts.builder.cannot_build();
        let about = ServerHealth {
            version: options.version,
            revision: options.revision,
            rustc: options.rustc,
            abi: abi_version(),
            built_in: parts.built_in.iter().map(|built_in| built_in.manifest().name.clone()).collect(),
            ..ServerHealth::default()
        };
        let loader = parts.loader.clone();
        let runners = parts.runners.clone();
        options.levels.listen(move |plugin, level| {
            loader.set_level(plugin, level);
            runners.set_level(plugin, level);
        });
        let (services, executor, analytics) = (parts.services.clone(), parts.executor.clone(), parts.analytics.clone());
        let (values, tables) = (Arc::new(StoredValues(parts.storage.clone())), parts.tables.clone());
        let events = parts.events.clone();
        let (tasks, fleet) = (parts.tasks.clone(), options.registry.fleet);
        let (builder, installer) = (parts.builder.clone(), parts.installer.clone());
        let registry = (record.registry(), record.exchange.clone());
        let note = record.registry();
        let lost = tell_lost(&parts.suspects, &record.registry(), &dispatch.meters());
        put_under_quarantine(parts.suspects.clone(), record.registry()).await;
        let ports = parts.ports(Arc::new(dispatch.clone()), registry, control.clone());
        let catalog_policy = options.settings.catalogs.clone();
        let manager = supervise(ports, options.settings);
        record.follow(&manager);
        let following = control.spawn(secrets::follow(own_key, key_record, keyring, manager.key_listener()));
        let discovery = options
            .discovery
            .map(|settings| discovery(settings, (&record.store, &data), manager.clone(), control.clone()))
            .transpose()?;
        let catalogs = ServerCatalogs::new(
            record.store.catalogs(),
            manager.clone(),
            (&plugins, &data),
            cannot_build.is_none(),
            (catalog_policy, events.clone()),
            discovery.clone().map(|discovery| Arc::new(discovery) as _),
        );
        let hosts = options.admin.hosts.clone();
        let entrance = options.page.map(|url| Arc::new(PageEntrance::new(url, token.clone())));
        let link = options.parent;
        let in_health = link.clone();
        let asks: AsksCounted = Arc::new(move || services.counts());
        let counted = analytics::CountedPlaces {
            manager: manager.clone(),
            meters: dispatch.meters(),
            asks: asks.clone(),
            executions: Arc::new(executor.clone()),
            events: events.clone(),
            tasks: OperatorsTasks(tasks.clone()),
        };
        let told = AdminOptions {
            plugins: Some(dispatch.downgrade()),
            page: entrance.clone(),
            tokens: record.store.tokens(),
            archive: record.store.archive(),
            note: Arc::new(move |happened| note.note(happened)),
            about,
            blocked: dispatch.blocked_list(),
            meters: dispatch.meters(),
            asks: asks.clone(),
            values: Some(values),
            tables: Some(Arc::new(StoredTables(tables.clone()))),
            executions: Some(Arc::new(executor.clone())),
            events: Some(Arc::new(events.clone())),
            tasks: Some(Arc::new(OperatorsTasks(tasks.clone()))),
            analytics: Some(Arc::new(analytics.clone())),
            doctor: options.doctor,
            catalogs: Some(Arc::new(catalogs.clone())),
            discovery: discovery.clone().map(|discovery| Arc::new(discovery) as _),
            layouts: Some(Arc::new(record.store.layouts())),
            install: Some(Arc::new(installer)),
            logs: options.logs,
            levels: options.levels,
            settings: options.admin,
            processes: Arc::new(move |health| parent::describe(&in_health, health)),
            reconnects: record.store.reconnects(),
            ..AdminOptions::new(Token::new(token.clone()))
        };
        let router = admin_router(manager.clone(), told);
        // Answered whatever the threads that serve do. Without it there is still HTTP.
        let path = data.join("control.sock");
        let socket = link.unix_listener(&path, || bind_socket(&path));
        let socket = socket.and_then(|listener| serve_socket(&path, listener, router.clone()));
        if let Err(error) = &socket {
            tracing::warn!(%error, "there is no control socket");
        }
        dispatch.fall_through_to(router.clone());
        let watching = control.spawn(watch(plugins, manager.clone(), builder.clone()));
        let catalogs = control.spawn(catalogs.follow(options.followed));
        let discovering = discovery.map(|discovery| control.spawn(discovery.keep_fresh()));
        control.spawn(tell_plugins(tables.clone(), manager.watch()));
        control.spawn(parent::remember(link.clone(), manager.watch()));
        control.spawn(lifecycle_events::follow(events.clone(), manager.watch()));
        control.spawn(analytics::follow(analytics.clone(), counted));
        control.spawn(follow_takers(tasks.known.clone(), manager.watch()));
        control.spawn(sql_rights::follow(tables, manager.watch()));
        let heard = RunnerSettings {
            heartbeat: fleet.heartbeat.min(RunnerSettings::default().heartbeat),
            silence: fleet.alive.min(RunnerSettings::default().silence),
            ..RunnerSettings::default()
        };
        let (known, node) = (tasks.known.clone(), record.store.node().to_owned());
        let runner = TaskRunner::start(tasks.queue.clone(), known, deliveries, (node, heard), work);
        let _ = tasks.runner.set(runner.clone());
        let rest = EndsLast { record, socket: socket.ok(), watching, following, catalogs, discovering, runner };
        Ok(Camlock(Arc::new(Inner {
            dispatch,
            manager,
            executor,
            analytics,
            data,
            token: token.clone(),
            admin: router,
            page: entrance.map(|entrance| (entrance, hosts)),
            cannot_build,
            builder,
            events,
            rest: Mutex::new(Some(rest)),
            ended: signal::channel(false).0,
            looking: Once::new(),
            serving,
            runtimes,
            tasks,
            parent: link,
            _lost: lost,
        })))
    }

    /// Looks after the threads of the program that serve: a handler that blocks one is reported, and moved to threads of its own
    /// if it goes on. A `Front` looks after its own.
    pub(crate) fn look_after(&self) {
        self.0.looking.call_once(|| {
            let options = FrontOptions { on_thread_park: Some(on_thread_park), ..FrontOptions::default() };
            self.control().spawn(look_after(self.dispatch().clone(), options, self.0.serving.clone()));
        });
    }

    /// Where requests go: for programs that serve with a `Front`, or by other means than a [router](Camlock::router).
    pub fn dispatch(&self) -> &Dispatch {
        &self.0.dispatch
    }

    /// What answers on the page's own listener, on this port: its files, and Camlock's own paths behind its sessions. None without
    /// `Options::page`. `secure`: connections are encrypted there.
    pub fn page(&self, port: u16, secure: bool) -> Option<axum::Router> {
        let (entrance, hosts) = self.0.page.clone()?;
        let (admin, admin_token) = (self.0.admin.clone(), self.0.token.clone());
        let manager = self.0.manager.clone();
        let extensions = Arc::new(move |plugin: &str, digest: &str| {
            let overview = manager.overview();
            let plugin = overview.plugins.iter().find(|known| known.name == plugin)?;
            plugin.page_offer().filter(|offer| offer.digest == digest).map(|offer| offer.ui.files)
        });
        let manager = self.0.manager.clone();
        let trusted = Arc::new(move || {
            let overview = manager.overview();
            let trusted = overview.plugins.iter().filter(|plugin| plugin.has_trusted_ui);
            trusted.map(|plugin| plugin.name.clone()).collect()
        });
        Some(page_router(PageOptions { admin, entrance, admin_token, hosts, port, secure, extensions, trusted }))
    }

    /// All that can be asked of the plugins.
    pub fn manager(&self) -> &Manager {
        &self.0.manager
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.0.data
    }

    /// The admin token. Not to be shown to anybody.
    pub fn admin_token(&self) -> &str {
        &self.0.token
    }

    /// Why nothing can be compiled here, if that is so: one sentence.
    pub fn cannot_build(&self) -> Option<&str> {
        self.0.cannot_build.as_deref()
    }

    /// All plugins, as they were last seen.
    pub fn overview(&self) -> Arc<Overview> {
        self.0.manager.overview()
    }

    /// Hears of every change of the overview.
    pub fn watch(&self) -> signal::Receiver<Arc<Overview>> {
        self.0.manager.watch()
    }

    /// One plugin.
    pub fn plugin(&self, name: &str) -> Option<Arc<LivePlugin>> {
        self.0.manager.plugin(name)
    }

    /// Waits until every plugin that is wanted serves, or has failed for good.
    pub async fn ready(&self) {
        let _ = self.watch().wait_for(|overview| overview.ready).await;
    }

    /// A new generation, also of unchanged code. What comes of it is known when this returns.
    pub async fn reload(&self, plugin: &str) -> Result<Done, Refused> {
        self.0.manager.act(plugin, Act::Reload { force: false }).await
    }

    /// Back to an artifact that was kept: this one, or the one that served before.
    pub async fn rollback(&self, plugin: &str, to: Option<Digest>) -> Result<Done, Refused> {
        self.0.manager.act(plugin, Act::Rollback { to, force: false }).await
    }

    /// From now on it is served.
    pub async fn enable(&self, plugin: &str) -> Result<Done, Refused> {
        self.0.manager.act(plugin, Act::Enable(true)).await
    }

    /// From now on it is not served.
    pub async fn disable(&self, plugin: &str) -> Result<Done, Refused> {
        self.0.manager.act(plugin, Act::Enable(false)).await
    }

    /// Has a plugin work something out, and waits for what comes of it. Dropping the future cancels it.
    pub async fn execute(&self, order: ExecutionOrder) -> Result<ExecutionOutcome, NotExecuted> {
        self.0.executor.execute(order).await
    }

    /// Emits an event to whoever hears of its topic, plugins and operators: any topic but those that begin with `camlock.`. When this
    /// returns, an event that somebody wants kept is kept.
    ///
    /// ```no_run
    /// # async fn told(camlock: camlock_embed::Camlock) -> Result<(), camlock_embed::AskError> {
    /// camlock.emit("session.created", serde_json::json!({ "user": 7 })).await
    /// # }
    /// ```
    pub async fn emit(&self, topic: &str, payload: impl Into<serde_json::Value>) -> Result<(), AskError> {
        let payload = payload.into().to_string().into();
        let emission = Emission { topic: topic.to_owned(), payload, durable: false, trace_id: [0; 16] };
        EventControl::emit(&self.0.events, emission).await
    }

    /// Has a plugin do something later, on whichever server has room for it: the task's id. `options` is an object with what
    /// `POST /api/v1/tasks` takes, or null. What this acknowledges is kept.
    pub async fn enqueue(
        &self,
        plugin: &str,
        kind: &str,
        input: serde_json::Value,
        options: serde_json::Value,
    ) -> Result<String, AskError> {
        let wanted = WantedTask { plugin: Some(plugin.to_owned()), kind: kind.to_owned(), input, options };
        self.0.tasks.enqueue(wanted).await.map(|(task, _)| task.id.to_string())
    }

    /// Ends it in order: what was begun ends, within the limits `drain` and `farewell`; plugins are shut down, and leave the
    /// process. Requests to them are refused from then on. Returns when all that is done, however often it is called.
    pub async fn end(&self) {
        let mut ended = self.0.ended.subscribe();
        let rest = self.0.rest.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(rest) = rest {
            let camlock = self.clone();
            // Whoever waits may give up.
            self.control().spawn(async move {
                rest.runner.pause();
                camlock.manager().end().await;
                rest.runner.end().await;
                // What ended only now is logged too.
                camlock.0.executor.flush().await;
                if let Err(error) = camlock.0.analytics.flush().await {
                    tracing::debug!("the use of plugins was not written at last: {}", error.message);
                }
                rest.watching.abort();
                rest.following.abort();
                rest.catalogs.abort();
                rest.discovering.iter().for_each(JoinHandle::abort);
                match rest.socket {
                    Some(socket) if camlock.0.parent.gives_way() => socket.leave(),
                    socket => drop(socket),
                }
                let builder = camlock.0.builder.clone();
                let _ = spawn_blocking(move || builder.end()).await;
                rest.record.end().await;
                camlock.0.ended.send_replace(true);
            });
        }
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// For `axum::serve(…).with_graceful_shutdown(…)`: comes when `asked` does. A second later plugins begin to end, so that
    /// their streams do not hold up the program's own end; [`end`](Camlock::end) then waits for that.
    pub fn end_on<F>(&self, asked: F) -> impl Future<Output = ()> + Send + use<F>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let camlock = self.clone();
        async move {
            asked.await;
            let control = camlock.control().clone();
            control.spawn(async move {
                sleep(GRACE).await;
                camlock.end().await;
            });
        }
    }

    fn control(&self) -> &Handle {
        &self.0.runtimes.control
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // However it ends, no cargo outlives it.
        self.builder.end();
    }
}

impl fmt::Debug for Camlock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Camlock").field("data", &self.0.data).finish_non_exhaustive()
    }
}
