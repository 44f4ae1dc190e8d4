//! The keeper: the one thread that opens and closes libraries.
//!
//! A generation comes here when its last lease is gone, and goes through one stage after another until its library is
//! unmapped. Nothing here waits for a plugin: its last code (`close`, then its destructors) runs on threads that may be given
//! up, and what cannot go yet is looked at again.

use crate::{
    constructors::destruct,
    footprint::Footprint,
    functions::Functions,
    host::HostSide,
    library::{FirstCalls, Library, OpenError},
    memory::MemoryCounter,
    rest, signals,
};
use camlock_policy::Ending;
use parking_lot::Mutex;
use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};

/// How long threads that are busy have to run what a generation left on them.
const GRACE: Duration = Duration::from_micros(300);
/// How long an obstacle may take to go away by itself (a thread that is about to exit) before it is told as a pin.
const PIN_AFTER: Duration = Duration::from_millis(250);
/// How long a plugin's last code may take before it is told as a pin.
const LAST_CALL: Duration = Duration::from_secs(10);
/// How often an obstacle is looked at again: at first, and once it is told.
const SOON: Duration = Duration::from_micros(500);
const LATER: Duration = Duration::from_secs(1);
/// So long after the last library was opened, memory that loading took is given back.
const REST: Duration = Duration::from_secs(1);

/// Where a generation's code is.
pub(crate) enum Code {
    /// In a library of its own.
    Library(Library),
    /// In the program itself, where it stays: dropping the instance is all there is to do.
    BuiltIn,
}

/// Everything of a generation but its leases.
pub(crate) struct Remains {
    pub(crate) code: Code,
    /// None if no instance was made.
    pub(crate) functions: Option<Functions>,
    /// Where the plugin counts its memory, if it does. Taken once it is read for the last time, into the next.
    pub(crate) memory: Option<MemoryCounter>,
    pub(crate) left_behind: Option<u64>,
    /// How many destructors of thread-locals never ran; known once nothing of the plugin is called on other threads any more.
    forgotten: Option<usize>,
    /// Kept until the library is gone: the plugin refers to it. None if it was never given one.
    pub(crate) side: Option<Arc<HostSide>>,
    pub(crate) ending: watch::Sender<Ending>,
}

impl Remains {
    /// Of code that is there and has made nothing yet.
    pub(crate) fn new(code: Code, side: Option<Arc<HostSide>>, ending: watch::Sender<Ending>) -> Self {
        Remains { code, functions: None, memory: None, left_behind: None, forgotten: None, side, ending }
    }
}

/// A library on its way to whoever asked for it. If they have left meanwhile it ends like any other.
pub(crate) struct Opened(Option<(Library, FirstCalls)>);

impl Opened {
    pub(crate) fn take(mut self) -> (Library, FirstCalls) {
        self.0.take().expect("taken once, by value")
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some((library, _)) = self.0.take() {
            let (ending, _) = watch::channel(Ending::Alive);
            order(KeeperOrder::End(Box::new(Remains::new(Code::Library(library), None, ending))));
        }
    }
}

pub(crate) enum KeeperOrder {
    Open {
        copy: PathBuf,
        crate_name: String,
        stays: Option<String>,
        reply: oneshot::Sender<Result<Opened, OpenError>>,
    },
    End(Box<Remains>),
    /// The last call of this number returned.
    Returned(u64, Box<Remains>),
    RetryPinned,
}

/// Sends an order to the keeper.
pub(crate) fn order(order: KeeperOrder) {
    let sent = begin().send(order);
    camlock_policy::always!(sent.is_ok(), "the keeper's thread lives as long as the process");
}

/// Starts the keeper, if that was not done. Plugins' libraries start threads on its thread, and whatever a thread starts has its
/// priority: it is begun by whoever makes a loader.
pub(crate) fn begin() -> &'static Sender<KeeperOrder> {
    static KEEPER: OnceLock<Sender<KeeperOrder>> = OnceLock::new();
    KEEPER.get_or_init(|| {
        let (sender, orders) = mpsc::channel();
        let own = sender.clone();
        // Without this thread nothing can be loaded or unloaded; the process has no threads left to give.
        thread::Builder::new()
            .name("camlock-loader".into())
            .spawn(move || {
                LibraryKeeper { own, calls: 0, leaving: Vec::new(), fresh: Vec::new(), rest: None }.run(&orders)
            })
            .expect("a thread for the loader");
        sender
    })
}

