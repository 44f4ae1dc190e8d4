//! The host's own paths: what is served and how it is, the probes, and what operators may do; and what they rest on, the lines
//! that plugins logged lately, their levels, and the control socket.
//!
//! Nothing here waits for a plugin's code: all that is shown comes from the manager's overview. What must not live here: any
//! decision about plugins, and where tokens are kept.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod access;
mod acts;
mod admit;
mod analytics;
mod ask;
mod attempt;
mod catalogs;
mod client;
mod cors;
mod discovery;
mod docs;
mod doctor;
mod document;
mod entrance;
mod events;
mod executions;
mod extensions;
mod fleet;
mod grants;
mod install;
mod journal;
mod keys;
mod lasting;
mod layout;
mod level;
mod levels;
mod list;
mod logs;
mod marketplace;
mod memory;
mod merge;
mod metrics;
mod multipart;
mod openapi;
mod options;
mod overview_events;
mod page;
mod plugin_logs;
mod probes;
mod schema;
mod settings;
mod show;
mod socket;
mod state;
mod stream_event;
mod tables;
mod tally;
mod tasks;
mod tokens;
mod values;
mod welcome;

pub use crate::{
    entrance::PageEntrance,
    keys::Token,
    levels::{Leveled, Levels},
    logs::Logs,
    memory::InMemory,
    options::{ActNotes, AdminOptions, AsksCounted, ProcessesTold},
    settings::{AdminSettings, Network, NoNetwork},
    socket::{ControlSocket, bind_socket, serve_socket},
};

use admit::admit;
use axum::{Router, extract::Request, middleware, response::Response, routing::get};
use camlock_http::{Problem, nothing_there};
use camlock_policy::{Manager, Overview};
use http::StatusCode;
use state::Control;
use std::sync::{Arc, PoisonError, Weak};
use tokio::{runtime::Handle, sync::watch};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The router of the host's own paths. Requests that come over a connection have their peer as `ConnectInfo`.
///
/// Called on a runtime, what happens to plugins is counted as it happens; otherwise only when metrics are asked for.
pub fn admin_router(manager: Manager, options: AdminOptions) -> Router {
    let (router, description) = OpenApiRouter::new()
        .routes(routes!(welcome::welcome))
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
        .routes(routes!(schema::schema))
        .routes(routes!(plugin_logs::logs))
        .routes(routes!(level::show, level::set))
        .routes(routes!(grants::show, grants::set))
        .routes(routes!(events::emit))
        .routes(routes!(events::follow))
        .routes(routes!(events::subscriptions))
        .routes(routes!(events::dead))
        .routes(routes!(events::replay))
        .routes(routes!(events::pause))
        .routes(routes!(events::resume))
        .routes(routes!(values::list))
        .routes(routes!(values::get, values::put, values::delete))
        .routes(routes!(tables::list))
        .routes(routes!(executions::execute))
        .routes(routes!(executions::list))
        .routes(routes!(tasks::list, tasks::enqueue))
        .routes(routes!(tasks::show))
        .routes(routes!(tasks::cancel))
        .routes(routes!(tasks::retry))
        .routes(routes!(tasks::schedules))
        .routes(routes!(analytics::analytics))
        .routes(routes!(analytics::problems))
        .routes(routes!(doctor::examine))
        .routes(routes!(extensions::extensions))
        .routes(routes!(attempt::attempt))
        .routes(routes!(acts::reload))
        .routes(routes!(acts::rollback))
        .routes(routes!(acts::enable))
        .routes(routes!(acts::disable))
        .routes(routes!(acts::look_again))
        .routes(routes!(journal::events))
        .routes(routes!(journal::journal))
        .routes(routes!(overview_events::events))
        .routes(routes!(fleet::nodes))
        .routes(routes!(catalogs::list, catalogs::add))
        .routes(routes!(catalogs::remove))
        .routes(routes!(catalogs::sync))
        .routes(routes!(catalogs::search))
        .routes(routes!(catalogs::categories))
        .routes(routes!(catalogs::show))
        .routes(routes!(catalogs::package))
        .routes(routes!(catalogs::installs))
        .routes(routes!(catalogs::plan))
        .routes(routes!(catalogs::outdated))
        .routes(routes!(discovery::list))
        .routes(routes!(discovery::scan))
        .routes(routes!(discovery::webhook))
        .routes(routes!(marketplace::list))
        .routes(routes!(marketplace::install))
        .routes(routes!(marketplace::enable))
        .routes(routes!(marketplace::disable))
        .routes(routes!(marketplace::uninstall))
        .routes(routes!(marketplace::sync))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(entrance::create_code))
        .routes(routes!(entrance::whoami))
        .routes(routes!(layout::get, layout::put))
        .route("/docs/page.js", get(docs::script))
        .route("/docs/page.css", get(docs::style))
        .split_for_parts();
    let document = document::Merged::with(&description, &options.about.version);
    let cross_origin = cors::layer(&options.settings.origins);
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
