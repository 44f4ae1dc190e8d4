//! Runs a plugin in a process of its own, and lets the server use it as an instance like any other.
//!
//! What must not live here: which plugin is to run so, and what becomes of one that failed.
//!
#![doc = include_str!("../README.md")]

mod bounds;
mod broker;
mod control;
mod frames;
mod host;
mod link;
mod parent;
mod port;
mod runner;
mod sandbox;
mod sys;

pub use crate::{
    host::{Runners, Subject},
    parent::{ParentLink, ParentOrder, under_parent},
    port::BothModes,
    runner::{FencesFound, examine_fences, run_runner_if_asked},
    sandbox::{FencePart, fence_build, fence_verifier},
};