struct LibraryKeeper {
    own: Sender<KeeperOrder>,
    /// How many last calls were begun.
    calls: u64,
    leaving: Vec<Departing>,
    /// Libraries opened since the last rest, and when the next one is.
    fresh: Vec<PathBuf>,
    rest: Option<Instant>,
}

/// A generation that is on its way out.
struct Departing {
    stage: DepartureStage,
    since: Instant,
    look_again: Instant,
}

enum DepartureStage {
    /// The plugin's last code runs on a thread of its own, which returns the remains; if it takes too long, this tells.
    LastCall { number: u64, call: LastCall, ending: watch::Sender<Ending> },
    /// Its code has ended; something may still be in the way.
    Leaving(Box<Remains>),
}

/// Code of a plugin that runs after its last lease is gone.
#[derive(Clone, Copy)]
enum LastCall {
    /// The instance is dropped and its runtime ended.
    Close,
    /// The library's destructors.
    Destructors,
}

impl LastCall {
    fn subject(self) -> &'static str {
        match self {
            LastCall::Close => "dropping it has",
            LastCall::Destructors => "its destructors have",
        }
    }

    /// Runs it, on a thread that may be given up.
    fn run(self, remains: &mut Remains) {
        match self {
            LastCall::Close => {
                if let Some(Functions { root, object }) = remains.functions.take() {
                    let _entered = remains.side.as_ref().map(|side| side.span.enter());
                    // SAFETY: the last lease is gone, so everything the instance gave out was freed, and nobody else has its
                    // object.
                    unsafe { root.close()(object) };
                }
            }
            LastCall::Destructors => {
                if let Code::Library(library) = &mut remains.code {
                    let destructors = library.take_destructors();
                    // SAFETY: they are the library's and were taken, so they run once; it is mapped until `leave` unmaps it,
                    // and nothing else of it is called any more (`forgotten` is known).
                    unsafe { destruct(&destructors) };
                }
            }
        }
    }
}

