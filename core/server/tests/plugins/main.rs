//! Real plugins, really built, loaded and called over HTTP on a socket.

#![allow(unreachable_pub, reason = "a test program has no outside")]

mod capture;
mod features;
mod harness;

use camlock_testing::Trials;

fn main() {
    camlock_loader::run_verifier_if_asked();
    capture::install();
    features::add(Trials::default()).run()
}
