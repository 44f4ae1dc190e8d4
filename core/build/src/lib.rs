//! The plugins directory: its entries, and what they are made of.
#![forbid(unsafe_code)]
#![allow(dead_code)]
mod child;
mod directory;
mod environment;
mod known;
mod manifest;
mod mark;
mod names;
mod packages;
mod paths;
pub mod sdk;
mod single;
mod snapshot;
mod stamp;
mod surroundings;
mod toolchain;
mod tools;
mod tree;
mod words;
