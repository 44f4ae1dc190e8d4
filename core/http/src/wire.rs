//! The stream of a connection, which writes a small answer in one piece.
//!
//! hyper hands over an answer's head and its body as two pieces of memory. To have the system gather a few hundred bytes of two
//! pieces costs more than to put them together here. What must not live here: what is written.

use crate::{
    connection_state::{ConnectionState, Protocol},
    linger::Linger,
};
use std::{
    cell::Cell,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Up to so many bytes are put together. More go as they are: copying costs by the byte.
const SMALL: usize = 8 * 1024;

thread_local! {
    /// Room for one write, empty between two.
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What an HTTP/2 connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection's stream, which sees which protocol is spoken and whether what is written is taken.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    stream: S,
    state: Arc<ConnectionState>,
    /// So many bytes of the preface have come, while all that came was the preface.
    preface: Option<usize>,
    /// Nothing that is written is taken.
    blocked: bool,
    end: WireEnd,
}

/// How far it is closed.
#[derive(Debug)]
enum WireEnd {
    Open,
    /// Nothing is written any more; what the client still sends is read.
    Lingering(Linger),
    Closed,
}

impl<S> Wire<S> {
    pub(crate) fn new(stream: S, state: Arc<ConnectionState>) -> Self {
        Wire { stream, state, preface: Some(0), blocked: false, end: WireEnd::Open }
    }

    #[cold]
    fn decide(&mut self, seen: usize, came: &[u8]) {
        let left = &PREFACE[seen..];
        if !came.starts_with(left) && !left.starts_with(came) {
            self.preface = None;
            self.state.speaks(Protocol::Http1);
        } else if came.len() >= left.len() {
            self.preface = None;
            self.state.speaks(Protocol::Http2);
        } else {
            self.preface = Some(seen + came.len());
        }
    }

    #[inline]
    fn wrote<T>(&mut self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_pending() != self.blocked {
            self.set_blocked(written.is_pending());
        }
        written
    }

    #[cold]
    fn set_blocked(&mut self, blocked: bool) {
        self.blocked = blocked;
        self.state.set_write_blocked(blocked);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, into));
        if let Some(seen) = self.preface {
            self.decide(seen, &into.filled()[before..]);
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, from);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = write_pieces(Pin::new(&mut self.stream), context, pieces);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was written may lie in a buffer of the encryption.
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_pending() || self.blocked { self.wrote(flushed) } else { flushed }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Wire { stream, state, end, .. } = &mut *self;
        let mut stream = Pin::new(stream);
        loop {
            *end = match end {
                WireEnd::Open => {
                    ready!(stream.as_mut().poll_shutdown(context))?;
                    if state.may_send_body() { WireEnd::Lingering(Linger::begin()) } else { WireEnd::Closed }
                }
                WireEnd::Lingering(linger) => {
                    ready!(linger.poll(stream.as_mut(), context));
                    WireEnd::Closed
                }
                WireEnd::Closed => return Poll::Ready(Ok(())),
            }
        }
    }
}

fn write_pieces<S: AsyncWrite>(
    stream: Pin<&mut S>,
    context: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [piece] = pieces {
        return stream.poll_write(context, piece);
    }
    if pieces.iter().map(|piece| piece.len()).sum::<usize>() > SMALL {
        return stream.poll_write_vectored(context, pieces);
    }
    let Ok(mut room) = ROOM.try_with(Cell::take) else { return stream.poll_write_vectored(context, pieces) };
    pieces.iter().for_each(|piece| room.extend_from_slice(piece));
    let written = stream.poll_write(context, &room);
    room.clear();
    let _ = ROOM.try_with(|there| there.set(room));
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection_limits::ConnectionLimits;
    use std::future::poll_fn;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    fn state() -> Arc<ConnectionState> {
        let permit = ConnectionLimits::new(1, 1).admit([127, 0, 0, 1].into()).expect("room for one");
        Arc::new(ConnectionState::new(permit))
    }

    #[tokio::test]
    async fn the_protocol_is_known_as_soon_as_it_can_be() {
        for (came, protocol) in [
            ("", Protocol::Undecided),
            ("P", Protocol::Undecided),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r", Protocol::Undecided),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Protocol::Http2),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore", Protocol::Http2),
            ("POST", Protocol::Http1),
            ("PRI * HTTP/1.1\r\n", Protocol::Http1),
            ("G", Protocol::Http1),
        ] {
            // However it is cut.
            for cut in 0..=came.len() {
                let state = state();
                let mut wire = Wire::new(tokio::io::empty(), state.clone());
                for piece in [&came[..cut], &came[cut..]] {
                    if let Some(seen) = wire.preface {
                        wire.decide(seen, piece.as_bytes());
                    }
                }
                assert_eq!(state.protocol(), protocol, "{came:?} {cut}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_written_in_pieces_arrives_whole() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut wire = Wire::new(listener.accept().await.unwrap().0, state());
        let all: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
        let theirs = all.clone();
        let reading = tokio::spawn(async move {
            let mut read = Vec::new();
            client.read_to_end(&mut read).await.unwrap();
            assert!(read == theirs);
        });
        // Small and large, one piece and several, empty ones among them.
        let mut rest = &all[..];
        for sizes in [&[10, 0, 20][..], &[0], &[5], &[4000, 4192], &[4000, 4193], &[50_000, 1, 30_000]].iter().cycle() {
            let mut pieces = Vec::new();
            let mut ahead = rest;
            for size in *sizes {
                let (piece, behind) = ahead.split_at(ahead.len().min(*size));
                pieces.push(IoSlice::new(piece));
                ahead = behind;
            }
            let written = poll_fn(|context| Pin::new(&mut wire).poll_write_vectored(context, &pieces)).await.unwrap();
            rest = &rest[written..];
            if rest.is_empty() {
                break;
            }
        }
        wire.shutdown().await.unwrap();
        drop(wire);
        reading.await.unwrap();
    }
}
