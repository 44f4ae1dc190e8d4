//! The parent itself: one loop over signals, the words of its servers, and the time.
//!
//! What must not live here: what follows from a server's end (`course`).

mod process;
mod restart;

use super::{
    course::{Course, GIVEN_UP, HowEnded, ParentStep, ServerEnd},
    systemd,
    words::{Begin, ParentWord, ServerWord},
};
use crate::sys;
use process::ServerProcess;
use restart::{Inheritance, ServedProgram};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Signal, WaitOptions, wait},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

/// How long the new one of an upgrade may take until it answers.
const UPGRADE: Duration = Duration::from_secs(300);

struct ProcessKeeper {
    program: ServedProgram,
    signals: OwnedFd,
    /// What is handed from one server to the next.
    kept: BTreeMap<String, OwnedFd>,
    served: Vec<String>,
    course: Course,
    phase: ParentPhase,
    /// Those that gave way, and end what they began.
    leaving: Vec<ServerProcess>,
    /// How often it was asked to end.
    asked_to_end: u32,
    /// What it ends with, once nobody is left.
    code: Option<u8>,
}

/// What there is of a server.
enum ParentPhase {
    Runs(ServerProcess),
    /// One died; another one begins then.
    Pauses {
        until: Instant,
        died: HowEnded,
    },
    /// The second is to take the place of the first.
    Upgrades {
        old: ServerProcess,
        new: ServerProcess,
        until: Instant,
    },
    Ended,
}

/// Runs servers until one ends in order: the exit code.
pub(super) fn run() -> io::Result<u8> {
    let program = ServedProgram::of_this_process()?;
    let signals = [Signal::TERM, Signal::INT, Signal::HUP, Signal::CHILD].map(Signal::as_raw);
    let signals = sys::signals_by_descriptor(&signals)?;
    let mut keeper = match restart::inherited()? {
        Some(Inheritance { kept, served, server, leaving }) => {
            systemd::notify("READY=1");
            let phase = ParentPhase::Runs(server);
            ProcessKeeper {
                program,
                signals,
                kept,
                served,
                course: Course::default(),
                phase,
                leaving,
                asked_to_end: 0,
                code: None,
            }
        }
        None => {
            let kept = systemd::sockets()?.into_iter().collect();
            let server = ServerProcess::start(&program, false, &kept, &Begin::default())?;
            let phase = ParentPhase::Runs(server);
            let (served, leaving, course) = (Vec::new(), Vec::new(), Course::default());
            ProcessKeeper { program, signals, kept, served, course, phase, leaving, asked_to_end: 0, code: None }
        }
    };
    // Those that ended while this one was exchanged left no signal for it.
    keeper.reap();
    loop {
        if let (Some(code), true) = (keeper.code, keeper.leaving.is_empty()) {
            return Ok(code);
        }
        keeper.turn()?;
    }
}

