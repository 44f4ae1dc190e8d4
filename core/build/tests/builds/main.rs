//! Builds with real cargo: what comes of good sources and of bad ones, and what is left behind.
//!
//! What needs the SDK is built into one target directory, which stays from one run of the tests to the next. Everything works
//! without a network.

#![forbid(unsafe_code)]
#![allow(unreachable_pub, reason = "a test program has no outside")]

mod broken;
mod ended;
mod good;
mod packages;
mod place;
mod refused;
mod restarted;
mod sandboxed;

fn main() {
    camlock_build::run_guard_if_asked_within(|open| camlock_isolate::fence_build(&open.read, &open.run, &open.write));
    refused::run_if_called_cargo();
    restarted::run_if_asked();
    camlock_testing::run_trials()
}
