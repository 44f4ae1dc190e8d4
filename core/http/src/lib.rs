//! Serves plugins over HTTP.
//!
//! Here live the connections and their threads, the way of a request into an instance and of its answer back, the relay of
//! upgraded connections, and what is counted of all that. What must not live here: the host's own paths (`camlock-admin`),
//! anything that knows how plugins are built, loaded or unloaded, and anything that decides which of them are served.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod acceptor;
mod authority;
mod blocked;
mod coarse_clock;
mod connection;
mod connection_limits;
mod connection_state;
mod dedicated_threads;
mod deliveries;
mod descriptors;
mod dispatch;
mod farewell;
mod frames;
mod front;
mod front_options;
mod generation;
mod limited;
mod linger;
mod meters;
mod mounted;
mod once_per_minute;
mod page_cookie;
mod plugin_call;
mod poll_notes;
mod problem;
mod relay;
mod request_id;
mod responding;
mod server_headers;
mod service;
mod serving_runtime;
mod slow_client;
mod stall_tracker;
mod stream_guard;
mod stuck_connections;
mod thread_activity;
mod tls;
mod trace_context;
mod watchdog;
mod wire;

pub use crate::{
    blocked::{Blocked, BlockedList},
    deliveries::Deliveries,
    descriptors::{connections_that_fit, raise_descriptor_limit},
    dispatch::{Dispatch, WeakDispatch},
    front::Front,
    front_options::FrontOptions,
    meters::{BOUNDS, CLASSES, Counted, Meter, Meters},
    page_cookie::PAGE_COOKIE,
    problem::{Problem, nothing_there, seconds},
    responding::Dispatched,
    service::PLUGIN_TARGET,
    tls::{TlsFiles, TlsTrouble},
    trace_context::sent_trace,
    watchdog::look_after,
};
