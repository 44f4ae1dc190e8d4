//! The plugin's end of an upgraded connection, as a stream of the host's.

use crate::{inside::Inside, suspects::running::UnderWayMark};
use camlock_abi::{BorrowedWaker, ByteStream, IoPoll, IoState, SharedWaker, WakerHeader};
use camlock_policy::Lease;
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) struct PluginConnection {
    // Fields drop in order: the stream before the lease.
    stream: ByteStream,
    reader: Option<Arc<SharedWaker>>,
    writer: Option<Arc<SharedWaker>>,
    _under_way: UnderWayMark,
    lease: Lease,
}

impl PluginConnection {
    pub(crate) fn new(stream: ByteStream, lease: Lease, under_way: UnderWayMark) -> Self {
        PluginConnection { stream, reader: None, writer: None, _under_way: under_way, lease }
    }

    fn write_side(
        &mut self,
        context: &Context<'_>,
        call: impl FnOnce(&mut ByteStream, *const WakerHeader) -> IoPoll,
    ) -> Poll<io::Result<usize>> {
        let _inside = Inside::enter(self.lease.generation());
        io_outcome(BorrowedWaker::poll(context.waker(), &mut self.writer, |waker| call(&mut self.stream, waker)))
    }
}

fn io_outcome(polled: IoPoll) -> Poll<io::Result<usize>> {
    match polled.state {
        IoState::Pending => Poll::Pending,
        IoState::Ready => Poll::Ready(Ok(polled.count)),
        IoState::Broken => {
            Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, "the plugin broke the connection")))
        }
    }
}

impl AsyncRead for PluginConnection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let _inside = Inside::enter(self.lease.generation());
        let this = &mut *self;
        let free = into.initialize_unfilled();
        // SAFETY: the waker is lent for this call; as for those below.
        let polled =
            BorrowedWaker::poll(context.waker(), &mut this.reader, |waker| unsafe { this.stream.read(waker, free) });
        let count = ready!(io_outcome(polled))?;
        into.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PluginConnection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        // SAFETY: as for reading.
        self.write_side(context, |stream, waker| unsafe { stream.write(waker, from) })
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // SAFETY: as for reading.
        self.write_side(context, |stream, waker| unsafe { stream.flush(waker) }).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // SAFETY: as for reading.
        self.write_side(context, |stream, waker| unsafe { stream.shutdown(waker) }).map_ok(|_| ())
    }
}
