//! What crosses between the server and a plugin's own process, as frames: sixteen bytes of header, then what they announce.
//!
//! Pure: bytes in, frames out, and back. A peer's bytes are not trusted: whatever is not a frame is refused with a sentence, and
//! nothing is allocated for what was only announced. What must not live here: streams and their order, credit, sockets.
//!
//! ```text
//! 0        4      5       6        8                 16
//! | length | kind | flags | zeros  | stream           | payload …
//! ```
//! Numbers are little-endian. Stream 0 is none: streams that the server opens are odd, those that the runner opens even.

mod cursor;
mod fault;
mod head;
mod header;

pub(crate) use self::{
    head::{RequestKind, StatusHead},
    header::{FrameHeader, FrameKind, HEADER},
};

use self::cursor::Cursor;
use bytes::{BufMut, Bytes, BytesMut};
use camlock_policy::{Call, Fault};
use http::HeaderMap;
use std::fmt;

/// The longest body that travels with its head.
pub(crate) const INLINE: usize = 16 * 1024;
/// The longest piece of a body, or of an upgraded connection.
pub(crate) const PIECE: usize = 64 * 1024;
/// The longest head: method, target, headers.
pub(crate) const LARGEST_HEAD: usize = 512 * 1024;
/// The longest words of a failure.
pub(crate) const LARGEST_WORDS: usize = 64 * 1024;

/// One frame.
#[derive(Debug)]
pub(crate) enum Frame {
    /// Opens a stream. The call's body is what came inline; `ends`: it is all.
    Request { kind: RequestKind, call: Box<Call>, ends: bool, hint: SizeBounds },
    /// Answers it. The body as above.
    Response { head: StatusHead, body: Bytes, ends: bool, hint: SizeBounds },
    /// More of a body.
    Body { bytes: Bytes, ends: bool },
    /// A body ends, with these.
    Trailers(HeaderMap),
    /// A body ends.
    End,
    /// A body breaks off, and why.
    Broken(String),
    /// The stream is over: it is not wanted any more, or it failed.
    Reset(Option<Fault>),
    /// The peer may send so many more bytes on this stream.
    Credit(u32),
    /// Bytes of an upgraded connection; `ends`: no more come this way.
    Bytes { bytes: Bytes, ends: bool },
    /// The peer need not send more of its body: nobody reads it.
    Enough,
}

/// What is known of a body's length before it comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SizeBounds {
    pub(crate) lower: u64,
    pub(crate) upper: Option<u64>,
}

/// Why bytes are no frame, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadFrame(pub(crate) String);

impl fmt::Display for BadFrame {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for BadFrame {}

fn bad<T>(why: impl Into<String>) -> Result<T, BadFrame> {
    Err(BadFrame(why.into()))
}

impl Frame {
    /// Reads the payload that a header announced.
    pub(crate) fn decode(header: FrameHeader, payload: Bytes) -> Result<Frame, BadFrame> {
        let ends = header.ends();
        match header.kind {
            FrameKind::Request => head::decode_request(payload, ends),
            FrameKind::Response => head::decode_response(payload, ends),
            FrameKind::Body => Ok(Frame::Body { bytes: payload, ends }),
            FrameKind::Bytes => Ok(Frame::Bytes { bytes: payload, ends }),
            FrameKind::Trailers => {
                let mut cursor = Cursor::new(payload);
                let headers = head::headers(&mut cursor)?;
                cursor.end()?;
                Ok(Frame::Trailers(headers))
            }
            FrameKind::End => Ok(Frame::End),
            FrameKind::Enough => Ok(Frame::Enough),
            FrameKind::Broken => Ok(Frame::Broken(cursor::text(payload)?)),
            FrameKind::Reset if payload.is_empty() => Ok(Frame::Reset(None)),
            FrameKind::Reset => fault::decode(payload).map(|fault| Frame::Reset(Some(fault))),
            FrameKind::Credit => {
                let mut cursor = Cursor::new(payload);
                let more = cursor.number()?;
                cursor.end()?;
                if more == 0 { bad("a credit of nothing") } else { Ok(Frame::Credit(more)) }
            }
        }
    }
}

/// Writes frames. What is too long for a frame is the caller's to cut, or an error here.
#[derive(Default)]
pub(crate) struct FrameWriter(pub(crate) BytesMut);

impl FrameWriter {
    /// Opens a stream, with as much of the body as comes along.
    pub(crate) fn request(
        &mut self,
        stream: u64,
        kind: RequestKind,
        call: &Call,
        body: &[u8],
        (ends, hint): (bool, SizeBounds),
    ) -> Result<(), BadFrame> {
        self.frame(stream, FrameKind::Request, ends, |into| {
            head::encode_request(kind, call, hint, into)?;
            into.put_slice(body);
            Ok(())
        })
    }

    /// Answers.
    pub(crate) fn response(
        &mut self,
        stream: u64,
        head: &StatusHead,
        body: &[u8],
        (ends, hint): (bool, SizeBounds),
    ) -> Result<(), BadFrame> {
        self.frame(stream, FrameKind::Response, ends, |into| {
            head::encode_response(head, hint, into)?;
            into.put_slice(body);
            Ok(())
        })
    }

    /// The header of a piece whose bytes follow by themselves.
    pub(crate) fn piece(&mut self, stream: u64, kind: FrameKind, length: usize, ends: bool) {
        debug_assert!(length <= PIECE);
        FrameHeader::new(length as u32, kind, ends, stream).write(&mut self.0);
    }

    /// A body's last word.
    pub(crate) fn trailers(&mut self, stream: u64, trailers: &HeaderMap) -> Result<(), BadFrame> {
        self.frame(stream, FrameKind::Trailers, false, |into| head::encode_headers(trailers, into))
    }

    /// A body broke off.
    pub(crate) fn broken(&mut self, stream: u64, why: &str) {
        let why = cursor::cut(why, LARGEST_WORDS);
        self.piece(stream, FrameKind::Broken, why.len(), false);
        self.0.put_slice(why.as_bytes());
    }

    /// The stream is over.
    pub(crate) fn reset(&mut self, stream: u64, fault: Option<&Fault>) {
        let written = self.frame(stream, FrameKind::Reset, false, |into| {
            if let Some(fault) = fault {
                fault::encode(fault, into);
            }
            Ok(())
        });
        debug_assert!(written.is_ok(), "a fault is cut so that it fits");
    }

    /// The peer may send more.
    pub(crate) fn credit(&mut self, stream: u64, more: u32) {
        self.piece(stream, FrameKind::Credit, 4, false);
        self.0.put_u32_le(more);
    }

    /// Writes a frame whose length is known once it is written. If it cannot be written nothing of it is.
    fn frame(
        &mut self,
        stream: u64,
        kind: FrameKind,
        ends: bool,
        payload: impl FnOnce(&mut BytesMut) -> Result<(), BadFrame>,
    ) -> Result<(), BadFrame> {
        let start = self.0.len();
        self.0.put_bytes(0, HEADER);
        let written = payload(&mut self.0).and_then(|()| {
            let length = self.0.len() - start - HEADER;
            if length <= kind.longest() {
                Ok(length as u32)
            } else {
                bad(format!("{kind} of {length} bytes is too long"))
            }
        });
        match written {
            Ok(length) => {
                let mut header = &mut self.0[start..start + HEADER];
                FrameHeader::new(length, kind, ends, stream).write(&mut header);
                Ok(())
            }
            Err(why) => {
                self.0.truncate(start);
                Err(why)
            }
        }
    }
}

#[cfg(test)]
mod tests;
