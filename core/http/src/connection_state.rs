//! What is known of one connection, by all that have to do with it. What must not live here: what follows from it.

use crate::connection_limits::ConnectionPermit;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// The protocol that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Protocol {
    /// What has come so far may be the beginning of either.
    Undecided,
    Http1,
    Http2,
}

/// One connection. It is counted among the connections for as long as somebody has this.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    began: Instant,
    protocol: AtomicU8,
    /// Milliseconds since the connection began, and one: since then the system takes nothing that is written. 0 if it does.
    write_blocked: AtomicU64,
    open_streams: AtomicUsize,
    streams_begun: AtomicU64,
    /// A stream was cut, whose bytes may still wait to be written.
    stream_was_cut: AtomicBool,
    /// The last request has a body, of which something may be still to come.
    body_announced: AtomicBool,
    /// A plugin was refused for want of a thread: the client shall come again on another connection.
    refused: AtomicBool,
    _permit: ConnectionPermit,
}

impl ConnectionState {
    pub(crate) fn new(permit: ConnectionPermit) -> Self {
        ConnectionState {
            began: Instant::now(),
            protocol: AtomicU8::new(Protocol::Undecided as u8),
            write_blocked: AtomicU64::new(0),
            open_streams: AtomicUsize::new(0),
            streams_begun: AtomicU64::new(0),
            stream_was_cut: AtomicBool::new(false),
            body_announced: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            _permit: permit,
        }
    }

    pub(crate) fn protocol(&self) -> Protocol {
        match self.protocol.load(Ordering::Relaxed) {
            1 => Protocol::Http1,
            2 => Protocol::Http2,
            _ => Protocol::Undecided,
        }
    }

    pub(crate) fn speaks(&self, protocol: Protocol) {
        self.protocol.store(protocol as u8, Ordering::Relaxed);
    }

    /// The system takes nothing that is written from now on, or takes it again.
    pub(crate) fn set_write_blocked(&self, blocked: bool) {
        let since = if blocked { self.began.elapsed().as_millis() as u64 + 1 } else { 0 };
        self.write_blocked.store(since, Ordering::Relaxed);
    }

    /// Since when nothing that is written is taken, if so.
    pub(crate) fn write_blocked_since(&self) -> Option<Instant> {
        let since = self.write_blocked.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.began + Duration::from_millis(since))
    }

    pub(crate) fn stream_begins(&self) {
        self.open_streams.fetch_add(1, Ordering::Relaxed);
        self.streams_begun.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stream_ends(&self, cut: bool) {
        self.open_streams.fetch_sub(1, Ordering::Relaxed);
        self.stream_was_cut.fetch_or(cut, Ordering::Relaxed);
    }

    pub(crate) fn open_streams(&self) -> usize {
        self.open_streams.load(Ordering::Relaxed)
    }

    pub(crate) fn streams_begun(&self) -> u64 {
        self.streams_begun.load(Ordering::Relaxed)
    }

    pub(crate) fn stream_was_cut(&self) -> bool {
        self.stream_was_cut.load(Ordering::Relaxed)
    }

    /// Whether the request that came now has a body.
    pub(crate) fn announce_body(&self, has_one: bool) {
        self.body_announced.store(has_one, Ordering::Relaxed);
    }

    /// Whether the client may be sending, although its last request was answered. Only asked of HTTP/1, where nothing else
    /// tells it to stop.
    pub(crate) fn may_send_body(&self) -> bool {
        self.protocol() == Protocol::Http1 && self.body_announced.load(Ordering::Relaxed)
    }

    pub(crate) fn refuse(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    pub(crate) fn was_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Who asks, and over what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    pub(crate) peer: Option<SocketAddr>,
    /// None in somebody else's server.
    pub(crate) connection: Option<Arc<ConnectionState>>,
}
