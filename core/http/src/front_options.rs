//! How connections are served, with the defaults.

use crate::tls::TlsFiles;
use std::{thread, time::Duration};

/// How connections are served.
#[derive(Clone, Debug)]
pub struct FrontOptions {
    /// Threads that serve.
    pub threads: usize,
    /// Further runtimes of as many threads, each for new connections when all threads of those before it are stuck.
    pub further: usize,
    /// Threads of its own that a generation gets when it goes on blocking those that serve.
    pub dedicated: usize,
    /// A handler that blocks its thread for so long is reported.
    pub blocked: Duration,
    /// One that blocks it for so long makes its generation lose the right to: it gets threads of its own. Those that block all
    /// threads of a runtime at once lose it at once.
    pub moved_off: Duration,
    /// Connections at once, upgraded ones among them. Further ones wait until one of them ends.
    pub connections: usize,
    /// Of these, connections from one address (of IPv6: from one network of 64 bits). Further ones are closed.
    pub connections_per_address: usize,
    /// How long a client may take until the head of its next request is there: then its connection is closed.
    pub head: Duration,
    /// How long a client may take nothing of what is written to it: then its connection, or its HTTP/2 stream, is cut.
    pub write: Duration,
    /// The certificate that connections are encrypted with, if they are.
    pub tls: Option<TlsFiles>,
    /// What threads that run plugins' code do before they sleep.
    pub on_thread_park: Option<fn()>,
}

impl Default for FrontOptions {
    fn default() -> Self {
        FrontOptions {
            threads: thread::available_parallelism().map_or(1, usize::from),
            further: 31,
            dedicated: 8,
            blocked: Duration::from_secs(1),
            moved_off: Duration::from_secs(5),
            connections: 10_000,
            connections_per_address: 5_000,
            head: Duration::from_secs(60),
            write: Duration::from_secs(60),
            tls: None,
            on_thread_park: None,
        }
    }
}
