//! An upgraded connection that goes over a link.

use super::{
    stream::WayEnd,
    user::{Finish, SendRoom, StreamUser},
};
use crate::frames::FrameKind;
use bytes::Bytes;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) struct LinkConnection {
    user: StreamUser,
}

impl LinkConnection {
    pub(super) fn new(user: StreamUser) -> Self {
        LinkConnection { user }
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the other end broke the connection")
}

impl AsyncRead for LinkConnection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let (polled, flush) = self.user.with(|link, stream| {
            let Some(state) = link.streams.get_mut(&stream) else { return (Poll::Ready(Err(broken())), None) };
            if let Some((bytes, credit)) = state.next(into.remaining(), &mut link.pool) {
                into.put_slice(&bytes);
                let flush = credit.and_then(|credit| {
                    link.out.writer.credit(stream, credit);
                    link.flush()
                });
                return (Poll::Ready(Ok(())), flush);
            }
            let polled = match (&state.incoming, &state.failed) {
                (WayEnd::Broken(_), _) | (WayEnd::Open, Some(_)) => Poll::Ready(Err(broken())),
                (WayEnd::Ended | WayEnd::Trailers(_), _) => Poll::Ready(Ok(())),
                (WayEnd::Open, None) => {
                    state.reader = Some(context.waker().clone());
                    Poll::Pending
                }
            };
            (polled, None)
        });
        self.user.link.write(flush);
        polled
    }
}

impl AsyncWrite for LinkConnection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        if from.is_empty() {
            return Poll::Ready(Ok(0));
        }
        match ready!(self.user.poll_room(context)) {
            SendRoom::Unwanted => Poll::Ready(Err(broken())),
            SendRoom::For(room) => {
                let count = room.min(from.len());
                self.user.send(FrameKind::Bytes, Bytes::copy_from_slice(&from[..count]), false);
                Poll::Ready(Ok(count))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.user.finish(Finish::Ended);
        Poll::Ready(Ok(()))
    }
}
