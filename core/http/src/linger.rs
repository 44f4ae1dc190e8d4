//! The time between the last answer of a connection and its end, while its client may still be sending.
//!
//! Whoever closes a connection with bytes unread, or before all have come, resets it: the reset overtakes the answer, and a
//! client whose upload was refused is told of a broken connection instead. So what comes is read, and thrown away, until the
//! client has seen the answer and closes. What must not live here: whose connections may still be sent to.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Sleep, sleep},
};

/// A client that has not closed by then is let go.
const LIMIT: Duration = Duration::from_secs(2);
/// So much is read at once.
const PIECE: usize = 16 * 1024;
/// So often in a row; then others have their turn.
const ROW: usize = 16;

#[derive(Debug)]
pub(crate) struct Linger(Pin<Box<Sleep>>);

impl Linger {
    pub(crate) fn begin() -> Self {
        Linger(Box::pin(sleep(LIMIT)))
    }

    /// Ready once the client has closed, or has had its time.
    pub(crate) fn poll(&mut self, mut stream: Pin<&mut impl AsyncRead>, context: &mut Context<'_>) -> Poll<()> {
        if self.0.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let mut room = [0; PIECE];
        for _ in 0..ROW {
            let mut piece = ReadBuf::new(&mut room);
            let read = ready!(stream.as_mut().poll_read(context, &mut piece));
            if read.is_err() || piece.filled().is_empty() {
                return Poll::Ready(());
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
