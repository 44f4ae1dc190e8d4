//! What keeps an eye on a runner from its first word until nothing of it is left.

use super::{
    process::{Process, hold, in_words},
    refusals,
    retold::Retold,
    talk::{OrderSender, ReportSocket},
};
use crate::{
    bounds::{BoundKeeper, HeldProcess, ProcessUse},
    broker::Broker,
    control::words::{PluginRecord, Report, RunnerCounts, RunnerOrder},
    link::Link,
};
use camlock_loader::OwnDirectory;
use camlock_policy::{Ending, Failure, Stage};
use parking_lot::Mutex;
use std::{
    fs,
    future::pending,
    os::unix::process::ExitStatusExt,
    process::ChildStderr,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    sync::{mpsc, oneshot, watch},
    time::{sleep, timeout},
};

/// How long a runner that was let go of may take to end by itself.
const LAST_SECOND: Duration = Duration::from_secs(1);
/// How long a runner that hung up may take to end by itself: as a rule it is ending, and those that wait for it tell how in their turn.
const HUNG_UP: Duration = Duration::from_secs(1);
/// How long what it printed may take to be read to its end: a process that it started may hold the pipe.
const PRINTED: Duration = Duration::from_millis(500);
/// A longer line is cut.
const LINE: u64 = 8 * 1024;

/// What whoever starts a runner waits for.
pub(super) struct RunnerBegun {
    /// The instance's document, if it has one.
    pub(super) made: oneshot::Receiver<Result<Option<String>, Failure>>,
    /// How the process ended.
    pub(super) died: watch::Receiver<Option<String>>,
}

/// Where they are told of it.
pub(super) struct RunnerAnnouncer {
    made: Option<oneshot::Sender<Result<Option<String>, Failure>>>,
    died: watch::Sender<Option<String>>,
}

impl RunnerAnnouncer {
    pub(super) fn new() -> (Self, RunnerBegun) {
        let (made, begun) = oneshot::channel();
        let (died, told) = watch::channel(None);
        (RunnerAnnouncer { made: Some(made), died }, RunnerBegun { made: begun, died: told })
    }

    /// Whether there is an instance. What is told later is not heard.
    fn made(&mut self, outcome: Result<Option<String>, Failure>) {
        if let Some(made) = self.made.take() {
            let _ = made.send(outcome);
        }
    }
}

/// The one that keeps an eye.
pub(super) struct RunnerWatcher {
    pub(super) plugin: Arc<str>,
    pub(super) generation: u64,
    pub(super) process: Process,
    /// Its own directory, which goes with it.
    pub(super) own: OwnDirectory,
    pub(super) link: Link,
    pub(super) orders: OrderSender,
    pub(super) counts: Arc<Mutex<RunnerCounts>>,
    pub(super) keeper: BoundKeeper,
    pub(super) uses: ProcessUse,
    pub(super) held: Arc<OnceLock<HeldProcess>>,
    /// Connects for it, if it may reach any host.
    pub(super) broker: Option<Arc<Broker>>,
    pub(super) ending: watch::Sender<Ending>,
    pub(super) announcer: RunnerAnnouncer,
}

