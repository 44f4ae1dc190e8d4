//! The host's own paths: what is served and how it is, the probes, and what operators may do; and what they rest on, the lines
//! that plugins logged lately, their levels, and the control socket.
//!
//! Nothing here waits for a plugin's code: all that is shown comes from the manager's overview. What must not live here: any
//! decision about plugins, and where tokens are kept.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod acts;
mod admit;
mod ask;
mod cors;
mod docs;
mod fleet;
mod install;
mod journal;
mod keys;
mod lasting;
mod level;
mod levels;
mod list;
mod logs;
mod memory;
mod merge;
mod metrics;
mod openapi;
mod page;
mod plugin_logs;
mod probes;
mod show;
mod socket;
mod tally;
mod tokens;

pub use crate::{
    keys::Token,
    levels::{Leveled, Levels},
    logs::Logs,
    memory::InMemory,
    socket::{ControlSocket, serve_socket},
};

use admit::admit;
use axum::{
    Router,
    extract::{Request, State},
    middleware,
    response::Response,
    routing::get,
};
use camlock_http::{BlockedList, Meters, Problem, nothing_there};
use camlock_policy::{
    Install, Manager, Overview,
    registry::{Archive, Happened, Tokens},
};
use http::{HeaderValue, StatusCode};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak, atomic::AtomicU64},
};
use tally::Tally;
use tokio::{runtime::Handle, sync::watch};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Where acts are noted that the manager does not see: what was installed, and that everything is to be looked at again.
pub type Note = Arc<dyn Fn(Happened) + Send + Sync>;

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
    pub note: Note,
    /// What puts plugins into the directory; without, nothing is installed.
    pub install: Option<Arc<dyn Install>>,
    /// How many bytes may be sent to be installed.
    pub largest_upload: u64,
    /// What `/_/health` tells.
    pub about: About,
    /// Handlers that block: `Dispatch::blocked_list`.
    pub blocked: BlockedList,
    /// What is counted of requests: `Dispatch::meters`.
    pub meters: Meters,
    /// What plugins said lately: what it is told as a layer of `tracing`.
    pub logs: Logs,
    /// How loud plugins are: what it is told where the subscriber's filter is made.
    pub levels: Levels,
    /// Raised whenever the registry's database is connected to anew.
    pub reconnects: Arc<AtomicU64>,
    /// Origins whose pages may ask, in a browser: `https://admin.example.com`.
    pub origins: Vec<HeaderValue>,
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
            largest_upload: 256 << 20,
            about: About::default(),
            blocked: BlockedList::default(),
            meters: Meters::default(),
            logs: Logs::default(),
            levels: Levels::default(),
            reconnects: Arc::default(),
            origins: Vec::new(),
        }
    }
}

impl fmt::Debug for AdminOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AdminOptions").field("about", &self.about).finish_non_exhaustive()
    }
}

/// What this server is.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Its version.
    pub version: String,
    /// The revision it was built from.
    pub revision: Option<String>,
    /// The compiler it was built with.
    pub rustc: Option<String>,
    /// The contract it offers to plugins.
    pub abi: String,
    /// The plugins that are compiled in.
    pub built_in: Vec<String>,
}

/// What all handlers share.
struct Control {
    manager: Manager,
    options: AdminOptions,
    guesses: keys::Guesses,
    tally: Mutex<Tally>,
    document: openapi::Merged,
}

impl Control {
    fn new(manager: Manager, options: AdminOptions, document: openapi::Merged) -> Self {
        Control { manager, options, guesses: keys::Guesses::default(), tally: Mutex::default(), document }
    }
}

type Shared = State<Arc<Control>>;

/// The router of the host's own paths. Requests that come over a connection have their peer as `ConnectInfo`.
///
/// Called on a runtime, what happens to plugins is counted as it happens; otherwise only when metrics are asked for.
pub fn admin_router(manager: Manager, options: AdminOptions) -> Router {
    let (router, document) = OpenApiRouter::new()
        .routes(routes!(list::open_list))
        .routes(routes!(list::open_one))
        .routes(routes!(probes::live))
        .routes(routes!(probes::ready))
        .routes(routes!(probes::health))
        .routes(routes!(metrics::metrics))
        .routes(routes!(openapi::openapi))
        .routes(routes!(docs::page))
        .routes(routes!(list::list, install::install))
        .routes(routes!(list::one, acts::set, acts::remove))
        .routes(routes!(list::generations))
        .routes(routes!(list::builds))
        .routes(routes!(plugin_logs::logs))
        .routes(routes!(level::show, level::set))
        .routes(routes!(acts::reload))
        .routes(routes!(acts::rollback))
        .routes(routes!(acts::enable))
        .routes(routes!(acts::disable))
        .routes(routes!(acts::look_again))
        .routes(routes!(journal::events))
        .routes(routes!(journal::journal))
        .routes(routes!(fleet::nodes))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .route("/docs/page.js", get(docs::script))
        .route("/docs/page.css", get(docs::style))
        .split_for_parts();
    let document = openapi::Merged::with(&document, &options.about.version);
    let cross_origin = cors::layer(&options.origins);
    let control = Arc::new(Control::new(manager, options, document));
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(keep_tally(control.manager.watch(), Arc::downgrade(&control)));
    }
    let router = router
        .fallback(async |request: Request| nothing_there(request.uri().path()).response::<axum::body::Body>())
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(control.clone(), admit));
    // A browser asks beforehand, without a token.
    let router = match cross_origin {
        Some(layer) => router.layer(layer),
        None => router,
    };
    router.with_state(control)
}

/// Looks at each overview, as long as there are any and somebody may ask.
async fn keep_tally(mut overview: watch::Receiver<Arc<Overview>>, control: Weak<Control>) {
    while overview.changed().await.is_ok() {
        let Some(control) = control.upgrade() else { return };
        let overview = overview.borrow_and_update().clone();
        control.tally.lock().unwrap_or_else(PoisonError::into_inner).look(&overview);
    }
}

async fn wrong_method(request: Request) -> Response {
    let detail = format!("{} does not take {}", request.uri().path(), request.method());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).response()
}
