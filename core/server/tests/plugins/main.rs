//! Real plugins, really built, loaded and called over HTTP on a socket.

#![allow(unreachable_pub, reason = "a test program has no outside")]

mod capture;
mod contract;
mod features;
mod harness;
mod outside;

use camlock_testing::Trials;

fn main() {
    camlock_loader::run_verifier_if_asked();
    capture::install();
    let trials = outside::add(contract::add(features::add(Trials::default())));
    trials.run()
}
