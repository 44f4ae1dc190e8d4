//! What events promise: in memory, on SQLite and on a real PostgreSQL, the same tests for all that can.

#![allow(unreachable_pub, reason = "a test program has no outside")]

mod kept;
mod place;
mod plugin;
#[path = "../shared/server.rs"]
mod server;

fn main() {
    camlock_testing::run_trials()
}
