//! What waits to be written to the socket, in order. Short frames lie one behind the other, long payloads are not copied.

use crate::frames::FrameWriter;
use bytes::{Buf, Bytes};
use std::{collections::VecDeque, io::IoSlice, task::Waker};

/// From here on, what can wait does.
const FULL: usize = 512 * 1024;
/// A payload from this length on is not copied.
const LONG: usize = 4 * 1024;
/// So many pieces are written at once.
const SLICES: usize = 32;

#[derive(Default)]
pub(crate) struct Outgoing {
    ready: VecDeque<Bytes>,
    ready_bytes: usize,
    /// Frames that are not cut off yet.
    pub(crate) writer: FrameWriter,
    /// Who has something to send and found it full, first come first served.
    waiting: VecDeque<Waker>,
}

/// What is written at once.
pub(crate) struct WrittenAtOnce(VecDeque<Bytes>);

impl WrittenAtOnce {
    pub(crate) fn write<R>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
        let mut slices = [IoSlice::new(&[]); SLICES];
        for (slice, bytes) in slices.iter_mut().zip(&self.0) {
            *slice = IoSlice::new(bytes);
        }
        write(&slices[..self.0.len()])
    }
}

impl Outgoing {
    /// A payload, whose header was just written.
    pub(crate) fn payload(&mut self, bytes: Bytes) {
        if bytes.len() < LONG {
            self.writer.0.extend_from_slice(&bytes);
        } else {
            self.cut();
            self.ready_bytes += bytes.len();
            self.ready.push_back(bytes);
        }
    }

    fn cut(&mut self) {
        if !self.writer.0.is_empty() {
            let frames = self.writer.0.split().freeze();
            self.ready_bytes += frames.len();
            self.ready.push_back(frames);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.writer.0.is_empty()
    }

    /// Whether there is room. If not, the waker is woken when there is.
    pub(crate) fn has_room(&mut self, waker: &Waker) -> bool {
        if self.ready_bytes + self.writer.0.len() < FULL {
            return true;
        }
        if !self.waiting.iter().any(|waiting| waiting.will_wake(waker)) {
            self.waiting.push_back(waker.clone());
        }
        false
    }

    /// Hands over what is to be written next. What of it is not comes back with [`written`](Outgoing::written).
    pub(crate) fn next(&mut self) -> WrittenAtOnce {
        self.cut();
        WrittenAtOnce(self.ready.drain(..self.ready.len().min(SLICES)).collect())
    }

    /// So much of it was written: who may go on.
    pub(crate) fn written(&mut self, WrittenAtOnce(mut portion): WrittenAtOnce, mut count: usize) -> Vec<Waker> {
        self.ready_bytes -= count.min(self.ready_bytes);
        while let Some(first) = portion.front_mut() {
            if first.len() > count {
                first.advance(count);
                break;
            }
            count -= first.len();
            portion.pop_front();
        }
        while let Some(left) = portion.pop_back() {
            self.ready.push_front(left);
        }
        if self.ready_bytes < FULL { self.waiting.drain(..).collect() } else { Vec::new() }
    }

    /// Nothing will be written any more: who waited.
    pub(crate) fn give_up(&mut self) -> Vec<Waker> {
        *self = Outgoing { waiting: std::mem::take(&mut self.waiting), ..Outgoing::default() };
        self.waiting.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_found_it_full_while_nothing_was_written_is_told() {
        let mut out = Outgoing::default();
        out.payload(Bytes::from(vec![0; LONG]));
        let portion = out.next();
        // Meanwhile, behind it.
        out.writer.0.extend_from_slice(&vec![0; FULL]);
        assert!(!out.has_room(Waker::noop()));
        assert_eq!(out.written(portion, 0).len(), 1);
        assert!(!out.has_room(Waker::noop()), "and waits again");
        let portion = out.next();
        assert_eq!(out.written(portion, LONG + FULL).len(), 1);
        assert!(out.is_empty() && out.has_room(Waker::noop()));
    }
}
