//! The process between a server and a tool that it runs: whatever the tool starts ends with it, and with the server.
//!
//! A process that leaves its group and its session, and forgets its environment, still has parents. The guard is a subreaper: what
//! loses its parent becomes a child of the guard, so that all that is left of the tool when it ends is found, ended and waited for.
//! The guard is this program itself, started again; it hears of the server's end, however that comes, because a pipe closes.
//!
//! What must not live here: which tool, and what it says.

use crate::fence::{self, CloseBuild};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{
        Pid, PidfdFlags, Signal, WaitOptions, getpid, kill_process, pidfd_open, set_child_subreaper,
        setpriority_process, wait,
    },
};
use std::{
    ffi::OsString,
    fs, io,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{self, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// The guard is called so.
const NAME: &str = "camlock-build-guard";
/// Processes that were killed need so long to go, at most: on a disk that does not answer they do not.
const PATIENCE: Duration = Duration::from_secs(5);

static ARMED: AtomicBool = AtomicBool::new(false);

/// The call that a program which builds plugins makes, first thing in `main`: in the guard it does the work and never returns.
/// Without it builds run unguarded, and what they leave behind is found by its environment alone.
pub fn run_guard_if_asked() {
    let mut arguments = std::env::args_os();
    if arguments.next().is_none_or(|name| name != NAME) {
        ARMED.store(true, Ordering::Relaxed);
        return;
    }
    let closed = fence::close_if_told();
    let outcome = closed.map_err(|why| io::Error::other(format!("{UNFENCED}: {why}"))).and_then(|()| run(arguments));
    match outcome {
        Ok(status) => end_as(status),
        Err(error) => {
            eprintln!("error: {error}");
            process::exit(127)
        }
    }
}

/// The same, where this closes builds that are sandboxed.
pub fn run_guard_if_asked_within(close: CloseBuild) {
    fence::close_by(close);
    run_guard_if_asked();
}

/// Why nothing is run.
pub(crate) const UNFENCED: &str = "builds cannot be sandboxed here, as `build.sandbox` asks";

/// The same command, run by a guard, if this program can be one. Its standard input is the pipe that ends it when it closes.
pub(crate) fn guarded(command: &Command) -> Option<Command> {
    if !ARMED.load(Ordering::Relaxed) {
        return None;
    }
    let mut guard = Command::new("/proc/self/exe");
    guard.arg0(NAME).arg(command.get_program()).args(command.get_args()).env_clear();
    guard.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(directory) = command.get_current_dir() {
        guard.current_dir(directory);
    }
    guard.stdin(Stdio::piped());
    Some(guard)
}

/// Runs the tool, and ends what is left of it.
fn run(mut command: impl Iterator<Item = OsString>) -> io::Result<ExitStatus> {
    set_child_subreaper(Some(getpid()))?;
    // Before anything is started, which then is like it. That it cannot be done harms nobody.
    let _ = setpriority_process(None, super::child::NICE);
    let program = command.next().ok_or(io::ErrorKind::InvalidInput)?;
    let mut tool = Command::new(program);
    tool.args(command).env_remove(fence::FENCE).stdin(Stdio::null()).process_group(0);
    let mut tool = tool.spawn()?;
    let ended = pidfd_open(Pid::from_child(&tool), PidfdFlags::empty())?;
    let input = rustix::stdio::stdin();
    loop {
        let mut sources = [PollFd::new(&ended, PollFlags::IN), PollFd::new(&input, PollFlags::IN)];
        match poll(&mut sources, None) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            // Nothing is ever written into it: it was closed.
            Ok(_) => break,
        }
    }
    let _ = tool.kill();
    let status = tool.wait()?;
    end_children();
    Ok(status)
}

/// Ends all children, and what becomes a child because its parent ended, until there are none.
fn end_children() {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        for child in children() {
            let _ = kill_process(child, Signal::KILL);
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                // There are none any more.
                Err(rustix::io::Errno::CHILD) => return,
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) | Err(_) => break,
            }
        }
        // Killed processes take a moment; a poll of nothing is a pause.
        let _ = poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 1_000_000 }));
    }
}

/// Our own children: nobody but us waits for them, so their numbers are theirs.
fn children() -> Vec<Pid> {
    let own = process::id().to_string();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_child = |stat: &str| {
        // The name, in parentheses, may contain anything.
        stat.rsplit_once(')').is_some_and(|(_, fields)| fields.split_whitespace().nth(1) == Some(&own))
    };
    let numbers = processes.filter_map(|process| {
        let number = process.file_name().to_str()?.parse().ok()?;
        is_child(&fs::read_to_string(process.path().join("stat")).ok()?).then_some(number)
    });
    numbers.filter_map(Pid::from_raw).collect()
}

/// Ends as the tool did.
fn end_as(status: ExitStatus) -> ! {
    if let Some(signal) = status.signal().and_then(Signal::from_named_raw) {
        let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
        let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
        let _ = kill_process(getpid(), signal);
    }
    process::exit(status.code().unwrap_or(70))
}
