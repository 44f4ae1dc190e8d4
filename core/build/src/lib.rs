//! The plugins directory and what makes libraries of its entries: core's ports `Sources`, `Shelf` and `Install`.
//!
//! Here live the look at the directory, fingerprints, cargo as a child, what compilers say, the SDK's source that travels in
//! the program, the record of what was built, and how new entries come. What must not live here: deciding when to build, watching, loading.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod builder;
mod cargo;
mod child;
mod depinfo;
mod directory;
mod environment;
mod examine;
mod fence;
mod fingerprint;
mod guard;
mod hints;
mod install;
mod job;
mod known;
mod learned;
mod lease;
mod lock_file;
mod manifest;
mod messages;
mod names;
mod observed;
mod packages;
mod paths;
mod queue;
mod regular;
mod removed;
mod running;
mod scanner;
pub mod sdk;
mod shadow;
mod shelf;
mod single;
mod snapshot;
mod stamp;
mod surroundings;
mod syntax;
mod toolchain;
mod tools;
mod tree;
mod trouble;
mod under_way;
mod whole;
mod words;

pub use crate::{
    builder::{BuildLimit, Builder, BuilderOptions, CompilerListener, Inspect, LibraryIdentity},
    cargo::Profile,
    examine::{Examined, OLDEST, examine},
    fence::{BuildFence, CloseBuild},
    guard::{run_guard_if_asked, run_guard_if_asked_within},
    install::Installer,
    observed::{Identified, Identify},
    regular::read_regular,
    shelf::FileShelf,
};