impl RunnerWatcher {
    /// Goes on until the process has ended and nobody holds a lease.
    pub(super) async fn run(
        mut self,
        control: ReportSocket,
        queued: mpsc::UnboundedReceiver<Vec<u8>>,
        printed: ChildStderr,
        mut last_lease: oneshot::Receiver<()>,
    ) {
        let (plugin, generation) = (self.plugin.clone(), self.generation);
        let pid = self.process.id();
        let mut retold = Retold::new(plugin.clone(), generation);
        let mut left = None;
        let said = Arc::new(Mutex::new(LastPrinted::default()));
        let mut printing = tokio::spawn(print(plugin.clone(), generation, printed, said.clone()));
        let mut broke = self.link.closed();
        let mut over = false;
        let (mut overstepped, mut last_report, mut was_cut) = (None, None, false);
        let whose = (plugin.clone(), generation);
        let mut hearing = None;
        let status = {
            let reports = control.take(|report, tail, descriptor| match report {
                // Said once, before any of the plugin's code is there.
                Report::Held { process, lacking } => {
                    if let Some(one) = hold(process)
                        && self.held.set(one).is_ok()
                    {
                        self.uses.lock().lacking = lacking;
                        if let Some(descriptor) = descriptor {
                            hearing = refusals::hear(descriptor, whose.clone(), self.uses.clone(), self.broker.clone());
                        }
                    }
                }
                Report::Ready { document } => {
                    let document = document.then(|| String::from_utf8(tail).ok()).flatten();
                    self.announcer.made(Ok(document));
                }
                Report::Failed { reason, transient } => {
                    self.announcer.made(Err(Failure { transient, ..Failure::new(Stage::Load, reason) }));
                }
                Report::Done { id, outcome } => {
                    self.orders.done(id, outcome.map(|answer| (answer, tail)).map_err(Into::into));
                }
                Report::PluginRecord(record) => {
                    // What a plugin prints comes as what it tells.
                    if let PluginRecord::Event { message, .. } = &record {
                        said.lock().lacks_memory |= message.contains(NO_MEMORY);
                    }
                    retold.tell(record);
                }
                Report::RunnerCounts(now) => *self.counts.lock() = now,
                Report::Left { forgotten, left_behind } => left = Some((forgotten, left_behind)),
            });
            let sends = control.send(queued);
            let keeps = self.keeper.keep();
            tokio::pin!(reports, sends, keeps);
            let (mut reports_end, mut sends_end) = (false, false);
            let mut deadline = Box::pin(pending()) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;
            loop {
                tokio::select! {
                    biased;
                    why = &mut reports, if !reports_end => {
                        reports_end = true;
                        // It is about to end, or has nothing sensible to say: either way it ends.
                        if !over {
                            tracing::debug!(plugin = &*plugin, generation, pid, "{why}");
                        }
                        deadline = Box::pin(sleep(if is_nonsense(&why) { Duration::ZERO } else { HUNG_UP }));
                        last_report = Some(why);
                    }
                    () = &mut sends, if !sends_end => sends_end = true,
                    why = &mut keeps, if overstepped.is_none() => {
                        overstepped = Some(why);
                        self.process.kill();
                    }
                    _ = &mut last_lease, if !over => {
                        over = true;
                        self.orders.give(&RunnerOrder::Close, &[]);
                        deadline = Box::pin(sleep(LAST_SECOND));
                    }
                    why = broke.wait_for(Option::is_some), if !over && !reports_end => {
                        let nonsense = why.is_ok_and(|why| why.as_deref().is_some_and(is_nonsense));
                        deadline = Box::pin(sleep(if nonsense { Duration::ZERO } else { HUNG_UP }));
                        reports_end = true;
                    }
                    () = &mut deadline => {
                        was_cut = !over;
                        self.process.kill();
                        deadline = Box::pin(pending());
                    }
                    status = self.process.ended() => break status,
                }
            }
        };
        drop(control);
        if let Some(hearing) = hearing {
            hearing.abort();
        }
        let why_link = broke.borrow().clone();
        self.link.close("its process has ended");
        if timeout(PRINTED, &mut printing).await.is_err() {
            printing.abort();
        }
        let LastPrinted { line: said, lacks_memory } = std::mem::take(&mut *said.lock());
        let mut why = in_words(status);
        let bound = overstepped.or_else(|| self.keeper.why_ended(status, lacks_memory));
        let nonsense = why_link.into_iter().chain(last_report).find(|why| is_nonsense(why));
        // Whoever kills from outside, as a machine without memory does, may not do so next time.
        let from_outside = status.signal() == Some(libc::SIGKILL) && bound.is_none() && nonsense.is_none() && !was_cut;
        if let Some(bound) = bound {
            why = format!("{bound} ({why})");
        }
        if let Some(nonsense) = nonsense {
            why = format!("it was ended by the server, because {nonsense}");
        } else if was_cut {
            "it was ended by the server, because it closed its sockets to it".clone_into(&mut why);
        }
        if !said.is_empty() {
            why = format!("{why}; the last that it printed: {said}");
        }
        if !over {
            tracing::error!(plugin = &*plugin, generation, pid, "the plugin's process ended: {why}");
        }
        self.orders.over(&why);
        let reason = format!("its process ended before it had an instance: {why}");
        self.announcer.made(Err(Failure { transient: from_outside, ..Failure::new(Stage::Load, reason) }));
        self.announcer.died.send_replace(Some(why));
        let RunnerWatcher { own, keeper, ending, .. } = self;
        let path = own.path().to_owned();
        let removed = tokio::task::spawn_blocking(move || {
            let _ = fs::read_dir(&path).map(|entries| {
                for entry in entries.flatten() {
                    let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
                    let _ = if is_dir { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
                }
            });
            drop(own);
            // Its control groups go when nobody is in them.
            drop(keeper);
        });
        let _ = removed.await;
        if !over {
            let _ = last_lease.await;
        }
        let (forgotten, left_behind) = left.unwrap_or((0, None));
        ending.send_replace(Ending::Unmapped { forgotten, left_behind });
    }
}

/// Whether what was heard of it last says that it wrote what nobody should into one of its sockets.
fn is_nonsense(why: &str) -> bool {
    why.starts_with("it told nonsense") || why.starts_with("it was sent nonsense")
}

/// How Rust's standard library says it, before it aborts.
const NO_MEMORY: &str = "memory allocation of ";

/// What a process printed last.
#[derive(Default)]
struct LastPrinted {
    line: String,
    /// Whether it said at some time that it could not have more memory.
    lacks_memory: bool,
}

impl LastPrinted {
    fn take(&mut self, line: String) {
        self.lacks_memory |= line.contains(NO_MEMORY);
        // Rust's advice follows what matters.
        if !line.starts_with("note: run with `RUST_BACKTRACE") {
            self.line = line;
        }
    }
}

/// Tells what the process prints, line by line.
async fn print(plugin: Arc<str>, generation: u64, printed: ChildStderr, said: Arc<Mutex<LastPrinted>>) {
    let Ok(printed) = tokio::process::ChildStderr::from_std(printed) else { return };
    let mut lines = BufReader::new(printed);
    loop {
        let mut line = Vec::new();
        match (&mut lines).take(LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&line);
        let line: String = line.trim_end().chars().flat_map(printable).collect();
        if !line.is_empty() {
            tracing::info!(plugin = &*plugin, generation, "it printed: {line}");
            said.lock().take(line);
        }
    }
}

/// What a terminal would obey is written out.
fn printable(character: char) -> impl Iterator<Item = char> {
    let shown: String =
        if character.is_control() { character.escape_default().collect() } else { character.to_string() };
    shown.chars().collect::<Vec<_>>().into_iter()
}
