//! One connection, HTTP/1.1 or HTTP/2. What must not live here: how many there may be, and what is answered.

use crate::{Dispatch, patience::Patience, wire::Wire};
use hyper::rt::Timer as _;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use std::{
    future::{Future, poll_fn},
    net::{SocketAddr, TcpStream},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

/// A connection that nobody serves yet.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// It does not block.
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
}

/// Tells connections that they are to finish, and knows how many there are.
#[derive(Debug)]
pub(crate) struct Finish {
    said: Arc<AtomicBool>,
    each: watch::Sender<bool>,
}

/// What one connection has of it.
#[derive(Debug)]
pub(crate) struct Told {
    /// Costs less to look at than `wakes`.
    said: Arc<AtomicBool>,
    wakes: watch::Receiver<bool>,
}

impl Finish {
    pub(crate) fn new() -> Self {
        Finish { said: Arc::default(), each: watch::channel(false).0 }
    }

    pub(crate) fn connection(&self) -> Told {
        Told { said: self.said.clone(), wakes: self.each.subscribe() }
    }

    pub(crate) fn say(&self) {
        self.said.store(true, Ordering::Release);
        self.each.send_replace(true);
    }

    pub(crate) fn left(&self) -> usize {
        self.each.receiver_count()
    }

    /// Waits until there are none.
    pub(crate) async fn none_left(&self) {
        self.each.closed().await;
    }
}

/// Serves it until it ends, or until patience with its client does. Once it is told to finish, it ends with the answers that are
/// under way.
pub(crate) async fn serve_connection(accepted: Accepted, dispatch: Dispatch, told: Told, patience: Patience) {
    let Accepted { stream, peer } = accepted;
    let _ = stream.set_nodelay(true);
    let stream = match tokio::net::TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!(%error, "a connection could not be served"),
    };
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(patience.clone()).header_read_timeout(patience.limit());
    let came = Arc::new(AtomicBool::new(false));
    let stream = TokioIo::new(Wire::new(stream, came.clone()));
    let mut connection = pin!(builder.serve_connection_with_upgrades(stream, dispatch.for_peer(peer)));
    // Until something came it is not known which protocol it is, and no protocol's limits hold.
    let silent_until = patience.now() + patience.limit();
    let mut round = pin!(sleep(patience.round()));
    let mut look = patience.now();
    let Told { said, mut wakes } = told;
    let mut finish = pin!(wakes.wait_for(|said| *said));
    let (mut asked, mut finishing) = (false, false);
    let outcome = poll_fn(|context| {
        // Asked once, it wakes this task when the time has come: asking again before costs a lock for each request.
        let ask = !asked || said.load(Ordering::Acquire);
        asked = true;
        if ask && !finishing && finish.as_mut().poll(context).is_ready() {
            connection.as_mut().graceful_shutdown();
            finishing = true;
        }
        // Looked at seldom: when half of a round is over, for the clock may be late.
        let now = patience.now();
        if now >= look {
            look = now + patience.round() / 2;
            while round.as_mut().poll(context).is_ready() {
                round.as_mut().reset(Instant::now() + patience.round());
            }
            if now >= silent_until && !came.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        connection.as_mut().poll(context)
    });
    if let Err(error) = outcome.await {
        tracing::debug!(%error, "a connection broke");
    }
}
