//! The thread that watches: it takes events and orders, and nudges. What must not live here: what an event means, and
//! what is to be watched.

use crate::{
    WatchOptions,
    burst::Burst,
    event::{self, EventChange},
    plan::{self, WatchPlan, WatchRoot},
    trouble::WatchTrouble,
    watches::{Eyes, Watches},
};
use std::{
    collections::BTreeSet,
    path::{self, Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError},
    },
    time::{Duration, Instant},
};

/// So many events may wait for the observer; more are lost, and everything is looked at instead.
const MOST_EVENTS: usize = 8_192;
/// After so many rounds in which directories were armed the rest is left to further events, and to the timer. This is
/// what ends it where directories never stay the same, as in `/proc`.
const MOST_ROUNDS: usize = 8;

/// What the observer is told.
#[derive(Debug)]
pub(crate) enum ObserverMessage {
    Seen(EventChange, PathBuf),
    Further(BTreeSet<PathBuf>),
    /// Events were lost: the flag says so too, and is seen even if this message finds no room.
    Lost,
    Stop,
}

/// Where events go.
#[derive(Clone)]
pub(crate) struct Inlet {
    to_observer: SyncSender<ObserverMessage>,
    lost: Arc<AtomicBool>,
}

impl Inlet {
    /// Never waits: the observer may itself be waiting for the thread that we are on.
    fn send(&self, message: ObserverMessage) {
        if matches!(message, ObserverMessage::Lost) {
            self.lost.store(true, Ordering::Release);
        }
        if let Err(TrySendError::Full(_)) = self.to_observer.try_send(message) {
            self.lost.store(true, Ordering::Release);
        }
    }
}

impl notify::EventHandler for Inlet {
    fn handle_event(&mut self, event: notify::Result<notify::Event>) {
        let Ok(event) = event else { return self.send(ObserverMessage::Lost) };
        match event::change(&event) {
            EventChange::Nothing => {}
            EventChange::Lost => self.send(ObserverMessage::Lost),
            change => event.paths.into_iter().for_each(|path| self.send(ObserverMessage::Seen(change, path))),
        }
    }
}

/// Makes a watcher without watches.
pub(crate) type Open = Box<dyn FnMut(Inlet) -> notify::Result<Eyes> + Send>;

/// The operating system's.
pub(crate) fn system_eyes(inlet: Inlet) -> notify::Result<Eyes> {
    Ok(Box::new(notify::recommended_watcher(inlet)?))
}

pub(crate) struct Observer<F> {
    options: WatchOptions,
    /// The plugins directory, from the root.
    absolute: PathBuf,
    /// Where it really was when it was last planned; None if it was not there.
    real: Option<PathBuf>,
    open: Open,
    nudge: F,
    to_itself: SyncSender<ObserverMessage>,
    inbox: Receiver<ObserverMessage>,
    /// Events found no room in the inbox.
    lost: Arc<AtomicBool>,
    watches: Watches,
    further: BTreeSet<PathBuf>,
    burst: Burst,
    /// When everything is looked at in any case.
    next_round: Instant,
    trouble: Option<WatchTrouble>,
    /// Roots of which it was said that they have too many directories.
    crowded: BTreeSet<WatchRoot>,
}

impl<F: Fn()> Observer<F> {
    pub(crate) fn new(options: WatchOptions, open: Open, nudge: F) -> (Self, SyncSender<ObserverMessage>) {
        let (to_observer, inbox) = mpsc::sync_channel(MOST_EVENTS);
        let observer = Observer {
            absolute: absolute(&options.directory),
            real: None,
            options,
            open,
            nudge,
            to_itself: to_observer.clone(),
            inbox,
            lost: Arc::default(),
            watches: Watches::default(),
            further: BTreeSet::new(),
            burst: Burst::default(),
            next_round: Instant::now(),
            trouble: None,
            crowded: BTreeSet::new(),
        };
        (observer, to_observer)
    }

