//! Plugins in an organisation's repositories: found, judged, and kept.
//!
//! Here live the rules of a repository's manifest, the few questions to a forge (GitHub, or one that answers like it), the scan, and
//! the service that has it done when it is time. What must not live here: HTTP that is served, tables, and installing.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod cache;
mod forge;
mod known;
pub mod manifest;
mod scan;
mod secret;
mod service;
mod settings;
mod trouble;

pub use crate::{
    cache::{FileRecords, MemoryRecords},
    service::{DiscoveryService, NamesHere},
    settings::{CacheSetting, DiscoverySettings, HiddenText, Overrides},
    trouble::{BrokenRule, CacheError, DiscoveryError, ForgeError, InvalidManifest, ManifestViolation},
};
