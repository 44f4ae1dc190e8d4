//! What is known of all streams of a link, and what each frame of the peer changes about it. A frame that does not fit what came
//! before is the end of the link.

use super::{
    End, ended,
    outgoing::Outgoing,
    stream::{AnswerHead, StreamState, WayEnd},
    window::CreditPool,
    writing::{Unwritten, Writing},
};
use crate::frames::{BadFrame, Frame, FrameKind, RequestKind, SizeBounds};
use camlock_policy::Call;
use std::{collections::HashMap, task::Waker};

/// More streams at once are refused by ending the link: a host never opens as many, and a plugin that does is broken.
const MOST_STREAMS: usize = 16 * 1024;

/// A request of the peer, to be served.
pub(crate) struct Arrived {
    pub(crate) stream: u64,
    pub(crate) kind: RequestKind,
    pub(crate) call: Box<Call>,
    pub(crate) ends: bool,
    pub(crate) hint: SizeBounds,
}

pub(crate) struct LinkState {
    end: End,
    pub(crate) closed: bool,
    pub(crate) streams: HashMap<u64, StreamState>,
    pub(crate) out: Outgoing,
    pub(crate) pool: CreditPool,
    /// The next stream of this side.
    next: u64,
    /// The last stream that the peer opened.
    last_of_peer: u64,
    pub(super) writing: Writing,
    /// What reads, and writes once the socket takes more again; taken when it was told.
    pub(crate) driver: Option<Waker>,
}

impl LinkState {
    pub(crate) fn new(end: End) -> Self {
        LinkState {
            end,
            closed: false,
            streams: HashMap::new(),
            out: Outgoing::default(),
            pool: CreditPool::default(),
            next: if end == End::Host { 1 } else { 2 },
            last_of_peer: 0,
            writing: Writing::Free,
            driver: None,
        }
    }

    /// A new stream of this side, with one user.
    pub(crate) fn open(&mut self) -> u64 {
        let stream = self.next;
        self.next += 2;
        self.streams.insert(stream, StreamState::new(true, WayEnd::Open));
        stream
    }

    /// Something was put among the outgoing.
    pub(crate) fn flush(&mut self) -> Option<Unwritten> {
        if self.closed {
            drop(self.out.give_up());
            return None;
        }
        Some(Unwritten)
    }

    fn is_own(&self, stream: u64) -> bool {
        (stream % 2 == 1) == (self.end == End::Host)
    }

    /// Takes a frame of the peer. Wakers of whoever it concerns are put into the list; a request is handed back.
    pub(crate) fn take(
        &mut self,
        stream: u64,
        frame: Frame,
        woken: &mut Vec<Waker>,
    ) -> Result<Option<Arrived>, BadFrame> {
        if let Frame::Request { kind, call, ends, hint } = frame {
            return self.take_request(Arrived { stream, kind, call, ends, hint }).map(Some);
        }
        let known_once = if self.is_own(stream) { stream < self.next } else { stream <= self.last_of_peer };
        if !known_once {
            return refuse(format!("a frame belongs to stream {stream}, which nobody opened"));
        }
        let own = self.is_own(stream);
        let Some(state) = self.streams.get_mut(&stream) else { return Ok(None) };
        if state.failed.is_some() {
            return Ok(None);
        }
        match frame {
            Frame::Request { .. } => {}
            Frame::Response { head, body, ends, hint } => {
                if !own || !state.unanswered || state.answer.is_some() {
                    return refuse(format!("stream {stream} was answered without a question"));
                }
                state.unanswered = false;
                if head.upgraded {
                    state.upgrade();
                } else {
                    state.put_inline(body);
                    state.incoming = if ends { WayEnd::Ended } else { WayEnd::Open };
                }
                state.answer = Some(AnswerHead { head, hint });
                woken.extend(state.reader.take());
            }
            Frame::Body { bytes, ends } | Frame::Bytes { bytes, ends } => {
                if state.late {
                    return Ok(None);
                }
                if !state.is_open() || own && state.unanswered {
                    return refuse(format!("bytes came on stream {stream}, on which there are none to come"));
                }
                if !state.put(bytes) {
                    return refuse(format!("more bytes came on stream {stream} than there was credit for"));
                }
                if ends {
                    state.incoming = WayEnd::Ended;
                }
                woken.extend(state.reader.take());
            }
            Frame::Trailers(trailers) => end(stream, state, own, WayEnd::Trailers(trailers), woken)?,
            Frame::End => end(stream, state, own, WayEnd::Ended, woken)?,
            Frame::Broken(why) => end(stream, state, own, WayEnd::Broken(why), woken)?,
            Frame::Reset(fault) => {
                state.failed = Some(fault);
                if let Some(handler) = state.handler.take() {
                    handler.abort();
                }
                woken.extend(state.waiting());
            }
            Frame::Credit(more) => {
                let Some(credit) = state.credit.checked_add(more).filter(|credit| *credit <= 1 << 30) else {
                    return refuse(format!("stream {stream} was given more credit than there can be"));
                };
                state.credit = credit;
                woken.extend(state.sender.take());
            }
            Frame::Enough => {
                state.out_ended = true;
                woken.extend(state.sender.take());
            }
        }
        Ok(None)
    }

