//! What the queue promises, on SQLite and on a real PostgreSQL: the same tests for both. Plugins are fakes here.

#![allow(unreachable_pub, reason = "a test program has no outside")]

mod carried;
mod crowds;
mod dying;
mod place;
mod plugin;
mod queue;
mod scheduled;
#[path = "../shared/server.rs"]
mod server;
mod sql;

fn main() {
    camlock_testing::run_trials()
}
