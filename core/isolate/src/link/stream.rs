//! What is known of one stream: how far each way has come, and what waits for whoever reads it.

use super::window::{CreditPool, CreditWindow, FIRST};
use crate::frames::{SizeBounds, StatusHead};
use bytes::{Bytes, BytesMut};
use camlock_policy::Fault;
use http::HeaderMap;
use std::{collections::VecDeque, task::Waker};
use tokio::task::AbortHandle;

/// Beyond so many pieces that wait, short ones are put together: each costs memory of its own.
const PIECES: usize = 64;
const SHORT: usize = 4 * 1024;

/// How a way of a stream came to its end.
#[derive(Debug, Default)]
pub(crate) enum WayEnd {
    #[default]
    Open,
    Ended,
    /// With these last words.
    Trailers(HeaderMap),
    /// It broke off, and why.
    Broken(String),
}

/// The answer, as far as it came with its head.
#[derive(Debug)]
pub(crate) struct AnswerHead {
    pub(crate) head: StatusHead,
    pub(crate) hint: SizeBounds,
}

/// One stream.
#[derive(Default)]
pub(crate) struct StreamState {
    /// How many parts of this side refer to it. It is forgotten with the last.
    pub(crate) users: u32,
    /// This side opened it, and has no answer yet.
    pub(crate) unanswered: bool,
    pub(crate) answer: Option<AnswerHead>,
    /// What came and was not read.
    inbox: VecDeque<Bytes>,
    window: CreditWindow,
    pub(crate) incoming: WayEnd,
    /// Nobody reads it any more, and the peer was told.
    pub(crate) forsaken: bool,
    /// The peer was told so before its last word came: what it says until then is nobody's.
    pub(crate) late: bool,
    /// How much may be sent.
    pub(crate) credit: u32,
    /// Nothing more is sent, or wanted.
    pub(crate) out_ended: bool,
    /// It is over, by the peer's word or with the link.
    pub(crate) failed: Option<Option<Fault>>,
    pub(crate) upgraded: bool,
    /// What works on it here.
    pub(crate) handler: Option<AbortHandle>,
    pub(crate) reader: Option<Waker>,
    pub(crate) sender: Option<Waker>,
}

impl StreamState {
    /// One with its first user.
    pub(crate) fn new(unanswered: bool, incoming: WayEnd) -> Self {
        StreamState { users: 1, unanswered, incoming, credit: FIRST, ..StreamState::default() }
    }

    /// From now on it is a connection, whose bytes come and go until either end has enough.
    pub(crate) fn upgrade(&mut self) {
        self.upgraded = true;
        self.out_ended = false;
        self.incoming = WayEnd::Open;
        self.late = false;
        self.forsaken = false;
    }

    /// Whether more may come.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.incoming, WayEnd::Open)
    }

    /// What came with the head, beyond all credit.
    pub(crate) fn put_inline(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.inbox.push_back(bytes);
        }
    }

    /// Bytes came. False: more than may come.
    #[must_use]
    pub(crate) fn put(&mut self, bytes: Bytes) -> bool {
        if self.forsaken || bytes.is_empty() {
            return true;
        }
        if !self.window.take(bytes.len()) {
            return false;
        }
        let many = self.inbox.len() >= PIECES;
        match self.inbox.back_mut() {
            Some(last) if many && last.len() < SHORT && bytes.len() < SHORT => {
                let mut both = BytesMut::with_capacity(last.len() + bytes.len());
                both.extend_from_slice(last);
                both.extend_from_slice(&bytes);
                *last = both.freeze();
            }
            _ => self.inbox.push_back(bytes),
        }
        true
    }

    /// The next bytes, up to so many. And how many more the peer may be told to send.
    pub(crate) fn next(&mut self, most: usize, pool: &mut CreditPool) -> Option<(Bytes, Option<u32>)> {
        let first = self.inbox.front_mut()?;
        let bytes = if first.len() > most { first.split_to(most) } else { self.inbox.pop_front()? };
        // What came with the head was never counted.
        let counted = bytes.len().min(self.window.held());
        let credit = self.window.release(counted, pool).filter(|_| self.is_open());
        Some((bytes, credit))
    }

    /// Whether all of it is there, in one piece.
    pub(crate) fn is_whole(&self) -> bool {
        self.inbox.len() <= 1 && matches!(self.incoming, WayEnd::Ended)
    }

    pub(crate) fn has_bytes(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Nobody reads what came or comes.
    pub(crate) fn read_no_more(&mut self, pool: &mut CreditPool) {
        self.forsaken = true;
        self.inbox.clear();
        self.window.give_back(pool);
    }

    /// Everybody who waits on this stream.
    pub(crate) fn waiting(&mut self) -> impl Iterator<Item = Waker> {
        self.reader.take().into_iter().chain(self.sender.take())
    }
}
