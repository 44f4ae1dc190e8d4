//! What the host's own paths need of the rest of the server.

use crate::{InMemory, Levels, Logs, PageEntrance, keys::Token, settings::AdminSettings};
use camlock_api::ServerHealth;
use camlock_http::{BlockedList, Meters, WeakDispatch};
use camlock_policy::{
    Analytics, AskCounts, Catalogs, Discovery, Doctor, EventControl, Executions, Install, KeptTables, KeptValues,
    Layouts, QueuedTasks,
    registry::{Archive, Happened, Tokens},
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::AtomicU64},
};

/// Where acts are noted that the manager does not see: what was installed, and that everything is to be looked at again.
pub type ActNotes = Arc<dyn Fn(Happened) + Send + Sync>;

/// Adds what is known of the server's processes to what is told of its health.
pub type ProcessesTold = Arc<dyn Fn(&mut ServerHealth) + Send + Sync>;

/// What is counted of asks, by plugin.
pub type AsksCounted = Arc<dyn Fn() -> BTreeMap<String, AskCounts> + Send + Sync>;

/// What the host's own paths need to know.
#[derive(Clone)]
pub struct AdminOptions {
    /// Who has it may do everything.
    pub token: Token,
    /// Who else may do what.
    pub tokens: Arc<dyn Tokens>,
    /// The journal, and the fleet.
    pub archive: Arc<dyn Archive>,
    /// What notes acts in the journal.
    pub note: ActNotes,
    /// What puts plugins into the directory; without, nothing is installed.
    pub install: Option<Arc<dyn Install>>,
    /// What operators may set.
    pub settings: AdminSettings,
    /// What `/_/health` tells.
    pub about: ServerHealth,
    /// What it adds of the processes.
    pub processes: ProcessesTold,
    /// Handlers that block: `Dispatch::blocked_list`.
    pub blocked: BlockedList,
    /// What is counted of requests: `Dispatch::meters`.
    pub meters: Meters,
    /// What is counted of plugins' asks of their host.
    pub asks: AsksCounted,
    /// What plugins keep; without, nothing of that is shown.
    pub values: Option<Arc<dyn KeptValues>>,
    /// Plugins' own tables; without, nothing is shown of them.
    pub tables: Option<Arc<dyn KeptTables>>,
    /// What has plugins work things out; without, nothing does.
    pub executions: Option<Arc<dyn Executions>>,
    /// Events; without, there are none.
    pub events: Option<Arc<dyn EventControl>>,
    /// The queue of tasks; without, nothing of that is shown.
    pub tasks: Option<Arc<dyn QueuedTasks>>,
    /// How plugins are used; without, that is not known.
    pub analytics: Option<Arc<dyn Analytics>>,
    /// What examines the server and its machine; without, nothing does.
    pub doctor: Option<Arc<dyn Doctor>>,
    /// Catalogs; without, nothing is installed by name.
    pub catalogs: Option<Arc<dyn Catalogs>>,
    /// Plugins in an organisation's repositories; without, none are looked for.
    pub discovery: Option<Arc<dyn Discovery>>,
    /// How people arranged their dashboards; without, nothing of that is kept.
    pub layouts: Option<Arc<dyn Layouts>>,
    /// What plugins said lately: what it is told as a layer of `tracing`.
    pub logs: Logs,
    /// How loud plugins are: what it is told where the subscriber's filter is made.
    pub levels: Levels,
    /// What endpoints are tried with; without, none are.
    pub plugins: Option<WeakDispatch>,
    /// The way onto the page, if there is one.
    pub page: Option<Arc<PageEntrance>>,
    /// Raised whenever the registry's database is connected to anew.
    pub reconnects: Arc<AtomicU64>,
}

impl AdminOptions {
    /// With tokens and a journal in memory only, and nothing to install with.
    pub fn new(token: Token) -> Self {
        let memory = InMemory::default();
        let notes = memory.clone();
        AdminOptions {
            token,
            tokens: Arc::new(memory.clone()),
            archive: Arc::new(memory),
            note: Arc::new(move |happened| notes.note(happened)),
            install: None,
            settings: AdminSettings::default(),
            about: ServerHealth::default(),
            processes: Arc::new(|_| ()),
            blocked: BlockedList::default(),
            meters: Meters::default(),
            asks: Arc::new(BTreeMap::new),
            values: None,
            tables: None,
            executions: None,
            events: None,
            tasks: None,
            analytics: None,
            doctor: None,
            catalogs: None,
            discovery: None,
            layouts: None,
            logs: Logs::default(),
            levels: Levels::default(),
            plugins: None,
            page: None,
            reconnects: Arc::default(),
        }
    }
}

impl fmt::Debug for AdminOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AdminOptions").field("about", &self.about).finish_non_exhaustive()
    }
}
