//! The page: its files, and the door through which it reaches the admin API.
//!
//! Plugins' paths are not here: a script of a plugin's must never be of the page's origin. What must not live here: anything that
//! is decided or known about plugins, which is the admin API's to say.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod assets;
mod door;
mod extensions;
mod fences;
mod session;

pub use crate::{
    door::{PageOptions, page_router},
    extensions::{ExtensionFiles, TrustedPlugins},
};
