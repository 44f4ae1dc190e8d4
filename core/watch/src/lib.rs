//! Watching the plugins directory: "look again", nothing more.
//!
//! A file system event says nothing about content, so nothing here reads a file. What changed is for the receiver of a nudge
//! to find out, by looking. A nudge may come without reason, twice or late; one that was lost is made good by the
//! timer, which says "look" now and then. What must not live here: what a plugin is, and any decision
//! about one.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod burst;
mod event;
mod ignore;
mod observer;
mod plan;
mod trouble;
mod watches;
mod way;

use crate::observer::{Observer, ObserverMessage};
use std::{
    collections::BTreeSet,
    io,
    path::PathBuf,
    sync::mpsc::SyncSender,
    thread::{self, JoinHandle},
    time::Duration,
};

/// What is watched, and how patiently.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// The plugins directory. It need not exist.
    pub directory: PathBuf,
    /// A burst of changes has ended when nothing has happened for so long. Default: 50 ms.
    pub quiet: Duration,
    /// In a burst that does not end a nudge comes after so long. Default: 500 ms.
    pub longest_burst: Duration,
    /// So often a nudge comes in any case. Default: 30 s.
    pub rescan: Duration,
    /// The same where events cannot be relied on. Default: 2 s.
    pub rescan_unwatched: Duration,
    /// So many directories and links are watched for one entry of the plugins directory, or one further path. One that
    /// has more is left to the timer. Default: 2,000.
    pub most_directories: usize,
}

impl WatchOptions {
    /// The defaults, for this plugins directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        WatchOptions {
            directory: directory.into(),
            quiet: Duration::from_millis(50),
            longest_burst: Duration::from_millis(500),
            rescan: Duration::from_secs(30),
            rescan_unwatched: Duration::from_secs(2),
            most_directories: 2_000,
        }
    }
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    to_observer: SyncSender<ObserverMessage>,
    observer: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Starts a thread that watches and calls `nudge`: for the first time as soon as the watches stand.
    /// `nudge` should only pass the word on: while it runs no other comes, and dropping the watcher waits for it.
    ///
    /// An error means that there was no thread to be had. Where the operating system does not let us watch, that is
    /// said in the log, and the timer does it alone.
    pub fn start(options: WatchOptions, nudge: impl Fn() + Send + 'static) -> io::Result<Watcher> {
        Self::start_with(options, Box::new(observer::system_eyes), nudge)
    }

    fn start_with(
        options: WatchOptions,
        open: observer::Open,
        nudge: impl Fn() + Send + 'static,
    ) -> io::Result<Watcher> {
        let (observer, to_observer) = Observer::new(options, open, nudge);
        let observer = thread::Builder::new().name("camlock-watch".to_owned()).spawn(move || observer.run())?;
        Ok(Watcher { to_observer, observer: Some(observer) })
    }

    /// From now on these are watched too, instead of those of the last call: files and directories outside, which
    /// plugins are built from. They need not exist. For those that are new a nudge comes, as they may have changed before
    /// the watch stood.
    ///
    /// What is ignored in the plugins directory (`target`, for one) is ignored below such a path too, but not on the
    /// way to it.
    pub fn also_watch(&self, paths: BTreeSet<PathBuf>) {
        // It only fails if the observer is gone, which is so after a panic in `nudge` alone.
        let _ = self.to_observer.send(ObserverMessage::Further(paths));
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.to_observer.send(ObserverMessage::Stop);
        if let Some(observer) = self.observer.take() {
            let _ = observer.join();
        }
    }
}