    fn take_request(&mut self, arrived: Arrived) -> Result<Arrived, BadFrame> {
        let stream = arrived.stream;
        if self.is_own(stream) || stream <= self.last_of_peer {
            return refuse(format!("stream {stream} was opened out of order"));
        }
        if self.streams.len() >= MOST_STREAMS {
            return refuse(format!("more than {MOST_STREAMS} streams were opened at once"));
        }
        self.last_of_peer = stream;
        let incoming = if arrived.ends { WayEnd::Ended } else { WayEnd::Open };
        // Its handler is the first user.
        self.streams.insert(stream, StreamState::new(false, incoming));
        Ok(arrived)
    }

    /// One user of a stream less. What is not over then is ended.
    pub(crate) fn leave(&mut self, stream: u64) -> Option<Unwritten> {
        let state = self.streams.get_mut(&stream)?;
        state.users -= 1;
        if state.users > 0 {
            return None;
        }
        state.read_no_more(&mut self.pool);
        let over = state.failed.is_some() || state.out_ended && !state.is_open() && !state.unanswered;
        self.streams.remove(&stream);
        if over || self.closed {
            return None;
        }
        self.out.writer.reset(stream, None);
        self.flush()
    }

    /// Nobody reads this stream's body any more.
    pub(crate) fn read_no_more(&mut self, stream: u64) -> Option<Unwritten> {
        let closed = self.closed;
        let state = self.streams.get_mut(&stream)?;
        state.read_no_more(&mut self.pool);
        if !state.is_open() || state.failed.is_some() || closed {
            return None;
        }
        state.incoming = WayEnd::Ended;
        // What is on its way meanwhile is not more than there was credit for.
        state.late = true;
        self.out.writer.piece(stream, FrameKind::Enough, 0, false);
        self.flush()
    }

    /// The link is over: who is to be woken.
    pub(crate) fn close(&mut self) -> Vec<Waker> {
        self.closed = true;
        let mut woken = self.out.give_up();
        for state in self.streams.values_mut() {
            state.failed.get_or_insert_with(|| Some(ended()));
            if let Some(handler) = state.handler.take() {
                handler.abort();
            }
            woken.extend(state.waiting());
        }
        woken.extend(self.driver.take());
        woken
    }
}

fn end(stream: u64, state: &mut StreamState, own: bool, how: WayEnd, woken: &mut Vec<Waker>) -> Result<(), BadFrame> {
    if state.late {
        return Ok(());
    }
    if !state.is_open() || own && state.unanswered {
        return refuse(format!("the body of stream {stream} ended twice, or before it began"));
    }
    state.incoming = how;
    woken.extend(state.reader.take());
    Ok(())
}

fn refuse<T>(why: String) -> Result<T, BadFrame> {
    Err(BadFrame(why))
}
