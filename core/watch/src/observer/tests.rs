//! What the observer does where watching fails, with eyes that are made to fail.

use super::*;
use notify::{Config, Error, ErrorKind, Event, EventHandler, EventKind, NullWatcher, RecursiveMode, WatcherKind};
use std::{
    fmt, fs, io,
    sync::{
        Mutex,
        atomic::AtomicUsize,
        mpsc::{RecvTimeoutError, Sender},
    },
    thread,
};
use tracing::{Metadata, field::Field, span};

const DEADLINE: Duration = Duration::from_secs(20);
/// Longer than any burst.
const QUIET: Duration = Duration::from_millis(700);

/// Keeps what is said.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Said {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        struct Message(String);
        impl tracing::field::Visit for Message {
            fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
                self.0 = format!("{value:?}");
            }
        }
        let mut message = Message(event.metadata().level().to_string());
        event.record(&mut message);
        self.0.lock().unwrap().push(message.0);
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// The system's eyes, which watch no more than so many directories.
struct Limited {
    eyes: Eyes,
    left: Arc<AtomicUsize>,
}

impl notify::Watcher for Limited {
    fn new<F: EventHandler>(_: F, _: Config) -> notify::Result<Self> {
        unreachable!("made by hand")
    }

    fn watch(&mut self, path: &Path, mode: RecursiveMode) -> notify::Result<()> {
        let left = self.left.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map_err(|_| Error::new(ErrorKind::MaxFilesWatch))?;
        self.eyes.watch(path, mode)
    }

    fn unwatch(&mut self, path: &Path) -> notify::Result<()> {
        self.eyes.unwatch(path)
    }

    fn kind() -> WatcherKind {
        WatcherKind::NullWatcher
    }
}

struct Trial {
    dir: tempfile::TempDir,
    said: Said,
    nudges: Receiver<()>,
    to_observer: SyncSender<ObserverMessage>,
    thread: thread::JoinHandle<()>,
}

impl Trial {
    fn start(
        open: impl FnMut(Inlet) -> notify::Result<Eyes> + Send + 'static,
        set: impl FnOnce(&mut WatchOptions),
    ) -> Trial {
        let (sender, nudges) = mpsc::channel();
        Self::start_with(open, set, sender, nudges, || {})
    }

    fn start_with(
        open: impl FnMut(Inlet) -> notify::Result<Eyes> + Send + 'static,
        set: impl FnOnce(&mut WatchOptions),
        sender: Sender<()>,
        nudges: Receiver<()>,
        before: impl Fn() + Send + 'static,
    ) -> Trial {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("plugins/crate/src")).unwrap();
        let mut options = WatchOptions::new(dir.path().join("plugins"));
        options.rescan = Duration::from_secs(3600);
        options.rescan_unwatched = Duration::from_secs(3600);
        set(&mut options);
        let (observer, to_observer) = Observer::new(options, Box::new(open), move || {
            before();
            let _ = sender.send(());
        });
        let said = Said::default();
        let subscriber = said.clone();
        let thread = thread::spawn(move || tracing::subscriber::with_default(subscriber, || observer.run()));
        Trial { dir, said, nudges, to_observer, thread }
    }

    fn next(&self) {
        self.nudges.recv_timeout(DEADLINE).unwrap();
    }

    /// Waits until a change of this file brings a nudge, with the timer out of the way.
    fn sees(&self, path: &str) {
        let path = self.dir.path().join("plugins").join(path);
        // What is under way comes first.
        while self.nudges.recv_timeout(QUIET).is_ok() {}
        fs::write(&path, "written").unwrap();
        self.next();
    }

    /// Ends it, and returns what was said.
    fn end(self) -> Vec<String> {
        self.to_observer.send(ObserverMessage::Stop).unwrap();
        self.thread.join().unwrap();
        self.said.0.lock().unwrap().clone()
    }
}

fn fast(options: &mut WatchOptions) {
    options.rescan_unwatched = Duration::from_millis(10);
}

#[test]
fn where_nothing_can_be_watched_the_timer_does_it_and_that_is_said_once() {
    let mut attempts = 0;
    let open = move |inlet| {
        attempts += 1;
        // Too many open files, as inotify says if there are too many instances.
        if attempts <= 5 { Err(Error::io(io::Error::from_raw_os_error(24))) } else { system_eyes(inlet) }
    };
    let trial = Trial::start(open, fast);
    for _ in 0..5 {
        trial.next();
    }
    // From now on it can be.
    trial.sees("crate/src/lib.rs");
    let said = trial.end();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("fs.inotify.max_user_instances"), "{said:?}");
    assert!(said[1].contains("again"), "{said:?}");
}

#[test]
fn where_not_everything_can_be_watched_the_timer_does_the_rest_and_that_is_said_once() {
    let left = Arc::new(AtomicUsize::new(3));
    let open = {
        let left = left.clone();
        move |inlet| Ok(Box::new(Limited { eyes: system_eyes(inlet)?, left: left.clone() }) as Eyes)
    };
    let trial = Trial::start(open, fast);
    for _ in 0..5 {
        trial.next();
    }
    left.store(1000, Ordering::Relaxed);
    trial.sees("crate/src/lib.rs");
    let said = trial.end();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("fs.inotify.max_user_watches"), "{said:?}");
    assert!(said[1].contains("again"), "{said:?}");
}

#[test]
fn events_that_never_come_are_made_good_by_the_timer() {
    let trial = Trial::start(|_| Ok(Box::new(NullWatcher)), |options| options.rescan = Duration::from_millis(10));
    fs::write(trial.dir.path().join("plugins/crate/src/lib.rs"), "").unwrap();
    for _ in 0..5 {
        trial.next();
    }
    assert_eq!(trial.end(), Vec::<String>::new());
}

#[test]
fn after_an_overflow_and_after_an_error_everything_is_told_and_watched_anew() {
    let (opened, inlets) = mpsc::channel();
    let open = move |inlet: Inlet| {
        let _ = opened.send(inlet.clone());
        system_eyes(inlet)
    };
    let trial = Trial::start(open, |_| {});
    trial.next();
    let overflow = || Ok(Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan));
    for trouble in [overflow(), Err(Error::generic("broken")), overflow()] {
        let mut inlet = inlets.recv_timeout(DEADLINE).unwrap();
        inlet.handle_event(trouble);
        trial.next();
        trial.sees("crate/src/lib.rs");
    }
    inlets.recv_timeout(DEADLINE).unwrap();
    assert_eq!(inlets.recv_timeout(Duration::ZERO).err(), Some(RecvTimeoutError::Timeout));
    trial.end();
}

#[test]
fn more_events_than_can_wait_are_everything() {
    let (opened, inlets) = mpsc::channel();
    let open = move |inlet: Inlet| {
        let _ = opened.send(inlet);
        Ok(Box::new(NullWatcher) as Eyes)
    };
    let (sender, nudges) = mpsc::channel();
    let (entered, is_in_nudge) = mpsc::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    // The first nudge takes as long as we like.
    let trial = Trial::start_with(
        open,
        |_| {},
        sender,
        nudges,
        move || {
            let _ = entered.send(());
            let _ = may_leave.recv();
        },
    );
    is_in_nudge.recv_timeout(DEADLINE).unwrap();
    let mut inlet = inlets.recv_timeout(DEADLINE).unwrap();
    let file = trial.dir.path().join("plugins/crate/src/lib.rs");
    for _ in 0..=MOST_EVENTS {
        inlet.handle_event(Ok(Event::new(EventKind::Any).add_path(file.clone())));
    }
    drop(leave);
    trial.next();
    trial.next();
    trial.end();
}
