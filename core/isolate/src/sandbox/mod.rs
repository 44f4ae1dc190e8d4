//! What holds a plugin's process: closed around it before any of its code is opened, while the process still has one thread.
//!
//! Nothing is allowed but what is named here: `files` (Landlock: files, TCP ports, signals and abstract sockets) and `calls` (seccomp:
//! system calls) each close what they can, and both stand alone where the other is not to be had. What must not live here: who is
//! granted what.

mod calls;
mod files;

use crate::sys;
use rustix::{
    process::{Resource, Rlimit, setrlimit},
    thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs},
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What a plugin's process may have in memory of its own.
const MEMORY: u64 = 512 * 1024 * 1024;
/// The longest file that it may write.
const FILE: u64 = 4 * 1024 * 1024 * 1024;
/// How many files, sockets and the like it may have open.
const DESCRIPTORS: u64 = 4096;

/// What is left open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Openings {
    /// Files and directories that it may read.
    pub(crate) read: Vec<PathBuf>,
    /// Directories that it may read, and libraries in them that it may map.
    pub(crate) map: Vec<PathBuf>,
    /// Files and directories that it may change.
    pub(crate) write: Vec<PathBuf>,
    /// Whether it may start other programs.
    pub(crate) process: bool,
    /// TCP ports that it may connect to, if it may at all; empty: all.
    pub(crate) network: Option<Vec<u16>>,
}

impl Openings {
    /// What these permissions open. What is no path, or no port, opens nothing.
    pub(crate) fn of<'a>(permissions: impl IntoIterator<Item = &'a str>) -> Self {
        let mut openings = Openings::default();
        let mut every_port = false;
        for permission in permissions {
            let (word, rest) = permission.split_once(':').unwrap_or((permission, ""));
            match (word, rest) {
                ("process", "") => openings.process = true,
                ("database", "direct") => {
                    openings.network.get_or_insert_default();
                    every_port = true;
                }
                ("network", "private") => {}
                ("network", host) => {
                    let ports = openings.network.get_or_insert_default();
                    // An address of version 6 has colons too.
                    let port = host.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
                    match port.and_then(|(_, port)| port.parse().ok()) {
                        Some(port) => ports.push(port),
                        None => every_port = true,
                    }
                }
                ("fs", path) => match path.split_once(':') {
                    Some(("read", path)) if path.starts_with('/') => openings.read.push(path.into()),
                    Some(("write", path)) if path.starts_with('/') => openings.write.push(path.into()),
                    _ => {}
                },
                _ => {}
            }
        }
        if let Some(ports) = openings.network.as_mut().filter(|_| every_port) {
            ports.clear();
        }
        openings
    }
}

/// What stands of what was to be closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fences {
    /// What is lacking, in words; empty if nothing is.
    pub(crate) lacking: Vec<String>,
}

/// Closes this process, for good, but for these openings.
pub(crate) fn close(openings: &Openings) -> Fences {
    let mut lacking = Vec::new();
    for (resource, limit) in
        [(Resource::Core, 0), (Resource::Data, MEMORY), (Resource::Fsize, FILE), (Resource::Nofile, DESCRIPTORS)]
    {
        let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
        if let Err(error) = setrlimit(resource, limit) {
            lacking.push(format!("no limit for {resource:?}: {error}"));
        }
    }
    if let Err(error) = set_no_new_privs(true) {
        lacking.push(format!("setuid programs may still raise it: {error}"));
    }
    // What root may beyond files of its own. An ordinary user has none of these.
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    if let Err(error) = set_capabilities(None, sets) {
        lacking.push(format!("its capabilities are not dropped: {error}"));
    }
    lacking.extend(files::close(openings));
    let filter = calls::program(openings, std::process::id());
    if let Err(error) = sys::filter_calls(&filter) {
        lacking.push(format!("system calls are not filtered (seccomp): {error}"));
    }
    Fences { lacking }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_permissions_open() {
        assert_eq!(Openings::of(["storage", "env:HOME", "fs:read:relative", "fs:read"]), Openings::default());
        let openings = Openings::of(["process", "fs:read:/etc/x", "fs:write:/srv/y", "network:a.example:443"]);
        assert!(openings.process && openings.read == [PathBuf::from("/etc/x")]);
        assert_eq!((openings.write, openings.network), (vec![PathBuf::from("/srv/y")], Some(vec![443])));
        assert_eq!(Openings::of(["network:a.example:443", "network:b.example"]).network, Some(vec![]));
        assert_eq!(Openings::of(["network:[2001:db8::1]:80"]).network, Some(vec![80]));
        assert_eq!(Openings::of(["network:private"]).network, None);
        assert_eq!(Openings::of(["database:direct", "network:a:1"]).network, Some(vec![]));
    }
}
