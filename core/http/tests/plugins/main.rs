//! Real plugins, really built, loaded and called over HTTP on a socket.

#![allow(unreachable_pub, reason = "a test program has no outside")]

mod built_in;
mod capture;
mod configuration;
mod contract;
mod direct;
mod features;
mod harness;
mod host_threads;
mod later;
mod leases;
mod misbehaviour;
mod outside;
mod reloading;
mod serving;
mod shipped;
mod third_party;
mod unloading;

use camlock_testing::Trials;

fn main() {
    camlock_loader::run_verifier_if_asked();
    capture::install();
    let trials = outside::add(contract::add(features::add(Trials::default())));
    let trials = serving::add(leases::add(misbehaviour::add(trials)));
    let trials = host_threads::add(unloading::add(trials));
    let trials = third_party::add(shipped::add(trials));
    let trials = configuration::add(built_in::add(trials));
    reloading::add(trials).run()
}
