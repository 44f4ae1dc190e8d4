//! Verifies plugins, loads them, calls them, and takes them out of the process again, so that nothing of them remains.
//!
//! Here lives everything that touches foreign code: this is the one host crate with `unsafe`, and the only one that knows
//! the ABI. What must not live here: policy. When to load, how long to drain and what to do about a failure is core's.
//!
//! The way of an artifact: [`Staging::stage`] copies it once and reads its sections; [`Verifier::verify`] tries those bytes in
//! a child process; [`Loader::load`] opens them and hands core an `Instance` whose every product carries a lease. When the last
//! lease is gone the keeper's thread closes the library and looks whether it is gone. [`Loader::load_built_in`] does the same
//! with a plugin that is linked into the program, but for what only a library needs.
//!
#![doc = include_str!("../README.md")]

mod asks;
mod call;
mod connection;
mod constructors;
mod copy;
mod create;
mod descriptors;
mod elf;
mod firewall;
mod footprint;
mod functions;
mod handler_stack;
mod hints;
mod host;
mod inside;
mod instance;
mod job;
mod keeper;
mod layout;
mod library;
mod loader;
mod memory;
mod objects;
mod own_directory;
mod port;
mod random;
mod request_body;
mod rest;
mod roster;
mod sections;
mod signals;
mod spanned;
mod stage;
mod surroundings;
mod suspects;
mod symbols;
mod threads;
mod traces;
mod verify;
mod words;

pub use camlock_abi::BuiltIn;
pub use camlock_policy::Digest;

pub use crate::{
    create::CreationStep,
    elf::read as inspect,
    footprint::on_thread_park,
    loader::{LoadError, LoadedGeneration, Loader, LoaderOptions, inspect_built_in},
    own_directory::OwnDirectory,
    port::{Workbench, compiled_in, read_schema},
    sections::{Sections, Unfit},
    stage::{Artifact, StageError, Staging},
    surroundings::{Surroundings, VariablesOf},
    suspects::{LostRequests, Suspect, Suspects},
    verify::{
        Verdict, VerificationReport, Verifier, VerifierLimits, VerifyError, run_verifier_if_asked,
        run_verifier_if_asked_within,
    },
};

/// What this host offers, for people.
pub fn abi_version() -> String {
    camlock_abi::ABI.to_string()
}
