//! The processes of a site: which there are, and which there must not be.

use camlock_testing::{Server, Site};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// How long a killed process may take to go.
const PATIENCE: Duration = Duration::from_secs(300);

/// Waits until there is none but the server, if one is to be there.
pub(crate) fn expect_only(site: &Site, server: Option<&Server>) {
    let began = Instant::now();
    loop {
        let others: Vec<_> = site.processes().into_iter().filter(|id| Some(*id) != server.map(Server::pid)).collect();
        if others.is_empty() {
            return;
        }
        let names: Vec<_> = others.into_iter().map(|id| (id, command_line(id))).collect();
        assert!(began.elapsed() < PATIENCE, "processes are left: {names:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The cargo that this server runs: the child of a guard that is the server's.
pub(crate) fn cargo(site: &Site, server: &Server) -> u32 {
    let is_cargo = |id: &u32| status(*id, "Name") == "cargo" && parent(parent(*id)) == server.pid();
    let found: Vec<_> = site.processes().into_iter().filter(is_cargo).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}

/// The processes in which this server verifies plugins.
pub(crate) fn verifiers(site: &Site, server: &Server) -> Vec<u32> {
    let is_verifier = |id: &u32| command_line(*id).starts_with("camlock-verifier") && parent(*id) == server.pid();
    site.processes().into_iter().filter(is_verifier).collect()
}

fn parent(id: u32) -> u32 {
    status(id, "PPid").parse().unwrap_or(0)
}

fn status(id: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t"));
    value.unwrap_or_default().to_owned()
}

/// Whether there is one of this number.
pub(crate) fn is_there(id: u32) -> bool {
    !command_line(id).is_empty()
}

/// Ends one without a warning.
pub(crate) fn kill(id: u32) {
    kill_process(Pid::from_raw(id.cast_signed()).unwrap(), Signal::KILL).unwrap();
}

fn command_line(id: u32) -> String {
    let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}
