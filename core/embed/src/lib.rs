//! Camlock as a part of somebody else's server.
//!
//! Here all parts are put together, once, for `camlock serve` and for whoever has a server already: the directory and its
//! builds, loading, the registry, the supervisor, the host's own paths. What must not live here: anything that one of these parts
//! decides, sockets that listen for the world, signals, the environment, and what is printed.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use camlock_embed::{Camlock, Options};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     camlock_embed::run_verifier_if_asked();
//!     serve()
//! }
//!
//! #[tokio::main]
//! async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//!     let camlock = Camlock::start(Options::new("plugins", "data")).await?;
//!     let app = Router::new().route("/", get(|| async { "mine" })).merge(camlock.router());
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//!     axum::serve(listener, app).with_graceful_shutdown(camlock.end_on(ctrl_c())).await?;
//!     camlock.end().await;
//!     Ok(())
//! }
//!
//! async fn ctrl_c() {
//!     let _ = tokio::signal::ctrl_c().await;
//! }
//! ```

#![forbid(unsafe_code)]

mod analytics;
mod bystanders;
mod carrying;
mod catalogs;
pub mod data;
mod discovery;
mod handle;
mod installs;
mod keepings;
mod kept;
mod known;
mod lifecycle_events;
mod options;
mod parent;
mod parts;
mod record;
mod router;
mod runtimes;
mod secrets;
mod sql_rights;
mod suspects;
mod tasks;
mod values;
mod watch;

pub use crate::{
    carrying::{CarriedKept, KeptToCarry, Move},
    catalogs::read_library,
    handle::{Camlock, Unable},
    kept::{AskSettings, DatabaseSettings, EventSettings, RegistryServer, StorageSettings, TaskSettings},
    options::{FleetSettings, Options, RegistrySettings},
    parts::build_options,
    secrets::{look_at_secrets, rotate_secrets},
};
pub use camlock_admin::{AdminSettings, Levels, Logs, Network};
pub use camlock_build::{CompilerListener, Profile};
pub use camlock_discovery::{CacheSetting, DiscoverySettings, HiddenText, Overrides};
pub use camlock_http::Dispatch;
pub use camlock_isolate::{FencesFound, ParentLink, ParentOrder, examine_fences, under_parent};
pub use camlock_loader::{BuiltIn, Digest, on_thread_park};
pub use camlock_policy::{
    Act, AdvisoryPolicy, AskError, AskErrorCode, Asker, Body, CatalogOrder, CatalogPolicy, Doctor, Done,
    ExecutionEntry, ExecutionOrder, ExecutionOutcome, ExecutionStatus, Finding, Granted, Grants, Headline, Kept,
    Limits, LivePlugin, Manager, NotExecuted, Order, Overview, PluginView, Refused, RequestLimits, Settings,
    UpdateChannel, UpdatePolicy, UpdateWindow,
};
pub use camlock_services::{
    ExecutionSettings, NotAService, Service, StorageLimits,
    events::{EventLimits, EventsUrl, NotAnEventsUrl},
    secrets::{HeldKey, NotAKey, SecretsKey},
};
pub use camlock_store::Objects;

/// The one call that a program with Camlock in it makes, first thing in `main`.
///
/// Plugins are verified in a child process, what a build starts is held together by another, and plugins may have processes of their
/// own: all are the program itself,
/// started again. There this call does the work and never returns. Without it no plugin is verified, hence none is loaded.
pub fn run_verifier_if_asked() {
    camlock_build::run_guard_if_asked_within(|open| camlock_isolate::fence_build(&open.read, &open.run, &open.write));
    camlock_isolate::run_runner_if_asked();
    camlock_loader::run_verifier_if_asked_within(camlock_isolate::fence_verifier);
}
