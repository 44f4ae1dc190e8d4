//! Real plugins, really built, loaded and called over HTTP on a socket.

#![allow(unreachable_pub, reason = "a test program has no outside")]

mod asks;
mod built_in;
mod capture;
mod configuration;
mod contract;
mod delivering;
mod direct;
mod features;
mod harness;
mod hearing;
mod host_threads;
mod isolated;
mod later;
mod leases;
mod misbehaviour;
mod outside;
mod reaching;
mod reloading;
mod schemas;
mod serving;
mod shipped;
mod surroundings;
mod tables;
mod third_party;
mod unloading;

fn main() {
    camlock_isolate::run_runner_if_asked();
    camlock_loader::run_verifier_if_asked_within(camlock_isolate::fence_verifier);
    contract::run_if_called_example();
    capture::install();
    camlock_testing::run_trials()
}
