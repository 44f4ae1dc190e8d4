//! What an isolated plugin gave out, each with a lease on its generation: a drain waits for it.

use camlock_policy::{Answer, Body, BodyError, Connection, Lease, Use};
use http_body::{Frame, SizeHint};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The answer, whose body and connection keep the generation.
pub(super) fn leased(answer: Answer, lease: &Lease) -> Answer {
    let Answer { response, connection } = answer;
    let response = response.map(|body| match body.into_whole() {
        Ok(bytes) => bytes.into(),
        Err(body) => Body::stream(LeasedBody { body, _lease: lease.share(Use::Body) }),
    });
    let connection = connection
        .map(|inside| Box::pin(LeasedConnection { inside, _lease: lease.share(Use::Connection) }) as Connection);
    Answer { response, connection }
}

struct LeasedBody {
    body: Body,
    _lease: Lease,
}

impl http_body::Body for LeasedBody {
    type Data = bytes::Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

struct LeasedConnection {
    inside: Connection,
    _lease: Lease,
}

impl AsyncRead for LeasedConnection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.inside.as_mut().poll_read(context, into)
    }
}

impl AsyncWrite for LeasedConnection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.inside.as_mut().poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inside.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inside.as_mut().poll_shutdown(context)
    }
}
