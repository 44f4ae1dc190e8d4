//! Serves plugins over HTTP.
//!
//! Here live the connections, the way of a request into an instance and of its answer back, and the relay of upgraded
//! connections. What must not live here: anything that knows how plugins are built, loaded or unloaded.

#![forbid(unsafe_code)]

mod dispatch;
mod problem;
mod relay;
mod serve;
mod service;
mod trace_context;

pub use crate::{
    dispatch::{Dispatch, Dispatched, MOUNTS},
    serve::serve,
    service::{Answering, PluginService},
};
