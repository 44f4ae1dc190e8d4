//! The parent becomes the program that now lies where it lay, in the same process: so its number stays, and whoever started it sees no
//! difference. What it keeps goes along by number.

use super::process::ServerProcess;
use crate::sys;
use rustix::{
    io::{FdFlags, fcntl_setfd},
    process::Pid,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    fs, io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{fs::MetadataExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// The variable in which it stands.
pub(super) const STATE: &str = "CAMLOCK_PARENT_STATE";

/// What goes along, by number.
#[derive(Debug, Serialize, Deserialize)]
struct StateInNumbers {
    kept: Vec<(String, i32)>,
    served: Vec<String>,
    /// The server first, then those that leave: process and link.
    servers: Vec<(i32, i32)>,
    uses: Vec<String>,
}

/// The same again.
pub(super) struct Inheritance {
    pub(super) kept: BTreeMap<String, OwnedFd>,
    pub(super) served: Vec<String>,
    pub(super) server: ServerProcess,
    pub(super) leaving: Vec<ServerProcess>,
}

/// What this process was before it became what it is now, if it was.
pub(super) fn inherited() -> io::Result<Option<Inheritance>> {
    let Some(state) = env::var_os(STATE) else { return Ok(None) };
    let state: StateInNumbers = serde_json::from_slice(state.as_encoded_bytes())?;
    let kept = state.kept.into_iter().map(|(key, number)| Ok((key, sys::inherited(number)?)));
    let kept = kept.collect::<io::Result<_>>()?;
    let known = |(id, link): (i32, i32)| {
        let id = Pid::from_raw(id).ok_or_else(|| io::Error::other("0 is no process"))?;
        io::Result::Ok(ServerProcess::known(id, sys::inherited(link)?))
    };
    let mut servers = state.servers.into_iter().map(known).collect::<io::Result<Vec<_>>>()?;
    if servers.is_empty() {
        return Err(io::Error::other("no server goes along"));
    }
    let mut server = servers.remove(0);
    server.serves_since = Some(Instant::now());
    server.uses = state.uses.into_iter().collect();
    Ok(Some(Inheritance { kept, served: state.served, server, leaving: servers }))
}

/// Becomes the new program. Returns only if that cannot be.
pub(super) fn become_it(
    program: &ServedProgram,
    kept: &BTreeMap<String, OwnedFd>,
    served: &[String],
    server: &ServerProcess,
    leaving: &[ServerProcess],
) -> io::Error {
    let servers: Vec<_> = std::iter::once(server).chain(leaving).collect();
    let passed: Vec<_> = kept.values().chain(servers.iter().map(|server| server.link())).collect();
    let pass = |flags| passed.iter().try_for_each(|descriptor| fcntl_setfd(descriptor, flags));
    let state = StateInNumbers {
        kept: kept.iter().map(|(key, socket)| (key.clone(), socket.as_raw_fd())).collect(),
        served: served.to_vec(),
        servers: servers.iter().map(|server| (server.id(), server.link().as_raw_fd())).collect(),
        uses: server.uses.iter().cloned().collect(),
    };
    let state = match serde_json::to_string(&state) {
        Ok(state) => state,
        Err(error) => return error.into(),
    };
    if let Err(error) = pass(FdFlags::empty()) {
        return error.into();
    }
    let mut command = Command::new(&program.path);
    let error = command.arg0(&program.called).args(&program.arguments).env(STATE, state).exec();
    let _ = pass(FdFlags::CLOEXEC);
    error
}

/// The program of this process, and how it was called.
pub(super) struct ServedProgram {
    /// Where it lies; another one may lie there later.
    path: PathBuf,
    called: OsString,
    arguments: Vec<OsString>,
}

impl ServedProgram {
    pub(super) fn of_this_process() -> io::Result<Self> {
        let mut arguments = env::args_os();
        let called = arguments.next().unwrap_or_default();
        let itself = env::current_exe()?;
        let path = place(&called, &itself).unwrap_or(itself);
        Ok(ServedProgram { path, called, arguments: arguments.collect() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn arguments(&self) -> &[OsString] {
        &self.arguments
    }
}

/// Where it was found by this name: a link there may later lead to another program. None if this is not the program that it leads to.
fn place(called: &OsStr, itself: &Path) -> Option<PathBuf> {
    let same = |path: &PathBuf| {
        let number = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
        number(path).is_some_and(|found| Some(found) == number(Path::new("/proc/self/exe")).or_else(|| number(itself)))
    };
    if called.as_encoded_bytes().contains(&b'/') {
        return std::path::absolute(called).ok().filter(same);
    }
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(called)).find(same)
}