impl ProcessKeeper {
    /// Waits for something to happen, and does what follows.
    fn turn(&mut self) -> io::Result<()> {
        let waits = match &self.phase {
            ParentPhase::Pauses { until, .. } | ParentPhase::Upgrades { until, .. } => {
                Some(until.saturating_duration_since(Instant::now()))
            }
            ParentPhase::Runs(_) | ParentPhase::Ended => None,
        };
        let timeout =
            waits.map(|waits| Timespec { tv_sec: waits.as_secs().cast_signed(), tv_nsec: waits.subsec_nanos().into() });
        let speakers: Vec<_> = self.servers().map(ServerProcess::id).collect();
        let mut watched = vec![PollFd::new(&self.signals, PollFlags::IN)];
        watched.extend(self.servers().map(|server| PollFd::new(server.link(), PollFlags::IN)));
        match poll(&mut watched, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<_> = watched.iter().map(|one| !one.revents().is_empty()).collect();
        drop(watched);
        // First what they said, then who ended: a farewell comes before the end.
        for (id, _) in speakers.iter().zip(&ready[1..]).filter(|(_, ready)| **ready) {
            self.hear(*id);
        }
        if ready[0] {
            self.heed_signals();
        }
        self.heed_time()
    }

    fn servers(&self) -> impl Iterator<Item = &ServerProcess> {
        let (one, two) = match &self.phase {
            ParentPhase::Runs(server) => (Some(server), None),
            ParentPhase::Upgrades { old, new, .. } => (Some(old), Some(new)),
            ParentPhase::Pauses { .. } | ParentPhase::Ended => (None, None),
        };
        one.into_iter().chain(two).chain(&self.leaving)
    }

    fn server(&mut self, id: i32) -> Option<&mut ServerProcess> {
        let (one, two) = match &mut self.phase {
            ParentPhase::Runs(server) => (Some(server), None),
            ParentPhase::Upgrades { old, new, .. } => (Some(old), Some(new)),
            ParentPhase::Pauses { .. } | ParentPhase::Ended => (None, None),
        };
        one.into_iter().chain(two).chain(&mut self.leaving).find(|server| server.id() == id)
    }

    /// All that a server has said since.
    fn hear(&mut self, id: i32) {
        while let Some((word, socket)) = self.server(id).and_then(ServerProcess::heard) {
            match word {
                ServerWord::Keep { key } => {
                    if let Some(server) = self.server(id) {
                        server.uses.insert(key.clone());
                    }
                    if let Some(socket) = socket {
                        self.kept.insert(key, socket);
                    }
                }
                ServerWord::Remember { plugins } => self.served = plugins,
                ServerWord::Bye => {
                    if let Some(server) = self.server(id) {
                        server.in_order = true;
                    }
                }
                ServerWord::Serving => self.serves(id),
            }
        }
    }

    /// A server answers requests from now on.
    fn serves(&mut self, id: i32) {
        let Some(server) = self.server(id) else { return };
        server.serves_since = Some(Instant::now());
        let uses = server.uses.clone();
        match std::mem::replace(&mut self.phase, ParentPhase::Ended) {
            ParentPhase::Upgrades { old, new, .. } if new.id() == id => {
                old.tell(&ParentWord::GiveWay);
                self.leaving.push(old);
                self.phase = ParentPhase::Runs(new);
                self.keep_only(&uses);
                self.become_the_new_program();
            }
            other => {
                let it_is = matches!(&other, ParentPhase::Runs(server) if server.id() == id);
                self.phase = other;
                if it_is {
                    self.keep_only(&uses);
                    systemd::notify("READY=1");
                }
            }
        }
    }

    fn keep_only(&mut self, uses: &BTreeSet<String>) {
        self.kept.retain(|key, _| uses.contains(key));
    }

    fn heed_signals(&mut self) {
        let signals = process::signals(&self.signals);
        for signal in &signals {
            match *signal {
                signal if signal == Signal::TERM.as_raw() => self.end(Signal::TERM),
                signal if signal == Signal::INT.as_raw() => self.end(Signal::INT),
                signal if signal == Signal::HUP.as_raw() => self.upgrade(),
                _ => {}
            }
        }
        self.reap();
    }

    /// Whoever asks this process to end means the server.
    fn end(&mut self, signal: Signal) {
        self.asked_to_end += 1;
        systemd::notify("STOPPING=1");
        if matches!(self.phase, ParentPhase::Pauses { .. }) {
            (self.phase, self.code) = (ParentPhase::Ended, Some(0));
        }
        let leaving: BTreeSet<_> = self.leaving.iter().map(ServerProcess::id).collect();
        // Those that leave anyway would take it for the second time.
        for server in self.servers().filter(|server| self.asked_to_end > 1 || !leaving.contains(&server.id())) {
            server.signal(signal);
            // One that was stopped hears nothing.
            server.signal(Signal::CONT);
        }
    }

    /// Starts the program that now lies where this one lay, to take the server's place.
    fn upgrade(&mut self) {
        if self.asked_to_end > 0 {
            return;
        }
        let old = match std::mem::replace(&mut self.phase, ParentPhase::Ended) {
            ParentPhase::Runs(server) if server.serves_since.is_some() => server,
            other => {
                eprintln!("camlock: no upgrade for now: no server is there that answers, or one is being upgraded");
                self.phase = other;
                return;
            }
        };
        systemd::notify(&process::reloading());
        let begin = Begin { again: true, served: self.served.clone(), ..Begin::default() };
        match ServerProcess::start(&self.program, true, &self.kept, &begin) {
            Ok(new) => self.phase = ParentPhase::Upgrades { old, new, until: Instant::now() + UPGRADE },
            Err(error) => {
                let program = self.program.path().display();
                self.not_replaced(old, format!("{program} cannot be started: {error}"));
            }
        }
    }

    fn not_replaced(&mut self, old: ServerProcess, why: String) {
        eprintln!("camlock: the upgrade came to nothing, and what served goes on: {why}");
        old.tell(&ParentWord::NotReplaced { why });
        systemd::notify("READY=1");
        self.phase = ParentPhase::Runs(old);
    }

    /// From here on the parent is the new program too. If that cannot be, the old one keeps the new server.
    fn become_the_new_program(&mut self) {
        let ParentPhase::Runs(server) = &self.phase else { return };
        let error = restart::become_it(&self.program, &self.kept, &self.served, server, &self.leaving);
        eprintln!("camlock: the parent stays what it was: {error}");
        systemd::notify("READY=1");
    }

    /// Looks who has ended, or was stopped. Orphans come to a process that is the first of its container.
    fn reap(&mut self) {
        while let Ok(Some((id, status))) = wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
            let id = id.as_raw_nonzero().get();
            if let Some(signal) = status.stopping_signal() {
                if self.server(id).is_some() {
                    eprintln!(
                        "camlock: the server (process {id}) was stopped by signal {signal}: nobody is answered until it is \
                               told to go on (`kill -CONT {id}`)"
                    );
                }
                continue;
            }
            let how = match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => HowEnded::Code(code),
                (None, Some(signal)) => HowEnded::Signal(signal),
                (None, None) => continue,
            };
            // Its last words may have come after the others were heard.
            self.hear(id);
            self.ended(id, how);
        }
    }

    fn ended(&mut self, id: i32, how: HowEnded) {
        if let Some(at) = self.leaving.iter().position(|server| server.id() == id) {
            self.leaving.swap_remove(at);
            return;
        }
        match std::mem::replace(&mut self.phase, ParentPhase::Ended) {
            ParentPhase::Runs(server) if server.id() == id => self.after(&server, how),
            ParentPhase::Upgrades { old, new, .. } if new.id() == id => {
                let why = format!("the new server {}", process::in_words(how));
                if self.asked_to_end > 0 { self.phase = ParentPhase::Runs(old) } else { self.not_replaced(old, why) }
            }
            // The new one is there already, and answers as soon as it can.
            ParentPhase::Upgrades { old, new, .. } if old.id() == id => {
                let ended = ServerEnd { in_order: old.in_order, how, served: old.served() };
                if self.asked_to_end == 0 {
                    let _ = self.course.after(ended, false);
                }
                self.phase = ParentPhase::Runs(new);
            }
            other => self.phase = other,
        }
    }

    fn after(&mut self, server: &ServerProcess, how: HowEnded) {
        let ended = ServerEnd { in_order: server.in_order, how, served: server.served() };
        match self.course.after(ended, self.asked_to_end > 0) {
            ParentStep::End(code) => self.code = Some(code),
            ParentStep::Again(pause) => {
                self.phase = ParentPhase::Pauses { until: Instant::now() + pause, died: how };
            }
            ParentStep::GiveUp => {
                eprintln!(
                    "camlock: the server is given up: it ended {} times in a row before it answered anybody, the last time because it \
                     {} (see its log; `--no-parent` runs it without a parent)",
                    super::course::TRIES,
                    process::in_words(how)
                );
                self.code = Some(GIVEN_UP);
            }
        }
    }

    /// What was put off until now.
    fn heed_time(&mut self) -> io::Result<()> {
        match &mut self.phase {
            ParentPhase::Pauses { until, died } if *until <= Instant::now() => {
                let (died, by_itself) = (Some(process::in_words(*died)), died.by_itself());
                let begin = Begin { again: true, served: self.served.clone(), died, by_itself };
                self.phase = ParentPhase::Runs(ServerProcess::start(&self.program, false, &self.kept, &begin)?);
            }
            ParentPhase::Upgrades { new, until, .. } if *until <= Instant::now() => {
                // Its end says that the old one goes on.
                new.signal(Signal::KILL);
                *until = Instant::now() + UPGRADE;
            }
            _ => {}
        }
        Ok(())
    }
}