impl LibraryKeeper {
    fn run(mut self, orders: &Receiver<KeeperOrder>) {
        loop {
            let next = self.leaving.iter().map(|one| one.look_again).chain(self.rest).min();
            let received = match next {
                Some(next) => orders.recv_timeout(next.saturating_duration_since(Instant::now())),
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match received {
                Ok(KeeperOrder::Open { copy, crate_name, stays, reply }) => {
                    let opened = Library::open(&copy, &crate_name, stays);
                    self.fresh.push(copy);
                    self.rest = Some(Instant::now() + REST);
                    // Whoever asked may be gone: then dropping it sends it back here.
                    drop(reply.send(opened.map(|opened| Opened(Some(opened)))));
                }
                Ok(KeeperOrder::End(remains)) if remains.functions.is_some() => self.call(LastCall::Close, remains),
                Ok(KeeperOrder::End(remains)) => self.leave(remains),
                Ok(KeeperOrder::Returned(returned, remains)) => {
                    self.leaving.retain(
                        |one| !matches!(one.stage, DepartureStage::LastCall { number, .. } if number == returned),
                    );
                    self.leave(remains);
                    // One that went may have been what kept another.
                    self.look_again(true);
                }
                Ok(KeeperOrder::RetryPinned) => self.look_again(true),
                Err(RecvTimeoutError::Timeout) => {
                    if self.rest.is_some_and(|rest| rest <= Instant::now()) {
                        self.rest = None;
                        rest::give_back(&std::mem::take(&mut self.fresh));
                    }
                    self.look_again(false);
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Lets the plugin run its last code, or some of it.
    fn call(&mut self, call: LastCall, remains: Box<Remains>) {
        self.calls += 1;
        let (own, ending, number) = (self.own.clone(), remains.ending.clone(), self.calls);
        // If there can be no thread, this is where the remains are found again: dropped with the closure, they would take the
        // records away that the mapped library refers to.
        let parcel = Arc::new(Mutex::new(Some(remains)));
        let theirs = parcel.clone();
        let run = move || {
            let Some(mut remains) = theirs.lock().take() else {
                camlock_policy::never!("only a thread that was not started leaves its parcel");
                return;
            };
            call.run(&mut remains);
            let _ = own.send(KeeperOrder::Returned(number, remains));
        };
        let now = Instant::now();
        match thread::Builder::new().name("camlock-close".into()).spawn(run) {
            Ok(_) => {
                let stage = DepartureStage::LastCall { number, call, ending };
                self.leaving.push(Departing { stage, since: now, look_again: now + LAST_CALL });
            }
            Err(error) => {
                let reason = format!("no thread could be started to close it: {error}");
                ending.send_replace(Ending::Pinned { reason });
                // Kept as they are, for the life of the process: the plugin's last code never ran.
                if let Some(remains) = parcel.lock().take() {
                    Box::leak(remains);
                }
            }
        }
    }

    fn leave(&mut self, remains: Box<Remains>) {
        let now = Instant::now();
        self.leaving.push(Departing { stage: DepartureStage::Leaving(remains), since: now, look_again: now });
        self.look_again(false);
    }

    /// Looks at all whose time has come, or at all.
    fn look_again(&mut self, all: bool) {
        let now = Instant::now();
        let mut still_leaving = Vec::new();
        for mut one in std::mem::take(&mut self.leaving) {
            if !all && one.look_again > now {
                still_leaving.push(one);
                continue;
            }
            let waited = now.duration_since(one.since);
            match one.stage {
                DepartureStage::LastCall { call, ref ending, .. } => {
                    if waited >= LAST_CALL {
                        let (subject, seconds) = (call.subject(), LAST_CALL.as_secs());
                        pin(ending, format!("{subject} not come to an end within {seconds} s"));
                        one.look_again = now + LATER;
                    }
                    still_leaving.push(one);
                }
                DepartureStage::Leaving(mut remains) => match leave(&mut remains) {
                    Ok(Left::Unmapped(ended)) => drop(remains.ending.send_replace(ended)),
                    Ok(Left::DestructorsToRun) => self.call(LastCall::Destructors, remains),
                    Err(reason) => {
                        if waited >= PIN_AFTER {
                            pin(&remains.ending, reason);
                        }
                        one.look_again = now + if waited < PIN_AFTER { SOON } else { LATER };
                        still_leaving.push(Departing { stage: DepartureStage::Leaving(remains), ..one });
                    }
                },
            }
        }
        // What was begun meanwhile comes after those.
        still_leaving.append(&mut self.leaving);
        self.leaving = still_leaving;
    }
}

fn pin(ending: &watch::Sender<Ending>, reason: String) {
    let pinned = Ending::Pinned { reason };
    ending.send_if_modified(|known| {
        let news = *known != pinned;
        if news {
            known.clone_from(&pinned);
        }
        news
    });
}

/// How far a generation could be let go of.
enum Left {
    /// Nothing of the plugin runs or is called, but what its library wants to run last.
    DestructorsToRun,
    Unmapped(Ending),
}

/// Lets go of a generation whose code has ended: unmaps its library, unless something is in the way.
fn leave(remains: &mut Remains) -> Result<Left, String> {
    let library = match &mut remains.code {
        Code::BuiltIn => return Ok(Left::Unmapped(Ending::Unmapped { forgotten: 0, left_behind: None })),
        Code::Library(library) => library,
    };
    let footprint: Arc<Footprint> = library.footprint.clone();
    match &footprint.threads()[..] {
        [] => {}
        [thread] => return Err(format!("thread `{thread}` of the plugin still runs")),
        [first, others @ ..] => {
            return Err(format!("thread `{first}` and {} more of the plugin still run", others.len()));
        }
    }
    signals::withdraw(footprint.member())?;
    if let Some(signal) = signals::handled_within(&library.range) {
        return Err(format!("a handler for {signal} lies in the plugin"));
    }
    let forgotten = match remains.forgotten {
        Some(forgotten) => forgotten,
        None => {
            footprint.retire(GRACE);
            *remains.forgotten.insert(footprint.close(PIN_AFTER)?)
        }
    };
    if let Some(memory) = remains.memory.take() {
        remains.left_behind = Some(memory.held());
    }
    if let Some(reason) = library.must_stay() {
        return Err(reason.to_owned());
    }
    if library.has_destructors() {
        return Ok(Left::DestructorsToRun);
    }
    library.close()?;
    let left_open = footprint.descriptors().close_all();
    if let (false, Some(side)) = (left_open.is_empty(), &remains.side) {
        let (plugin, generation) = (&*side.name, side.generation);
        tracing::info!(
            plugin,
            generation,
            "{} descriptors that it left open were closed: {left_open:?}",
            left_open.len()
        );
    }
    footprint.delete_keys();
    library.remove_file();
    Ok(Left::Unmapped(Ending::Unmapped { forgotten, left_behind: remains.left_behind }))
}
