//! Write plugins for Camlock.
//!
//! A plugin is an ordinary crate with a cdylib, a type that implements [`Plugin`], and one [`export!`] line:
//!
//! ```
//! use camlock_plugin::prelude::*;
//!
//! struct Hello;
//!
//! impl Plugin for Hello {
//!     async fn create(_host: Host) -> Result<Self> {
//!         Ok(Hello)
//!     }
//!
//!     fn routes(self: Arc<Self>) -> impl Into<Routes> {
//!         Router::new().route("/hello", get(|| async { "Hello from a plugin!" }))
//!     }
//! }
//!
//! export!(Hello);
//! # fn main() {}
//! ```
//!
//! Handlers are axum handlers: extractors, `Json`, `State`, streaming bodies, server-sent events, WebSockets and layers work
//! as in any axum program, and so does tokio: the plugin has a small runtime of its own.
//!
//! Here lives everything that runs on the plugin's side of the boundary. What must not live here: anything of the host.

mod around;
mod ask;
mod assets;
mod backtrace;
mod config;
pub mod database;
mod deliveries;
mod due;
#[cfg(not(feature = "program"))]
mod environment;
mod events;
mod execution;
mod export;
mod functions;
mod host;
mod in_runtime;
mod instance;
mod intercept;
#[cfg(not(feature = "program"))]
mod label;
mod lifecycle;
#[cfg(all(feature = "count-memory", not(feature = "program")))]
mod memory;
mod openapi;
#[cfg(not(feature = "program"))]
mod output;
mod plugin;
mod request;
mod respond;
mod routes;
mod runtime;
mod spare;
mod storage;
mod task;
mod tasks;
#[cfg(not(feature = "program"))]
mod trace;
mod traceparent;
#[cfg(feature = "upgrade")]
mod upgrade;

pub use crate::{
    ask::{Answering, HostError, HostErrorCode, ProgramServices},
    config::{Config, Taken},
    due::Due,
    events::{EmittedEvent, Event, EventStream, Events},
    execution::Execution,
    host::{Host, Spawned},
    openapi::OpenApi,
    plugin::{Plugin, Saved},
    request::{RequestId, TraceId},
    routes::Routes,
    storage::{KeyChange, KeyList, KeyPage, KeyWatch, KeyWrite, Storage, StoredKey, StoredValue},
    task::Task,
    tasks::{EnqueuedTask, NewTask, TaskOptions, TaskStatus, Tasks},
    traceparent::Traceparent,
};
pub use anyhow::{Error, Result};
pub use axum;
pub use camlock_abi::BuiltIn;
#[cfg(feature = "config-schema")]
pub use schemars;
pub use serde_json::{Value, json};

/// What nearly every plugin needs.
pub mod prelude {
    pub use crate::{Error, Host, Plugin, Result, Routes, export};
    pub use axum::{
        Json, Router,
        extract::{Extension, Path, Query, State},
        http::StatusCode,
        response::{IntoResponse, Response},
        routing::{any, delete, get, patch, post, put},
    };
    pub use std::sync::Arc;
}

#[doc(hidden)]
pub mod __private {
    #[cfg(feature = "config-schema")]
    pub use crate::export::schema_of;
    pub use crate::{
        assets::Assets,
        deliveries::deliveries_in_program,
        export::{built_in, entry},
        functions::RUSTC,
        plugin::ExportedPlugin,
    };
    pub use camlock_abi::{
        ABI_TEXT, Entry,
        section::{join, length, pack, packed_length},
    };
    pub use camlock_macros::{assets, config_file, migrations, ui};
    /// The version of this crate, which artifacts carry.
    pub const SDK: &str = env!("CARGO_PKG_VERSION");
    /// Whether this build intercepts what would outlive the library.
    pub const INTERCEPTS: &str = if cfg!(feature = "program") { "no" } else { "yes" };
}
