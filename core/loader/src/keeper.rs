//! The keeper: the one thread that opens and closes libraries.
//!
//! A generation comes here when its last lease is gone, and goes through one state after another until its library is
//! unmapped. Nothing here waits for a plugin: its last code (`close`) runs on a thread that may be given up, and what cannot
//! go yet is looked at again.

use crate::{
    footprint::Footprint,
    host::HostSide,
    instance::Functions,
    library::{Library, OpenError},
    memory::Memory,
    rest, signals,
    stage::unique,
};
use camlock_abi::Entry;
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
const PATIENCE: Duration = Duration::from_millis(250);
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
    pub(crate) memory: Option<Memory>,
    pub(crate) left_behind: Option<u64>,
    /// Kept until the library is gone: the plugin refers to it. None if it was never given one.
    pub(crate) side: Option<Arc<HostSide>>,
    pub(crate) ending: watch::Sender<Ending>,
}

impl Remains {
    /// Of code that is there and has made nothing yet.
    pub(crate) fn new(code: Code, side: Option<Arc<HostSide>>, ending: watch::Sender<Ending>) -> Self {
        Remains { code, functions: None, memory: None, left_behind: None, side, ending }
    }
}

/// A library on its way to whoever asked for it. If they have left meanwhile it ends like any other: its constructors may have
/// started threads, which keep it until they are gone.
pub(crate) struct Opened(Option<(Library, &'static Entry)>);

impl Opened {
    pub(crate) fn take(mut self) -> (Library, &'static Entry) {
        self.0.take().expect("taken once, by value")
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some((library, _)) = self.0.take() {
            let (ending, _) = watch::channel(Ending::Alive);
            order(Order::End(Box::new(Remains::new(Code::Library(library), None, ending))));
        }
    }
}

pub(crate) enum Order {
    Open(PathBuf, String, Option<String>, oneshot::Sender<Result<Opened, OpenError>>),
    End(Box<Remains>),
    /// `close` returned.
    Closed(u64, Box<Remains>),
    Retry,
}

/// Sends an order to the keeper.
pub(crate) fn order(order: Order) {
    let _ = begin().send(order);
}

/// Starts the keeper, if that was not done. Plugins' libraries start threads on its thread, and whatever a thread starts has its
/// priority: it is begun by whoever makes a loader.
pub(crate) fn begin() -> &'static Sender<Order> {
    static KEEPER: OnceLock<Sender<Order>> = OnceLock::new();
    KEEPER.get_or_init(|| {
        let (sender, orders) = mpsc::channel();
        let own = sender.clone();
        // Without this thread nothing can be loaded or unloaded; the process has no threads left to give.
        thread::Builder::new()
            .name("camlock-loader".into())
            .spawn(move || Keeper { own, ending: Vec::new(), fresh: Vec::new(), rest: None }.run(&orders))
            .expect("a thread for the loader");
        sender
    })
}

struct Keeper {
    own: Sender<Order>,
    ending: Vec<Case>,
    /// Libraries opened since the last rest, and when the next one is.
    fresh: Vec<PathBuf>,
    rest: Option<Instant>,
}

/// A generation that is on its way out.
struct Case {
    state: State,
    since: Instant,
    look_again: Instant,
}

enum State {
    /// `close` runs on a thread of its own; if it takes too long, this tells.
    LastCall(watch::Sender<Ending>, u64),
    /// Its code has ended; something may still be in the way.
    Leaving(Box<Remains>),
}

impl Keeper {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let next = self.ending.iter().map(|case| case.look_again).chain(self.rest).min();
            let received = match next {
                Some(next) => orders.recv_timeout(next.saturating_duration_since(Instant::now())),
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match received {
                Ok(Order::Open(path, crate_name, stays, reply)) => {
                    let opened = Library::open(&path, &crate_name, stays);
                    self.fresh.push(path);
                    self.rest = Some(Instant::now() + REST);
                    // Whoever asked may be gone: then dropping it sends it back here.
                    drop(reply.send(opened.map(|opened| Opened(Some(opened)))));
                }
                Ok(Order::End(remains)) => self.last_call(remains),
                Ok(Order::Closed(id, remains)) => {
                    self.ending.retain(|case| !matches!(&case.state, State::LastCall(_, known) if *known == id));
                    self.leave(remains);
                    // One that went may have been what kept another.
                    self.look_again(true);
                }
                Ok(Order::Retry) => self.look_again(true),
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

    /// Lets the plugin drop its instance and end its runtime.
    fn last_call(&mut self, remains: Box<Remains>) {
        if remains.functions.is_none() {
            return self.leave(remains);
        }
        let (own, ending, id) = (self.own.clone(), remains.ending.clone(), unique());
        // If there can be no thread, this is where the remains are found again: dropped with the closure, they would take the
        // records away that the mapped library refers to.
        let parcel = Arc::new(Mutex::new(Some(remains)));
        let theirs = parcel.clone();
        let close = move || {
            let Some(mut remains) = theirs.lock().take() else { return };
            if let Some(Functions { root, object }) = remains.functions.take() {
                let _entered = remains.side.as_ref().map(|side| side.span.enter());
                // SAFETY: the last lease is gone, so everything the instance gave out was freed, and nobody else has its object.
                unsafe { root.close()(object) };
            }
            let _ = own.send(Order::Closed(id, remains));
        };
        match thread::Builder::new().name("camlock-close".into()).spawn(close) {
            Ok(_) => {
                let now = Instant::now();
                self.ending.push(Case { state: State::LastCall(ending, id), since: now, look_again: now + LAST_CALL });
            }
            Err(error) => {
                let reason = format!("no thread could be started to close it: {error}");
                ending.send_replace(Ending::Pinned { reason });
                // Kept as they are, for the life of the process: the plugin's instance was never closed.
                if let Some(remains) = parcel.lock().take() {
                    Box::leak(remains);
                }
            }
        }
    }

    fn leave(&mut self, remains: Box<Remains>) {
        let now = Instant::now();
        self.ending.push(Case { state: State::Leaving(remains), since: now, look_again: now });
        self.look_again(false);
    }

    /// Looks at all whose time has come, or at all.
    fn look_again(&mut self, all: bool) {
        let now = Instant::now();
        self.ending.retain_mut(|case| {
            if !all && case.look_again > now {
                return true;
            }
            let waited = now.duration_since(case.since);
            let reason = match &mut case.state {
                State::LastCall(..) if waited < LAST_CALL => return true,
                State::LastCall(ending, _) => {
                    let reason = format!("dropping it has not come to an end within {} s", LAST_CALL.as_secs());
                    tell(ending, reason);
                    case.look_again = now + LATER;
                    return true;
                }
                State::Leaving(remains) => match leave(remains) {
                    Ok(ended) => {
                        remains.ending.send_replace(ended);
                        return false;
                    }
                    Err(reason) => reason,
                },
            };
            case.look_again = now + if waited < PATIENCE { SOON } else { LATER };
            if let (State::Leaving(remains), true) = (&case.state, waited >= PATIENCE) {
                tell(&remains.ending, reason);
            }
            true
        });
    }
}

fn tell(ending: &watch::Sender<Ending>, reason: String) {
    let pinned = Ending::Pinned { reason };
    ending.send_if_modified(|known| {
        let news = *known != pinned;
        if news {
            known.clone_from(&pinned);
        }
        news
    });
}

/// Lets go of a generation whose code has ended: unmaps its library, unless something is in the way.
fn leave(remains: &mut Remains) -> Result<Ending, String> {
    let library = match &mut remains.code {
        Code::BuiltIn => return Ok(Ending::Unmapped { forgotten: 0, left_behind: None }),
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
    if let Some(signal) = signals::handled_within(&library.range) {
        return Err(format!("a handler for {signal} lies in the plugin"));
    }
    footprint.retire(GRACE);
    let forgotten = footprint.close(PATIENCE)?;
    if let Some(memory) = remains.memory.take() {
        remains.left_behind = Some(memory.held());
    }
    library.close()?;
    footprint.delete_keys();
    library.remove_file();
    Ok(Ending::Unmapped { forgotten, left_behind: remains.left_behind })
}
