//! Watching for the moment at which a path answers otherwise, over a connection that stays.

use super::connection::Connection;
use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pause between two requests: little beside what is measured, and it leaves the processor to the server.
const PAUSE: Duration = Duration::from_micros(200);

/// One who asks for a path again and again.
pub struct Watcher {
    path: String,
    connection: Connection,
}

impl Watcher {
    pub fn new(address: SocketAddr, path: &str) -> Self {
        Watcher { path: path.to_owned(), connection: Connection::new(address) }
    }

    /// Asks once: the status.
    pub fn status(&mut self) -> u16 {
        self.connection.get(&self.path, "").0
    }
}

/// Waits until all of them have been answered with this status once, and returns when the last one was.
pub fn all_answer(watchers: &mut [Watcher], status: u16) -> Instant {
    let began = Instant::now();
    let mut left: Vec<&mut Watcher> = watchers.iter_mut().collect();
    loop {
        left.retain_mut(|watcher| watcher.status() != status);
        if left.is_empty() {
            return Instant::now();
        }
        assert!(began.elapsed() < PATIENCE, "{} of them never answer {status}", left.len());
        thread::sleep(PAUSE);
    }
}
