//! Reading what a peer wrote: every step says what is missing, and none reads beyond the end.

use super::{BadFrame, bad};
use bytes::{Buf, Bytes};

/// A payload that is being read.
pub(super) struct Cursor(Bytes);

impl Cursor {
    pub(super) fn new(payload: Bytes) -> Self {
        Cursor(payload)
    }

    fn need(&self, count: usize) -> Result<(), BadFrame> {
        if self.0.len() >= count { Ok(()) } else { bad("a frame ends in the middle of what it says") }
    }

    pub(super) fn byte(&mut self) -> Result<u8, BadFrame> {
        self.need(1)?;
        Ok(self.0.get_u8())
    }

    pub(super) fn short(&mut self) -> Result<u16, BadFrame> {
        self.need(2)?;
        Ok(self.0.get_u16_le())
    }

    pub(super) fn number(&mut self) -> Result<u32, BadFrame> {
        self.need(4)?;
        Ok(self.0.get_u32_le())
    }

    pub(super) fn long(&mut self) -> Result<u64, BadFrame> {
        self.need(8)?;
        Ok(self.0.get_u64_le())
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], BadFrame> {
        self.need(N)?;
        let mut array = [0; N];
        self.0.copy_to_slice(&mut array);
        Ok(array)
    }

    /// Bytes without a copy.
    pub(super) fn bytes(&mut self, count: usize) -> Result<Bytes, BadFrame> {
        self.need(count)?;
        Ok(self.0.split_to(count))
    }

    pub(super) fn text(&mut self, count: usize) -> Result<String, BadFrame> {
        text(self.bytes(count)?)
    }

    /// All that is left.
    pub(super) fn rest(self) -> Bytes {
        self.0
    }

    /// There must be nothing left.
    pub(super) fn end(self) -> Result<(), BadFrame> {
        if self.0.is_empty() { Ok(()) } else { bad(format!("a frame has {} bytes too many", self.0.len())) }
    }
}

pub(super) fn text(bytes: Bytes) -> Result<String, BadFrame> {
    String::from_utf8(bytes.into()).or_else(|_| bad("a text in a frame is not UTF-8"))
}

/// The beginning of a text that is too long, cut between two characters.
pub(super) fn cut(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}
