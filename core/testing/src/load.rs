//! Requests under way while something happens.

use crate::server::request;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Between an answer and the next request: some hundreds a second leave no gap in which something could happen unseen, and leave
/// the processors to what is tried.
const PACE: Duration = Duration::from_millis(5);

/// Requests under way.
#[derive(Debug)]
pub struct Load {
    end: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// Begins.
    pub(crate) fn begin(address: SocketAddr, path: &str) -> Self {
        let (end, good) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..2)
            .map(|_| {
                let (end, good, path) = (end.clone(), good.clone(), path.to_owned());
                thread::spawn(move || {
                    let mut bad = Vec::new();
                    while !end.load(Ordering::Relaxed) {
                        match request(address, "GET", &path, &[]) {
                            Ok(answer) if answer.status == 200 => _ = good.fetch_add(1, Ordering::Relaxed),
                            other => bad.push(format!("{other:?}")),
                        }
                        thread::sleep(PACE);
                    }
                    bad
                })
            })
            .collect();
        Load { end, good, threads }
    }

    /// Ends them: how many were good, and what was bad.
    pub fn end(self) -> (u64, Vec<String>) {
        self.end.store(true, Ordering::Relaxed);
        let bad = self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        (self.good.load(Ordering::Relaxed), bad)
    }
}
