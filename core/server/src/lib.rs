//! Serves plugins over HTTP.
//!
//! Here live the connections, the way of a request into an instance and of its answer back, the relay of upgraded
//! connections, and the host's own paths. What must not live here: anything that knows how plugins are built, loaded or
//! unloaded, and anything that decides which of them are served.

#![forbid(unsafe_code)]

mod away;
mod blocked;
mod connection;
mod control;
mod dispatch;
mod ending;
mod frames;
mod front;
mod generation;
mod levels;
mod limited;
mod logs;
mod lookout;
mod marks;
mod memory;
mod meters;
mod monitor;
mod noticed;
mod patience;
mod problem;
mod relay;
mod request_id;
mod service;
mod socket;
mod trace_context;
mod wire;

pub use crate::{
    blocked::{Blocked, BlockedList},
    control::{About, ControlOptions, Note, Token, control_router},
    dispatch::{Dispatch, Dispatched},
    front::{Front, FrontOptions},
    levels::{Leveled, Levels},
    logs::Logs,
    lookout::look_after,
    memory::InMemory,
    meters::Meters,
    socket::{ControlSocket, serve_socket},
};
