//! One connection, HTTP/1.1 or HTTP/2. What must not live here: how many there may be, and what is answered.

use crate::{
    Dispatch,
    coarse_clock::CoarseClock,
    connection_limits::ConnectionPermit,
    connection_state::{ConnectionState, Protocol},
    poll_notes::take_notes,
    slow_client::SlowClient,
    stream_guard::StreamExecutor,
    stuck_connections::{ServedConnection, ServedConnections},
    tls::TlsCertificate,
    wire::Wire,
};
use hyper::rt::Timer as _;
use hyper_util::{rt::TokioIo, server::conn::auto::Builder};
use std::{
    future::{Future, poll_fn},
    net::{SocketAddr, TcpStream},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{sleep, timeout},
};

/// A connection that nobody serves yet.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// It does not block.
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) permit: ConnectionPermit,
    pub(crate) tls: Option<Arc<TlsCertificate>>,
}

/// What holds for every connection.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionRules {
    pub(crate) clock: CoarseClock,
    /// How long a client may take until the head of its next request is there.
    pub(crate) head: Duration,
    /// How long it may take nothing of what is written to it.
    pub(crate) write: Duration,
}

impl ConnectionRules {
    /// How often a connection has to look whether its time is over. It is over between once and one and a half times the limit.
    fn round(&self) -> Duration {
        (self.head / 2).max(Duration::from_millis(10))
    }
}

/// Asks connections to finish, and knows how many there are.
#[derive(Debug)]
pub(crate) struct ConnectionTracker {
    asked: Arc<AtomicBool>,
    each: watch::Sender<bool>,
}

/// What one connection has of it.
#[derive(Debug)]
pub(crate) struct FinishRequest {
    /// Costs less to look at than `wakes`.
    asked: Arc<AtomicBool>,
    wakes: watch::Receiver<bool>,
}

impl ConnectionTracker {
    pub(crate) fn new() -> Self {
        ConnectionTracker { asked: Arc::default(), each: watch::channel(false).0 }
    }

    pub(crate) fn connection(&self) -> FinishRequest {
        FinishRequest { asked: self.asked.clone(), wakes: self.each.subscribe() }
    }

    /// Asks all of them to finish.
    pub(crate) fn finish(&self) {
        self.asked.store(true, Ordering::Release);
        self.each.send_replace(true);
    }

    pub(crate) fn open(&self) -> usize {
        self.each.receiver_count()
    }

    /// Waits until there are none.
    pub(crate) async fn none_open(&self) {
        self.each.closed().await;
    }
}

/// Who has only just connected has so long to say something, when connections are asked to finish: its request may be on its way, and
/// would be answered by nobody.
const FIRST_BYTES: Duration = Duration::from_millis(200);

/// Serves it until it ends, or until its client's time is over. Once it is asked to finish, it ends with the answers that are
/// under way.
pub(crate) async fn serve_connection(
    accepted: Accepted,
    dispatch: Dispatch,
    mut finish: FinishRequest,
    rules: ConnectionRules,
    served: ServedConnections,
) {
    let Accepted { stream, peer, permit, tls } = accepted;
    let served = served.add(&stream);
    let _ = stream.set_nodelay(true);
    let stream = match tokio::net::TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!(%error, "a connection could not be served"),
    };
    let state = Arc::new(ConnectionState::new(permit));
    let dispatch = dispatch.for_connection(peer, state.clone());
    let Some(tls) = tls else { return speak_http(stream, dispatch, state, finish, rules, served).await };
    let handshake = timeout(rules.head, tls.accept(stream));
    let outcome = tokio::select! {
        _ = finish.wakes.wait_for(|asked| *asked) => return,
        outcome = handshake => outcome,
    };
    match outcome {
        Ok(Ok(stream)) => speak_http(stream, dispatch, state, finish, rules, served).await,
        Ok(Err(error)) => tracing::debug!(%error, %peer, "a connection could not be encrypted"),
        Err(_) => {}
    }
}

