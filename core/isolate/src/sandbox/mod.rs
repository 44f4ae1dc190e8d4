//! What holds a plugin's process: closed around it before any of its code is opened, while the process still has one thread.
//!
//! Nothing is allowed but what is named here: `namespaces` (other processes, mounts, the network are not there to be seen), `files`
//! (Landlock: files, TCP ports, signals and abstract sockets) and `calls` (seccomp: system calls) each close what they can, and each stands
//! where another is not to be had. What must not live here: who is granted what.

mod acts;
mod builds;
mod calls;
mod files;
mod filter;
mod namespaces;

pub(crate) use acts::{act_of, is_by_tcp, is_of_internet};
pub use builds::fence_build;
pub(crate) use namespaces::{Namespaces, enter};

use crate::{broker::parted, sys};
use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs},
};
use serde::{Deserialize, Serialize};
use std::{io, os::fd::OwnedFd, path::PathBuf};

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
    /// Whether the server connects for it: then it has no network of its own.
    pub(crate) brokered: bool,
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
                    match parted(host).1 {
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

    /// The same, where the server connects for it, if this machine knows how.
    pub(crate) fn brokered(self, absent: &[FencePart]) -> Self {
        let knows_how = !absent.contains(&FencePart::Seccomp) && sys::calls_can_be_told();
        Openings { brokered: self.network.is_some() && knows_how, ..self }
    }
}

/// What the process itself is told to keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnBounds {
    pub(crate) memory: Option<u64>,
    pub(crate) open_files: u64,
    /// The longest file that it may write.
    pub(crate) file: Option<u64>,
    pub(crate) processes: Option<u64>,
}

/// A part of the sandbox that a machine may not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FencePart {
    /// Files, ports, signals and abstract sockets.
    Landlock,
    /// What a newer Landlock closes besides files and ports.
    LandlockScopes,
    /// System calls.
    Seccomp,
    /// That the server is asked, and told, about system calls: a filter around this program may have taken that.
    SeccompAsking,
    /// Namespaces.
    Namespaces,
    /// What is done in namespaces: a machine may let anybody make them, and refuse that.
    Mounts,
}

/// What stands of what was to be closed.
#[derive(Debug, Default)]
pub(crate) struct Fences {
    /// What is lacking, in words; empty if nothing is.
    pub(crate) lacking: Vec<String>,
    /// Where refused calls are heard of.
    pub(crate) refusals: Option<OwnedFd>,
}

/// Closes this process, for good, but for these openings. What is absent is as if this machine had none of it.
pub(crate) fn close(openings: &Openings, bounds: OwnBounds, spaces: &Namespaces, absent: &[FencePart]) -> Fences {
    let mut lacking = spaces.lacking.clone();
    // A write beyond what it may is an error to it, not its end.
    sys::ignore_file_size_signal();
    // Counted for each user namespace by itself: in one that it shares with others, those would count too.
    let processes = bounds.processes.filter(|_| spaces.own_users);
    let limits = [
        (Resource::Core, Some(0)),
        (Resource::Data, bounds.memory),
        (Resource::Fsize, bounds.file),
        (Resource::Nofile, Some(bounds.open_files)),
        (Resource::Nproc, processes),
    ];
    for (resource, limit) in limits.into_iter().filter_map(|(resource, limit)| Some((resource, limit?))) {
        // What was set already may be less.
        let hard = getrlimit(resource).maximum.map_or(limit, |hard| hard.min(limit));
        if let Err(error) = setrlimit(resource, Rlimit { current: Some(hard), maximum: Some(hard) }) {
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
    if absent.contains(&FencePart::Landlock) {
        lacking.push("this kernel has no Landlock: files are not closed".to_owned());
    } else {
        lacking.extend(files::close(openings, absent.contains(&FencePart::LandlockScopes)));
    }
    let filter = |on_refusal| calls::program(openings, std::process::id(), spaces.own_processes, on_refusal);
    let install = |on_refusal, heard_of, parts: &[FencePart]| {
        if parts.iter().any(|part| absent.contains(part)) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        sys::filter_calls(&filter(on_refusal), heard_of)
    };
    let refusals = match install(calls::TELL, true, &[FencePart::Seccomp, FencePart::SeccompAsking]) {
        Ok(refusals) => refusals,
        // Where nobody can hear of what is refused, it is refused all the same.
        Err(unheard) => {
            lacking.push(match install(calls::REFUSE, false, &[FencePart::Seccomp]) {
                Ok(_) => format!("nobody hears of the system calls that are refused (seccomp): {unheard}"),
                Err(error) => format!("system calls are not filtered (seccomp): {error}"),
            });
            None
        }
    };
    if openings.brokered && refusals.is_none() {
        lacking.push("the server is not asked about connections (seccomp): it can reach no host".to_owned());
    } else if openings.network.is_some() && !openings.brokered {
        lacking.push(
            "the server is not asked about connections (seccomp): ports are held to, and hosts are not".to_owned(),
        );
    }
    Fences { lacking, refusals }
}

/// Closes a process in which a candidate is verified: no network, no sockets of others, no signals to others, no other programs; whether
/// that could be done. What it may write is the verifier's own affair.
pub fn fence_verifier() -> bool {
    let program = calls::program(&Openings::default(), std::process::id(), false, calls::REFUSE);
    set_no_new_privs(true).is_ok() && sys::filter_calls(&program, false).is_ok()
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
