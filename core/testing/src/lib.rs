//! What Camlock's own tests and benchmarks share.
//!
//! Here live the building of fixture plugins, with real cargo, and the running of tests that need a `main` of their own.
//! What must not live here: anything that a shipped crate depends on.

#![forbid(unsafe_code)]

mod fixtures;
mod outside;
mod trials;

pub use fixtures::{Fixtures, repository, run_cargo};
pub use outside::{Outside, files_of};
pub use trials::{Outcome, Trials};