async fn speak_http<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    dispatch: Dispatch,
    state: Arc<ConnectionState>,
    finish: FinishRequest,
    rules: ConnectionRules,
    served: Arc<ServedConnection>,
) {
    let clock = &rules.clock;
    let mut builder = Builder::new(StreamExecutor::new(dispatch.clone(), state.clone(), rules.write));
    builder.http1().timer(clock.clone()).header_read_timeout(rules.head);
    builder.http2().timer(clock.clone()).keep_alive_interval(rules.head / 2).keep_alive_timeout(rules.head / 2);
    let stream = TokioIo::new(Wire::new(stream, state.clone()));
    let mut slow_client = SlowClient::new(dispatch.clone(), state.clone(), rules.write);
    let mut connection = pin!(builder.serve_connection_with_upgrades(stream, dispatch));
    let mut idle = Idle::new(clock.now(), rules.head);
    let mut round = pin!(sleep(rules.round()));
    let mut look = clock.now();
    let FinishRequest { asked, mut wakes } = finish;
    let mut finish = pin!(wakes.wait_for(|asked| *asked));
    let (mut polled_finish, mut asked_to, mut finishing) = (false, false, false);
    let mut first_bytes = pin!(sleep(FIRST_BYTES));
    let outcome = poll_fn(|context| {
        // Polled once, it wakes this task when the time has come: polling it again before costs a lock for each request.
        let poll_finish = !polled_finish || asked.load(Ordering::Acquire);
        polled_finish = true;
        if poll_finish && !asked_to && finish.as_mut().poll(context).is_ready() {
            asked_to = true;
            first_bytes.as_mut().reset(tokio::time::Instant::now() + FIRST_BYTES);
        }
        let has_begun = || state.protocol() != Protocol::Undecided;
        if asked_to && !finishing && (has_begun() || first_bytes.as_mut().poll(context).is_ready()) {
            connection.as_mut().graceful_shutdown();
            finishing = true;
            // An idle client is not waited for: it may not look at its connection before its next request.
            state.announce_body(false);
        }
        // Only when half of a round is over. The clock may be later than the timer, which then wakes this task only once.
        let now = clock.now();
        if now >= look || round.is_elapsed() {
            look = now + rules.round() / 2;
            while round.as_mut().poll(context).is_ready() {
                round.as_mut().reset(tokio::time::Instant::now() + rules.round());
            }
            match idle.look(now, &state) {
                Idleness::Busy => {}
                Idleness::MayFinish => connection.as_mut().graceful_shutdown(),
                Idleness::Over => return Poll::Ready(Ok(())),
            }
        }
        served.polled(true);
        let polled = connection.as_mut().poll(context);
        served.polled(false);
        let answered_by = take_notes().answered_by;
        if answered_by != 0 {
            slow_client.answered_by(answered_by);
        }
        if polled.is_pending() {
            if slow_client.is_over(context) {
                return Poll::Ready(Ok(()));
            }
            if !finishing && (state.was_refused() || asked_to && has_begun()) {
                connection.as_mut().graceful_shutdown();
                finishing = true;
                context.waker().wake_by_ref();
            }
        }
        polled
    });
    if let Err(error) = outcome.await {
        tracing::debug!(%error, "a connection broke");
    }
}

/// How long a connection has had nothing to do that its protocol's own limits do not cover.
#[derive(Debug)]
struct Idle {
    limit: Duration,
    since: Instant,
    streams_begun: u64,
    /// It was asked to finish because it is idle.
    asked: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Idleness {
    Busy,
    MayFinish,
    Over,
}

impl Idle {
    fn new(now: Instant, limit: Duration) -> Self {
        Idle { limit, since: now, streams_begun: 0, asked: false }
    }

    fn look(&mut self, now: Instant, state: &ConnectionState) -> Idleness {
        match state.protocol() {
            // The head of each request has a limit.
            Protocol::Http1 => return Idleness::Busy,
            Protocol::Undecided => {}
            Protocol::Http2 => {
                let begun = state.streams_begun();
                if state.open_streams() > 0 || begun != self.streams_begun {
                    (self.since, self.streams_begun) = (now, begun);
                    return Idleness::Busy;
                }
            }
        }
        if now.saturating_duration_since(self.since) < self.limit {
            return Idleness::Busy;
        }
        if self.asked || state.protocol() == Protocol::Undecided {
            return Idleness::Over;
        }
        // Who does not answer the goodbye either is let go a little later.
        (self.since, self.asked) = (now, true);
        Idleness::MayFinish
    }
}
