//! Serves plugins over HTTP.
//!
//! Here live the connections and their threads, the way of a request into an instance and of its answer back, the relay of
//! upgraded connections, and what is counted of all that. What must not live here: the host's own paths (`camlock-admin`),
//! anything that knows how plugins are built, loaded or unloaded, and anything that decides which of them are served.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod away;
mod blocked;
mod connection;
mod dispatch;
mod ending;
mod frames;
mod front;
mod generation;
mod limited;
mod lookout;
mod marks;
mod meters;
mod monitor;
mod noticed;
mod patience;
mod problem;
mod relay;
mod request_id;
mod service;
mod trace_context;
mod wire;

pub use crate::{
    blocked::{Blocked, BlockedList},
    dispatch::{Dispatch, Dispatched},
    front::{Front, FrontOptions},
    lookout::look_after,
    meters::{BOUNDS, CLASSES, Counted, Meter, Meters},
    problem::{Problem, nothing_there, seconds},
    service::PLUGIN_TARGET,
};
