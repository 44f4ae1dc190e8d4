//! The sixteen bytes before each frame's payload.

use super::{BadFrame, INLINE, LARGEST_HEAD, LARGEST_WORDS, PIECE, bad};
use bytes::{Buf, BufMut};
use std::fmt;

/// How long a header is.
pub(crate) const HEADER: usize = 16;
/// Nothing follows this way.
pub(crate) const FLAG_ENDS: u8 = 1;

/// What sort of frame it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FrameKind {
    Request = 1,
    Response,
    Body,
    Trailers,
    End,
    Broken,
    Reset,
    Credit,
    Bytes,
    Enough,
}

impl FrameKind {
    pub(super) const ALL: [FrameKind; 10] = [
        FrameKind::Request,
        FrameKind::Response,
        FrameKind::Body,
        FrameKind::Trailers,
        FrameKind::End,
        FrameKind::Broken,
        FrameKind::Reset,
        FrameKind::Credit,
        FrameKind::Bytes,
        FrameKind::Enough,
    ];

    /// The longest payload of such a frame.
    pub(super) fn longest(self) -> usize {
        match self {
            FrameKind::Request | FrameKind::Response => LARGEST_HEAD + INLINE,
            FrameKind::Body | FrameKind::Bytes => PIECE,
            FrameKind::Trailers => LARGEST_HEAD,
            FrameKind::End | FrameKind::Enough => 0,
            FrameKind::Broken => LARGEST_WORDS,
            FrameKind::Reset => 2 * LARGEST_WORDS,
            FrameKind::Credit => 4,
        }
    }

    /// Whether such a frame can be the last of its way.
    fn may_end(self) -> bool {
        matches!(self, FrameKind::Request | FrameKind::Response | FrameKind::Body | FrameKind::Bytes)
    }
}

impl fmt::Display for FrameKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            FrameKind::Request => "a request",
            FrameKind::Response => "a response",
            FrameKind::Body => "a piece of a body",
            FrameKind::Trailers => "a frame of trailers",
            FrameKind::End => "an end",
            FrameKind::Broken => "a break",
            FrameKind::Reset => "a reset",
            FrameKind::Credit => "a credit",
            FrameKind::Bytes => "a piece of an upgraded connection",
            FrameKind::Enough => "a word that it is enough",
        })
    }
}

/// What a frame says before its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) length: u32,
    pub(crate) kind: FrameKind,
    pub(crate) flags: u8,
    pub(crate) stream: u64,
}

impl FrameHeader {
    pub(crate) fn new(length: u32, kind: FrameKind, ends: bool, stream: u64) -> Self {
        FrameHeader { length, kind, flags: if ends { FLAG_ENDS } else { 0 }, stream }
    }

    pub(crate) fn ends(self) -> bool {
        self.flags & FLAG_ENDS != 0
    }

    pub(super) fn write(self, into: &mut impl BufMut) {
        into.put_u32_le(self.length);
        into.put_u8(self.kind as u8);
        into.put_u8(self.flags);
        into.put_u16_le(0);
        into.put_u64_le(self.stream);
    }

    /// Reads one, and refuses what announces no frame. Whoever reads the payload has no more to fear of its length.
    pub(crate) fn read(bytes: &[u8; HEADER]) -> Result<Self, BadFrame> {
        let mut bytes: &[u8] = bytes;
        let length = bytes.get_u32_le();
        let (number, flags, zeros, stream) = (bytes.get_u8(), bytes.get_u8(), bytes.get_u16_le(), bytes.get_u64_le());
        let Some(kind) = FrameKind::ALL.into_iter().find(|kind| *kind as u8 == number) else {
            return bad(format!("there is no frame of kind {number}"));
        };
        let known = if kind.may_end() { FLAG_ENDS } else { 0 };
        if flags & !known != 0 || zeros != 0 {
            return bad(format!("{kind} has flags that it cannot have ({flags:#x}, {zeros:#x})"));
        }
        if length as usize > kind.longest() {
            return bad(format!("{kind} of {length} bytes is longer than the {} that it may be", kind.longest()));
        }
        if stream == 0 {
            return bad(format!("{kind} belongs to no stream"));
        }
        Ok(FrameHeader { length, kind, flags, stream })
    }
}
