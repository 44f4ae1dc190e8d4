//! Plugins by name: packages, catalogs that prove what they hold, search, and what an install takes.
//!
//! A package is what an author makes of one version of a plugin ([`package`]). A catalog is a directory of static files that
//! anybody can serve ([`publish`] writes it); what of it is believed is decided by signatures alone. All work here blocks: whoever
//! calls it from asynchronous code does so on threads for that.
//!
//! What must not live here: HTTP of ours, the registry's SQL, what enters the plugins directory (the supervisor installs), loading.

#![forbid(unsafe_code)]

pub mod client;
mod demands;
mod documents;
mod keep;
pub mod package;
mod proofs;
pub mod publish;
pub mod resolve;
pub mod search;
mod trouble;

pub use crate::{
    demands::Demands,
    documents::{AdvisoryList, ListingLine, PluginAdvisory, PluginDocument, PluginVersion},
    trouble::{CatalogTrouble, TroubleSort},
};
