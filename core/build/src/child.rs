//! A tool run as a child: listened to, limited in time, ended with everything it started.
//!
//! What must not live here: what the tool is, and what its words mean.

use crate::{fence, guard};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use std::{
    fs,
    io::{self, Read},
    os::{
        fd::AsFd,
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How a child came to its end.
#[derive(Debug)]
pub(crate) enum ChildEnd {
    /// By itself, or killed by somebody else.
    Exited(ExitStatus),
    /// It took longer than it may.
    TimedOut,
    /// Nobody wants it any more.
    Cancelled,
}

/// The variable by which everything that a build started can be told from all else.
pub(crate) const TAG: &str = "CAMLOCK_BUILD_ID";

/// Ends the child of [`run`] from another thread, now or as soon as it is started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Switch(Arc<Mutex<ChildPhase>>);

#[derive(Debug, Default)]
enum ChildPhase {
    #[default]
    Idle,
    /// Nobody has waited for it yet, so that its number is nobody else's. A guard ends all when its pipe closes.
    Running(Pid, Option<ChildStdin>),
    Cancelled,
}

impl Switch {
    fn phase(&self) -> MutexGuard<'_, ChildPhase> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what runs, and whatever would be started later.
    pub(crate) fn cancel(&self) {
        let mut phase = self.phase();
        if let ChildPhase::Running(id, None) = *phase {
            let _ = rustix::process::kill_process_group(id, Signal::KILL);
        }
        // With it goes a guard's pipe.
        *phase = ChildPhase::Cancelled;
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(*self.phase(), ChildPhase::Cancelled)
    }
}

/// A tag that nothing else has that this process started.
pub(crate) fn new_tag(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{what}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Where a child writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Errors,
}

/// How much it gives way to others: requests are answered first, whatever is being compiled.
pub(crate) const NICE: i32 = 10;

/// The longest line that is heard; what is longer comes in pieces.
const LONGEST_LINE: usize = 16 << 20;

/// Runs a command to its end, telling every line it writes. `id` is the value of [`TAG`] in its environment. Nothing that it
/// started is left afterwards.
pub(crate) fn run(
    command: &mut Command,
    id: &str,
    switch: &Switch,
    deadline: Instant,
    mut line: impl FnMut(Stream, &[u8]),
) -> io::Result<ChildEnd> {
    command.env(TAG, id).stdin(Stdio::null());
    let mut guard = guard::guarded(command);
    let is_guarded = guard.is_some();
    if !is_guarded && fence::is_around(command) {
        let why = "this program has no guard: call `run_verifier_if_asked()` first thing in `main`";
        return Err(io::Error::other(format!("{}: {why}", guard::UNFENCED)));
    }
    let command = guard.as_mut().unwrap_or(command);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = {
        let mut phase = switch.phase();
        if matches!(*phase, ChildPhase::Cancelled) {
            return Ok(ChildEnd::Cancelled);
        }
        let mut child = command.spawn()?;
        if !is_guarded {
            // Before it starts anything itself, which then is like it. That it cannot be done harms nobody.
            let _ = rustix::process::setpriority_process(Some(Pid::from_child(&child)), NICE);
        }
        *phase = ChildPhase::Running(Pid::from_child(&child), child.stdin.take());
        child
    };
    let heard = listen(&mut child, deadline, &mut line);
    let cancelled = {
        let mut phase = switch.phase();
        if !is_guarded {
            // Whatever it left in its group goes with it, before its number is given up.
            let _ = rustix::process::kill_process_group(Pid::from_child(&child), Signal::KILL);
        }
        let cancelled = matches!(*phase, ChildPhase::Cancelled);
        if !cancelled {
            // A guard that is at work still ends all now, for its pipe closes.
            *phase = ChildPhase::Idle;
        }
        cancelled
    };
    let status = child.wait()?;
    let timed_out = heard? == ListenEnd::TimedOut;
    if !is_guarded || status.signal().is_some() {
        // A child of a child may have left the group; and who killed the tool may have killed the guard.
        end_all_of(id);
    }
    Ok(match (cancelled, timed_out) {
        (true, _) => ChildEnd::Cancelled,
        (false, true) => ChildEnd::TimedOut,
        (false, false) => ChildEnd::Exited(status),
    })
}

#[derive(Debug, PartialEq, Eq)]
enum ListenEnd {
    Ended,
    TimedOut,
}

/// Listens until the child has ended; not until its pipes are closed, for somebody else may hold those.
fn listen(child: &mut Child, deadline: Instant, line: &mut impl FnMut(Stream, &[u8])) -> io::Result<ListenEnd> {
    let (Some(mut output), Some(mut errors)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::Error::other("its output cannot be read"));
    };
    rustix::io::ioctl_fionbio(&output, true)?;
    rustix::io::ioctl_fionbio(&errors, true)?;
    let ended = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let (mut output_lines, mut error_lines) = (Lines::new(Stream::Output), Lines::new(Stream::Errors));
    loop {
        let Some(left) = deadline.checked_duration_since(Instant::now()) else { return Ok(ListenEnd::TimedOut) };
        let has_ended = {
            let mut sources = vec![PollFd::new(&ended, PollFlags::IN)];
            sources.extend(output_lines.open.then(|| PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN)));
            sources.extend(error_lines.open.then(|| PollFd::from_borrowed_fd(errors.as_fd(), PollFlags::IN)));
            match poll(&mut sources, Some(&timespec(left))) {
                Ok(0) => return Ok(ListenEnd::TimedOut),
                Ok(_) => !sources[0].revents().is_empty(),
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
        };
        // What it wrote before it ended is in the pipes by now.
        output_lines.read(&mut output, line)?;
        error_lines.read(&mut errors, line)?;
        if has_ended {
            output_lines.finish(line);
            error_lines.finish(line);
            return Ok(ListenEnd::Ended);
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// What was read of a stream, cut into lines.
struct Lines {
    stream: Stream,
    open: bool,
    partial: Vec<u8>,
}

impl Lines {
    fn new(stream: Stream) -> Self {
        Lines { stream, open: true, partial: Vec::new() }
    }

    /// Reads what is there, without waiting. A stream that never pauses lets others have their turn now and then.
    fn read(&mut self, source: &mut impl Read, line: &mut impl FnMut(Stream, &[u8])) -> io::Result<()> {
        let mut chunk = [0; 16 << 10];
        for _ in 0..256 {
            if !self.open {
                break;
            }
            match source.read(&mut chunk) {
                Ok(0) => self.open = false,
                Ok(count) => self.take(&chunk[..count], line),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take(&mut self, chunk: &[u8], line: &mut impl FnMut(Stream, &[u8])) {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.partial.len() >= LONGEST_LINE {
                self.finish(line);
            }
        }
    }

    fn finish(&mut self, line: &mut impl FnMut(Stream, &[u8])) {
        if !self.partial.is_empty() {
            line(self.stream, self.partial.trim_ascii_end());
            self.partial.clear();
        }
    }
}

/// Ends every process that has this tag in its environment.
pub(crate) fn end_all_of(id: &str) {
    let wanted = format!("{TAG}={id}");
    let Ok(processes) = fs::read_dir("/proc") else { return };
    for process in processes.flatten() {
        let number = process.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let Some(number) = number else { continue };
        // The handle comes first: whatever has this number when it is asked is what will be ended.
        let Ok(handle) = pidfd_open(number, PidfdFlags::empty()) else { continue };
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes()) {
            let _ = pidfd_send_signal(&handle, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn shell(script: &str, id: &str, limit: Duration, switch: &Switch) -> (ChildEnd, Vec<String>) {
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let end = run(&mut command, id, switch, Instant::now() + limit, |stream, line| {
            lines.push(format!("{stream:?}: {}", String::from_utf8_lossy(line)));
        });
        (end.unwrap(), lines)
    }

    const LONG: Duration = Duration::from_secs(60);

    /// Waits until nobody has this tag any more: a killed process takes a moment to go.
    fn expect_nobody(id: &str) {
        let wanted = format!("{TAG}={id}");
        let is_there = || {
            fs::read_dir("/proc").unwrap().flatten().any(|process| {
                let environment = fs::read(process.path().join("environ")).unwrap_or_default();
                environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
            })
        };
        for _ in 0..2000 {
            if !is_there() {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("something of {id} is left");
    }

    #[test]
    fn every_line_is_heard_to_the_end() {
        let script = "echo one; echo two >&2; printf 'no newline'; seq 1 20000 >&2; exit 3";
        let (end, lines) = shell(script, "lines", LONG, &Switch::default());
        assert!(matches!(end, ChildEnd::Exited(status) if status.code() == Some(3)), "{end:?}");
        assert!(lines.contains(&"Output: one".to_owned()) && lines.contains(&"Output: no newline".to_owned()));
        assert!(lines.contains(&"Errors: 20000".to_owned()));
        assert_eq!(lines.len(), 20_003);
    }

    #[test]
    fn one_that_hangs_is_ended_with_all_it_started() {
        let (end, _) =
            shell("setsid sleep 1000 & sleep 1000 & wait", "hangs", Duration::from_millis(200), &Switch::default());
        assert!(matches!(end, ChildEnd::TimedOut), "{end:?}");
        expect_nobody("hangs");
    }

    #[test]
    fn what_left_the_group_is_ended_when_the_tool_ends_by_itself() {
        let (end, _) = shell("setsid sleep 1000 & echo done", "daemon", LONG, &Switch::default());
        assert!(matches!(end, ChildEnd::Exited(status) if status.success()), "{end:?}");
        expect_nobody("daemon");
    }

    #[test]
    fn what_stays_behind_in_the_group_does_not_keep_us() {
        let (end, lines) = shell("sleep 1000 & echo done", "stays", LONG, &Switch::default());
        assert!(matches!(end, ChildEnd::Exited(status) if status.success()), "{end:?}");
        assert_eq!(lines, ["Output: done"]);
        expect_nobody("stays");
    }

    #[test]
    fn it_can_be_cancelled_before_and_while_it_runs() {
        let switch = Switch::default();
        let other = switch.clone();
        let waits = thread::spawn(move || shell("echo up; sleep 1000", "cancelled", LONG, &other));
        while !matches!(*switch.phase(), ChildPhase::Running(..)) {
            thread::yield_now();
        }
        switch.cancel();
        assert!(matches!(waits.join().unwrap().0, ChildEnd::Cancelled));
        expect_nobody("cancelled");
        assert!(matches!(shell("exit 0", "cancelled", LONG, &switch).0, ChildEnd::Cancelled));
    }
}