    pub(crate) fn run(mut self) {
        loop {
            let now = Instant::now();
            if self.lost.swap(false, Ordering::Acquire) {
                self.burst.lost = true;
                self.burst.everything = true;
                self.burst.extend(now);
            }
            let burst_due = self.burst.due(self.options.quiet, self.options.longest_burst);
            if now >= self.next_round {
                self.burst.everything = true;
                self.burst.lost |= self.watches.is_blind();
                self.tell();
                continue;
            }
            if burst_due.is_some_and(|due| now >= due) {
                self.tell();
                continue;
            }
            let wake = burst_due.map_or(self.next_round, |due| due.min(self.next_round));
            match self.inbox.recv_timeout(wake - now) {
                Ok(ObserverMessage::Seen(change, path)) => {
                    if self.watches.note(&path, change, &mut self.burst) {
                        self.burst.extend(Instant::now());
                    }
                }
                Ok(ObserverMessage::Further(paths)) => self.set_further(paths),
                Ok(ObserverMessage::Lost) | Err(RecvTimeoutError::Timeout) => {}
                Ok(ObserverMessage::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn set_further(&mut self, paths: BTreeSet<PathBuf>) {
        for path in self.further.symmetric_difference(&paths) {
            self.burst.roots.insert(WatchRoot::Further(path.clone()));
            self.burst.extend(Instant::now());
        }
        self.burst.look |= !paths.is_subset(&self.further);
        self.further = paths;
    }

    /// Ends the burst: first the watches, then the nudge. So what happened before a watch stood is in this nudge, and
    /// what happens from then on raises an event.
    fn tell(&mut self) {
        let burst = self.burst.take();
        let mut trouble = None;
        if burst.lost {
            // A new one, because the old one's watches are not known any more. Dropped first: instances are scarce.
            self.watches.see_with(None);
            let inlet = Inlet { to_observer: self.to_itself.clone(), lost: self.lost.clone() };
            match (self.open)(inlet) {
                Ok(eyes) => self.watches.see_with(Some(eyes)),
                Err(error) => trouble = Some(WatchTrouble::of_opening(&error)),
            }
        }
        let mut roots = burst.roots;
        let everything = burst.everything || roots.contains(&WatchRoot::Top);
        if everything {
            roots.insert(WatchRoot::Top);
            roots.extend(self.further.iter().cloned().map(WatchRoot::Further));
        }
        let mut look = burst.look || everything;
        trouble = trouble.max(self.settle(roots, &mut look));
        // Only a look at everything shows that an earlier trouble has gone.
        if everything || trouble > self.trouble {
            self.report(trouble);
        }
        if everything {
            self.next_round = Instant::now() + self.interval();
        }
        if look {
            (self.nudge)();
        }
    }

    /// Plans these roots and arms what the plans name, until nothing new appears: what comes into a directory after it
    /// was read, and before it was armed, is only seen by reading it again.
    fn settle(&mut self, mut roots: BTreeSet<WatchRoot>, look: &mut bool) -> Option<WatchTrouble> {
        let mut trouble = None;
        for _ in 0..MOST_ROUNDS {
            if roots.is_empty() {
                return trouble;
            }
            let mut touched = BTreeSet::new();
            trouble = trouble.max(self.plan(roots, &mut touched));
            let (fresh, failed) = self.watches.arm(touched);
            trouble = trouble.max(failed);
            roots = self.watches.concerned(&fresh);
            *look |= !roots.is_empty();
        }
        trouble
    }

    fn plan(&mut self, mut roots: BTreeSet<WatchRoot>, touched: &mut BTreeSet<PathBuf>) -> Option<WatchTrouble> {
        let mut trouble = None;
        if roots.remove(&WatchRoot::Top) {
            let top = plan::top(&self.absolute);
            trouble = top.real.as_deref().and_then(WatchTrouble::of_file_system);
            self.real = top.real;
            touched.extend(self.watches.plan(WatchRoot::Top, top.plan));
            roots.extend(self.watches.entries());
            roots.extend(top.entries.into_iter().map(WatchRoot::Entry));
        }
        let (directory, most) = (&self.options.directory, self.options.most_directories);
        for root in roots {
            let (plan, shown) = match &root {
                WatchRoot::Top => continue,
                WatchRoot::Entry(name) => {
                    let plan = self.real.as_deref().map(|real| plan::entry(real, name, most));
                    (plan.unwrap_or_default(), directory.join(name))
                }
                WatchRoot::Further(path) if self.further.contains(path) => {
                    (plan::further(&absolute(path), most), path.clone())
                }
                WatchRoot::Further(path) => (WatchPlan::default(), path.clone()),
            };
            if !plan.too_many {
                self.crowded.remove(&root);
            } else if self.crowded.insert(root.clone()) {
                tracing::warn!(
                    "{} has more than {most} directories and links, so changes in it are noticed only every {} s; keep \
                     what is not source out of it",
                    shown.display(),
                    self.interval().as_secs(),
                );
            }
            touched.extend(self.watches.plan(root, plan));
        }
        trouble
    }

    /// Says what is new about why events cannot be relied on.
    fn report(&mut self, now: Option<WatchTrouble>) {
        let before = std::mem::replace(&mut self.trouble, now);
        match (&self.trouble, before) {
            (Some(now), Some(before)) if now.is_like(&before) => {}
            (Some(now), _) => {
                tracing::warn!(
                    "{}; until then everything is looked at every {} s",
                    now.sentence(),
                    self.interval().as_secs()
                );
            }
            (None, Some(_)) => tracing::info!("file changes are watched again"),
            (None, None) => {}
        }
    }

    fn interval(&self) -> Duration {
        if self.trouble.is_some() { self.options.rescan_unwatched } else { self.options.rescan }
    }
}

/// Without the current directory, which fails only if that one has gone, it is taken as it is.
fn absolute(path: &Path) -> PathBuf {
    path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests;
