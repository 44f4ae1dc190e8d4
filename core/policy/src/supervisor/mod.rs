//! The supervisor: one task that compares what is wanted with what is real, and takes the next step.
//!
//! Whatever happens elsewhere only tells it to look again; whatever takes time runs beside it (`work`) and reports back. Here live the
//! loop and what it needs of the world. What is decided stands in `plan` (pure), and how a decision is carried out in
//! `settle`. What must not live here: I/O, plugin code, HTTP.

mod acts;
mod admission;
mod agreement;
mod arriving;
mod ask;
mod brake;
mod bring_up;
mod canary;
mod candidate;
mod configuring;
mod departure;
mod dependencies;
mod directory;
mod failing;
mod fitting;
mod granting;
mod isolating;
mod making;
mod migrating;
mod obeying;
mod observed;
mod plan;
mod plugin;
mod records;
mod removing;
mod reports;
mod restarts;
mod sealing;
mod settle;
mod show;
mod sweeping;
mod taking_over;
mod telling;
mod watchful;
mod work;

use crate::{
    BoxFuture, Candidate, CatalogPolicy, Grants, Install, Isolation, Keepings, Limits, LivePlugin, Loading, Manager,
    OpQueue, PluginKind, Publish, Shelf, Sources, UiTrust,
    manager::{Inbox, Message},
    manifest::HOST_CLAIM,
    registry::{Exchange, Reading, Registry, RegistryChange},
    routes::needs_the_operators_word,
};
use directory::Looks;
use plugin::Plugin;
use records::Records;
use show::ShownState;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::{Instant, sleep_until},
};
use work::{GenerationId, GenerationReporter, WorkReport, WorkReports};

/// Runs a future that is plugin code where it may block: not on the supervisor's threads, and not on those that serve.
pub type Aside = Arc<dyn Fn(BoxFuture<()>) + Send + Sync>;

/// Where plugin code runs that is no request, and how much at once.
#[derive(Clone)]
pub struct PluginWork {
    /// Runs a piece of it.
    pub aside: Aside,
    /// So many candidates are verified at once.
    pub verifying: Arc<Semaphore>,
    /// So many are loaded at once. Who was verified does not wait for those that were not: of many, the first serve early.
    pub loading: Arc<Semaphore>,
}

/// What the supervisor needs of the world.
#[derive(Clone)]
pub struct Ports {
    /// The directory and its builds.
    pub sources: Arc<dyn Sources>,
    /// What was built before.
    pub shelf: Arc<dyn Shelf>,
    /// What verifies artifacts and makes instances of them.
    pub loading: Arc<dyn Loading>,
    /// Where requests are dispatched.
    pub publish: Arc<dyn Publish>,
    /// What operators decided, and what the servers agreed on.
    pub registry: Arc<dyn Registry>,
    /// Artifacts that servers share.
    pub exchange: Arc<dyn Exchange>,
    /// Plugins that are compiled in.
    pub built_in: Vec<Arc<dyn Candidate>>,
    /// Where plugin code runs that is no request, and how much at once.
    pub work: PluginWork,
    /// What plugins keep.
    pub keepings: Arc<dyn Keepings>,
    /// What puts plugins into the directory; without, nothing is installed.
    pub install: Option<Arc<dyn Install>>,
}

impl fmt::Debug for PluginWork {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PluginWork")
            .field("verifying", &self.verifying)
            .field("loading", &self.loading)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Ports").finish_non_exhaustive()
    }
}

/// How the supervisor is set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The bounds of every plugin.
    pub limits: Limits,
    /// Those of single ones.
    pub plugins: BTreeMap<String, Limits>,
    /// Whether a plugin that is found for the first time is served.
    pub new_enabled: bool,
    /// What is granted to plugins that somebody put into the plugins directory, unless it is decided for one of them.
    pub grants: Grants,
    /// Where plugins run.
    pub isolation: IsolationSettings,
    /// Whether builds reach nothing but the network and what a build needs.
    pub builds_are_sandboxed: bool,
    /// The operator's word on claims that need it, by plugin: hosts by their names, and `/` and `/*`.
    pub claims: BTreeMap<String, Vec<String>>,
    /// What catalogs may do to plugins that are there.
    pub catalogs: CatalogPolicy,
    /// Where what single plugins bring runs on the page. Of others: in it what is compiled in, and in frames all else.
    pub ui: BTreeMap<String, UiTrust>,
}

/// Where plugins run.
#[derive(Clone, Debug, Default)]
pub struct IsolationSettings {
    /// Those of which nothing else is said.
    pub usual: Option<Isolation>,
    /// Single ones.
    pub plugins: BTreeMap<String, Isolation>,
    /// Whether one is not run in a process of its own where something of what holds it is lacking.
    pub requires_all: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            limits: Limits::default(),
            plugins: BTreeMap::new(),
            new_enabled: true,
            grants: Grants::Asked,
            isolation: IsolationSettings::default(),
            builds_are_sandboxed: false,
            claims: BTreeMap::new(),
            catalogs: CatalogPolicy::default(),
            ui: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// The bounds of a plugin.
    pub fn limits(&self, plugin: &str) -> &Limits {
        self.plugins.get(plugin).unwrap_or(&self.limits)
    }

