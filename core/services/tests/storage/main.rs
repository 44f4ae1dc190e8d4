//! What the storage promises, on SQLite and on a real PostgreSQL: the same tests for both.

#![allow(unreachable_pub, reason = "a test program has no outside")]

mod engine;
mod place;
#[path = "../shared/server.rs"]
mod server;

fn main() {
    camlock_testing::run_trials()
}
