//! Camlock's policy, free of I/O.
//!
//! Here live leases, the port through which plugins are called, and the reading of what plugins say of themselves. What must
//! not live here: the ABI, `libloading`, databases, axum, file watching, and `unsafe`. Whoever implements a port depends on
//! this crate, never the other way round.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod assert;
mod body;
mod call;
mod failure;
pub mod generation;
mod hints;
mod install;
mod instance;
pub mod lease;
mod limits;
mod manager;
pub mod manifest;
pub mod migrations;
mod names;
mod op_queue;
mod paths;
mod ports;
pub mod registry;
pub mod routes;
mod services;
mod supervisor;
mod view;

pub use crate::{
    body::{Body, BodyError},
    call::{Answer, Call, Connection, Fault, FaultKind, RequestId},
    failure::Failure,
    install::{Install, Installation, Installed, NotInstalled, Placement, Source, Upload},
    instance::{BoxFuture, Description, Ending, Instance, Loaded, Saved},
    lease::{GenerationKey, Lease, Use, Watch},
    limits::{Limits, RequestLimits},
    manager::{Act, Done, Inbox, Manager, Message, Order, Refused},
    manifest::Manifest,
    op_queue::OpQueue,
    paths::without_paths,
    ports::{
        BuildPriority, BuildProgress, Built, Candidate, Entry, Fingerprint, Kept, Kind, Loading, Progress, Publish,
        Scan, Shelf, Sources,
    },
    services::{AskError, AskErrorCode, Asker, ERROR_CODE, Services},
    supervisor::{Aside, Ports, Settings, supervise},
    view::{LivePlugin, Overview},
};
pub use camlock_api::{
    BuildView, CandidateView, Diagnostic, Digest, DrainingView, Endpoint, FailureView, GenerationPhase, GenerationView,
    Headline, NoDigest, PinnedView, PluginKind, PluginView, ServingView, Stage, StageTimes, UtcTime,
};
