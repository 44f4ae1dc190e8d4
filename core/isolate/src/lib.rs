//! Runs a plugin in a process of its own, and lets the server use it as an instance like any other.
//!
//! What must not live here: which plugin is to run so, and what becomes of one that failed.
//!
#![doc = include_str!("../README.md")]
#![allow(dead_code, reason = "the two ends that use it come next")]

mod frames;
mod link;
