//! Camlock's policy, free of I/O.
//!
//! Here live leases, the port through which plugins are called, and the reading of what plugins say of themselves. What must
//! not live here: the ABI, `libloading`, databases, axum, file watching, and `unsafe`. Whoever implements a port depends on
//! this crate, never the other way round.

#![forbid(unsafe_code)]

mod body;
mod call;
mod instance;
pub mod lease;
pub mod manifest;

pub use crate::{
    body::{Body, BodyError},
    call::{Answer, Call, Connection, Fault, FaultKind},
    instance::{BoxFuture, Description, Ending, Instance, Loaded, Saved},
    lease::{Lease, Use, Watch},
    manifest::Manifest,
};