    /// Whether a plugin's claim holds: one that needs the operator's word has it.
    pub fn grants_claim(&self, plugin: &str, claim: &str) -> bool {
        let word = claim.strip_prefix(HOST_CLAIM).unwrap_or(claim);
        !needs_the_operators_word(claim)
            || self.claims.get(plugin).is_some_and(|granted| granted.iter().any(|granted| granted == word))
    }

    /// What is seen of a plugin: without claims that do not hold, and whether its parts of the page are trusted.
    fn as_seen(&self, view: Arc<LivePlugin>) -> Arc<LivePlugin> {
        let holds = |claim: &str| self.grants_claim(&view.name, claim);
        let is_trusted = match self.ui.get(&view.name) {
            Some(trust) => *trust == UiTrust::Trusted,
            None => view.kind == PluginKind::Static,
        };
        if !is_trusted && view.urls.iter().all(|url| holds(url)) {
            return view;
        }
        let mut seen = view.with_paths(holds);
        seen.has_trusted_ui = is_trusted;
        Arc::new(seen)
    }
}

/// Starts the supervisor on the current runtime, which must not be one that runs plugin code. It ends with
/// [`Manager::end`], or when the last handle is dropped.
pub fn supervise(ports: Ports, settings: Settings) -> Manager {
    let (manager, inbox) = Manager::channel();
    let (sender, reports) = mpsc::unbounded_channel();
    let mut supervisor = Supervisor {
        ports,
        settings,
        reports: sender,
        plugins: BTreeMap::new(),
        dirty: BTreeSet::new(),
        records: Records::default(),
        looks: Looks::default(),
        sweeps: OpQueue::default(),
        shown: ShownState::default(),
        ending: None,
    };
    supervisor.look();
    supervisor.read(Reading::default());
    tokio::spawn(supervisor.run(inbox, reports));
    manager
}

struct Supervisor {
    ports: Ports,
    settings: Settings,
    reports: WorkReports,
    plugins: BTreeMap<String, Plugin>,
    /// Plugins to look at again.
    dirty: BTreeSet<String>,
    records: Records,
    looks: Looks,
    sweeps: OpQueue,
    shown: ShownState,
    /// It ends, and these are told when it has.
    ending: Option<Vec<oneshot::Sender<()>>>,
}

impl Supervisor {
    async fn run(mut self, mut inbox: Inbox, mut reports: mpsc::UnboundedReceiver<WorkReport>) {
        let mut handled = true;
        loop {
            let due = self.next_due();
            tokio::select! {
                biased;
                report = reports.recv() => if let Some(report) = report {
                    self.report(report);
                },
                message = inbox.messages.recv(), if handled => match message {
                    Some(message) => self.message(message),
                    // The last handle is gone, and no other will come.
                    None => {
                        handled = false;
                        self.end(None);
                    }
                },
                () = until(due) => {}
            }
            // Whatever else has come is part of the same look.
            while let Ok(report) = reports.try_recv() {
                self.report(report);
            }
            while let Ok(message) = inbox.messages.try_recv() {
                self.message(message);
            }
            self.tick(Instant::now());
            self.settle();
            self.show(&inbox.overview);
            if self.has_ended() {
                break;
            }
        }
        for done in self.ending.into_iter().flatten() {
            let _ = done.send(());
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Look => self.look(),
            Message::Registry(change) => self.registry_changed(change),
            Message::Act(order, reply) => self.act(order, reply),
            Message::SecretsKey => self.key_changed(),
            Message::Install(installation, reply) => self.install(installation, reply),
            Message::History(plugin, reply) => self.history(plugin, reply),
            Message::End(done) => self.end(Some(done)),
        }
    }

    fn registry_changed(&mut self, change: RegistryChange) {
        let names = match change {
            RegistryChange::Plugins(names) => Some(names),
            // Of what cannot be read it is told why.
            RegistryChange::Everything | RegistryChange::Away => None,
            RegistryChange::Rollouts => Some(BTreeSet::new()),
            RegistryChange::Journal | RegistryChange::Tokens => return,
        };
        self.read(Reading { names, ..Reading::default() });
    }

    /// Where work on a generation reports to.
    fn reporter(&self, plugin: &str, generation: u64) -> GenerationReporter {
        GenerationReporter { id: GenerationId { plugin: plugin.to_owned(), generation }, reports: self.reports.clone() }
    }

    /// Ends: nothing is wanted any more.
    fn end(&mut self, done: Option<oneshot::Sender<()>>) {
        if self.ending.is_none() {
            tracing::info!("ending");
            self.dirty.extend(self.plugins.keys().cloned());
        }
        self.ending.get_or_insert_default().extend(done);
    }

    /// Nothing serves, nothing is on its way, and nothing leaves that can.
    fn has_ended(&self) -> bool {
        let over = |plugin: &Plugin| {
            plugin.serving.is_none() && plugin.candidate.is_none() && plugin.leaving.len() == plugin.pinned()
        };
        self.ending.is_some() && self.plugins.values().all(over)
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
