//! What Camlock's own tests and benchmarks share.
//!
//! Here live the building of fixture plugins, with real cargo, the running of tests that need a `main` of their own, and of a
//! real server over directories of its own, copies of plugins that were altered, and a registry in memory.
//! What must not live here: anything that a shipped crate depends on.

#![forbid(unsafe_code)]

mod altered;
mod clock;
mod fixtures;
mod load;
mod memory;
mod nats;
mod outside;
mod postgres;
mod random;
mod server;
mod site;
mod sources;
mod trials;

pub use altered::Altered;
pub use camlock_testing_macros::trial;
pub use clock::set_clock;
pub use fixtures::{Fixtures, repository, run_cargo};
#[doc(hidden)]
pub use inventory;
pub use libtest_mimic::Trial;
pub use load::Load;
pub use memory::MemoryRegistry;
pub use nats::NatsServer;
pub use outside::{Outside, files_of};
pub use postgres::Postgres;
pub use random::Random;
pub use server::{Answer, Server, request, request_with};
pub use site::Site;
pub use sources::{manifest, single, with_tables};
pub use trials::{Outcome, Registered, in_a_process_of_its_own, one, rounds, run_trials};
