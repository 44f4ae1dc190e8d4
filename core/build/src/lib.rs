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
mod fingerprint;
mod install;
mod job;
mod known;
mod lanes;
mod learned;
mod lease;
mod manifest;
mod messages;
mod names;
mod packages;
mod paths;
mod removed;
mod running;
pub mod sdk;
mod seer;
mod shadow;
mod shelf;
mod single;
mod snapshot;
mod stamp;
mod surroundings;
mod toolchain;
mod tools;
mod tree;
mod trouble;
mod under_way;
mod words;

pub use crate::{
    builder::{BuildLimit, Builder, Identity, Inspect, Listener, Options},
    cargo::Profile,
    directory::{Identified, Identify},
    examine::{Examined, OLDEST, examine},
    install::Installer,
    shelf::FileShelf,
};
