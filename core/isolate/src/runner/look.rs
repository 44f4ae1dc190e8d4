//! What of the sandbox this machine has, for the user who asks: a process is closed as a plugin's would be, and says what was lacking.
//!
//! What must not live here: what follows from it.

use crate::{
    bounds::{ControlGroup, GroupPlaces},
    sandbox::{self, Openings, OwnBounds},
};
use camlock_policy::{CpuShare, ProcessLimits};
use std::{
    io::{self, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

/// What asks for it, in place of the server's number.
pub(super) const WORD: &str = "look";

/// What there is to hold plugins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FencesFound {
    /// What is lacking of Landlock, seccomp and namespaces, in words; empty if nothing is.
    pub lacking: Vec<String>,
    /// What control groups bound here: `memory`, `processor`, `processes`.
    pub bounded: Vec<&'static str>,
}

/// Tries all of it, in a process that ends with this. In a program that calls [`run_runner_if_asked`](super::run_runner_if_asked).
pub fn examine_fences() -> io::Result<FencesFound> {
    if !super::is_armed() {
        return Err(io::Error::other("this program does not call `run_runner_if_asked()` first thing in `main`"));
    }
    let mut command = Command::new("/proc/self/exe");
    command.arg0(super::RUNNER_NAME).arg(WORD).env_clear().current_dir("/").stdin(Stdio::null());
    let told = command.output()?;
    if !told.status.success() {
        let why = String::from_utf8_lossy(&told.stderr).trim().to_owned();
        return Err(io::Error::other(format!("a process that is closed ended with {}: {why}", told.status)));
    }
    let lacking = serde_json::from_slice(&told.stdout).map_err(io::Error::other)?;
    let name = format!("camlock-{}-looking", std::process::id());
    let group = ControlGroup::make(&GroupPlaces::here(), &name, &ProcessLimits::default());
    let mut bounded = group.in_words();
    if !group.give(Some(CpuShare::default().percent)) {
        bounded.retain(|word| *word != "processor");
    }
    Ok(FencesFound { lacking, bounded })
}

/// Closes this process and says what was lacking.
pub(super) fn show() -> Result<(), String> {
    let openings = Openings::default();
    let spaces = sandbox::enter(&openings, Path::new("/nonexistent"), &[]);
    let bounds = OwnBounds { memory: None, open_files: 64, file: None, processes: None };
    let fences = sandbox::close(&openings, bounds, &spaces, &[]);
    let told = serde_json::to_vec(&fences.lacking).map_err(|error| error.to_string())?;
    // This process ends at once: nobody else empties what is buffered.
    let mut out = io::stdout();
    out.write_all(&told).and_then(|()| out.flush()).map_err(|error| error.to_string())
}
