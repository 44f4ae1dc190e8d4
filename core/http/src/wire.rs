//! The stream of a connection, which writes a small answer in one piece.
//!
//! hyper hands over an answer's head and its body as two pieces of memory. To have the system gather a few hundred bytes of two
//! pieces costs more than to put them together here. What must not live here: what is written.

use std::{
    cell::Cell,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Up to so many bytes are put together. More go as they are: copying costs by the byte.
const SMALL: usize = 8 * 1024;

thread_local! {
    /// Room for one write, empty between two.
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// No request is shorter than this.
const SHORTEST: usize = 16;

/// A connection's stream.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    /// So many bytes have come, until it is enough for a request.
    come: usize,
    enough: Arc<AtomicBool>,
}

impl Wire {
    /// `enough` turns true when so much has come that it may be a request.
    pub(crate) fn new(stream: TcpStream, enough: Arc<AtomicBool>) -> Self {
        Wire { stream, come: 0, enough }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, into));
        if self.come < SHORTEST {
            self.come += into.filled().len() - before;
            self.enough.store(self.come >= SHORTEST, Ordering::Relaxed);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
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

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn what_is_written_in_pieces_arrives_whole() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut wire = Wire::new(listener.accept().await.unwrap().0, Arc::default());
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
