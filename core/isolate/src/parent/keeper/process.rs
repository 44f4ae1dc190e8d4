//! One server as its parent sees it: a process, and the socket to it.

use super::{
    super::{
        SERVER_NAME,
        course::HowEnded,
        systemd, wire,
        words::{Begin, ParentWord, ServerWord, encode},
    },
    restart::{STATE, ServedProgram},
};
use crate::control;
use rustix::{
    net::RecvFlags,
    process::{Pid, Signal, kill_process},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

pub(super) struct ServerProcess {
    id: Pid,
    link: OwnedFd,
    /// It said that it ends as it should.
    pub(super) in_order: bool,
    pub(super) serves_since: Option<Instant>,
    /// The names of the sockets that it uses.
    pub(super) uses: BTreeSet<String>,
}

impl ServerProcess {
    /// Starts this program, or what lies in its place by now.
    pub(super) fn start(
        program: &ServedProgram,
        anew: bool,
        kept: &BTreeMap<String, OwnedFd>,
        begin: &Begin,
    ) -> io::Result<Self> {
        let (link, theirs) = control::pair()?;
        let mut command = if anew { Command::new(program.path()) } else { Command::new("/proc/self/exe") };
        for variable in systemd::VARIABLES {
            command.env_remove(variable);
        }
        // The terminal's signals are the parent's, which passes them on: twice would be once too often.
        command.arg0(SERVER_NAME).args(program.arguments()).env_remove(STATE).process_group(0);
        let child = command.stdin(Stdio::from(theirs)).spawn()?;
        let server = ServerProcess::known(Pid::from_child(&child), link);
        for (key, socket) in kept {
            let word = encode(&ParentWord::Have { key: key.clone() });
            wire::send(&server.link, &word, Some(socket.as_fd()))?;
        }
        server.tell(&ParentWord::Begin(begin.clone()));
        Ok(server)
    }

    /// One that runs already.
    pub(super) fn known(id: Pid, link: OwnedFd) -> Self {
        ServerProcess { id, link, in_order: false, serves_since: None, uses: BTreeSet::new() }
    }

    pub(super) fn id(&self) -> i32 {
        self.id.as_raw_nonzero().get()
    }

    pub(super) fn link(&self) -> &OwnedFd {
        &self.link
    }

    /// How long it has answered.
    pub(super) fn served(&self) -> Option<Duration> {
        self.serves_since.map(|since| since.elapsed())
    }

    /// The next word that it has said.
    pub(super) fn heard(&mut self) -> Option<(ServerWord, Option<OwnedFd>)> {
        loop {
            let (word, socket) = wire::take(&self.link, RecvFlags::DONTWAIT).ok()??;
            // A server of another version may say more.
            if let Ok(word) = serde_json::from_slice(&word) {
                return Some((word, socket));
            }
        }
    }

    pub(super) fn tell(&self, word: &ParentWord) {
        // One that is gone is told of by the kernel.
        let _ = wire::send(&self.link, &encode(word), None);
    }

    pub(super) fn signal(&self, signal: Signal) {
        // It was not waited for yet, so the number is still its own.
        let _ = kill_process(self.id, signal);
    }
}

/// Reads what has come, by number.
pub(super) fn signals(descriptor: &OwnedFd) -> Vec<i32> {
    /// `signalfd_siginfo`, which begins with the number.
    const RECORD: usize = 128;
    let mut heard = Vec::new();
    let mut records = [0; RECORD * 8];
    while let Ok(count @ 1..) = rustix::io::read(descriptor, &mut records) {
        let numbers = records[..count].as_chunks::<RECORD>().0.iter().filter_map(|record| record.first_chunk());
        heard.extend(numbers.map(|number| i32::from_ne_bytes(*number)));
    }
    heard
}

/// How a server ended, as a sentence about it goes on.
pub(super) fn in_words(how: HowEnded) -> String {
    use std::os::unix::process::ExitStatusExt;
    let status = match how {
        HowEnded::Code(code) => ExitStatus::from_raw(code << 8),
        HowEnded::Signal(signal) => ExitStatus::from_raw(signal),
    };
    let words = crate::host::in_words(status);
    words.strip_prefix("it ").unwrap_or(&words).to_owned()
}

/// What a service manager is told before an upgrade.
pub(super) fn reloading() -> String {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1_000)
}
