//! Requests that ask for another protocol on their connection (WebSockets).
//!
//! hyper's `OnUpgrade` can only be made by hyper, so such a request is served by a real hyper connection here, over a pipe in
//! memory: a client end that sends it, a server end that runs the author's router. If the answer is 101, what remains of the
//! client end is the byte stream that crosses, and the host relays.

use crate::{
    in_runtime::InRuntime,
    instance::{Door, Home},
    request,
    respond::{self, Ordinary, UpgradeOutcome, outgoing, task},
};
use axum::body::Body as AxumBody;
use bytes::Bytes;
use camlock_abi::{
    Body, BorrowWaker, ByteStream, DirectWaker, FailureMessage, IoPoll, RequestHead, StreamTable, Task, WakerHeader,
    abi_stable::std_types::{RNone, RSome},
};
use http::{Extensions, Request, StatusCode};
use http_body::Frame;
use hyper::{body::Incoming, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::AbortHandle,
};
use tower_service::Service;

/// How much the pipe holds in each direction.
const PIPE: usize = 64 * 1024;

pub(crate) fn upgrade(home: Home, head: &RequestHead<'_>, body: Body) -> Task {
    if !home.runtime().is_there() {
        // Without a runtime there is nothing to serve the connection with: axum answers what it does to such requests.
        return respond::handle(home, Door::Requests, head, body);
    }
    match camlock_abi::catch(|| request::build(head, body, home.room(), home.spares())) {
        Ok(Ok(request)) => task(Ordinary(serve(home, request)), home),
        Ok(Err(failure)) | Err(failure) => respond::failing(failure, home),
    }
}

fn upgrade_failure(error: impl std::fmt::Display) -> FailureMessage {
    FailureMessage::error(format!("the upgrade failed inside the plugin: {error}"))
}

/// A connection's task, which goes when the request does.
struct ConnectionTask(AbortHandle);

impl ConnectionTask {
    fn spawn(connection: impl Future<Output = hyper::Result<()>> + Send + 'static) -> Self {
        ConnectionTask(tokio::spawn(connection).abort_handle())
    }
}

impl Drop for ConnectionTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn serve(home: Home, mut request: Request<AxumBody>) -> Result<UpgradeOutcome, FailureMessage> {
    let router = home.router(Door::Requests)?.clone();
    let extensions = std::mem::take(request.extensions_mut());
    let (client, server) = tokio::io::duplex(PIPE);
    let service = hyper::service::service_fn(move |mut inner: Request<Incoming>| {
        let mut all: Extensions = extensions.clone();
        all.extend(std::mem::take(inner.extensions_mut()));
        *inner.extensions_mut() = all;
        let mut router = router.clone();
        async move { router.call(inner.map(AxumBody::new)).await }
    });
    let server = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service);
    let server = ConnectionTask::spawn(server.with_upgrades());
    let (mut sender, client) =
        hyper::client::conn::http1::handshake(TokioIo::new(client)).await.map_err(upgrade_failure)?;
    let client = ConnectionTask::spawn(client.with_upgrades());
    let mut response = sender.send_request(request).await.map_err(upgrade_failure)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let (parts, body) = response.into_parts();
        let body = AxumBody::new(Connected { body, _running: [client, server] });
        let mut body = Some(body);
        let body = poll_fn(|context| Poll::Ready(body.take().map(|body| outgoing(body, home, context)))).await;
        let body = body.unwrap_or_else(Body::empty);
        return Ok(UpgradeOutcome { parts, body, stream: RNone });
    }
    // Both connections end by themselves now, and leave the pipe to this end and to the author's `on_upgrade`.
    let upgraded = hyper::upgrade::on(&mut response).await.map_err(upgrade_failure)?;
    let (parts, _) = response.into_parts();
    Ok(UpgradeOutcome { parts, body: Body::empty(), stream: RSome(stream(upgraded, home)) })
}

/// The body of an answer that refused the upgrade; it needs the connections while it is read.
struct Connected {
    body: Incoming,
    _running: [ConnectionTask; 2],
}

impl http_body::Body for Connected {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

type Io = InRuntime<TokioIo<Upgraded>>;

fn stream(upgraded: Upgraded, home: Home) -> ByteStream {
    let state = Box::into_raw(Box::new(InRuntime::new(TokioIo::new(upgraded), home)));
    static TABLE: StreamTable = StreamTable { read, write, flush, shutdown, drop: drop_stream };
    // SAFETY: the table's functions expect this very box, and what is in it is Send.
    unsafe { ByteStream::new(state.cast(), &TABLE) }
}

/// Polls the stream; panics and errors are breaks.
///
/// # Safety
/// `state` is the box of `stream`, `waker` the host's for this call.
unsafe fn poll(
    state: *mut (),
    waker: *const WakerHeader,
    call: impl FnOnce(Pin<&mut TokioIo<Upgraded>>, &mut Context<'_>) -> Poll<io::Result<usize>>,
) -> IoPoll {
    let polled = camlock_abi::catch(|| {
        // SAFETY: the owner polls through `&mut`, so this is the only reference; the rest as the caller promises.
        unsafe {
            let io = &mut *state.cast::<Io>();
            DirectWaker.with(waker, |context| Pin::new(io).poll_inner(|io| call(io, context)))
        }
    });
    match polled {
        Ok(Poll::Pending) => IoPoll::PENDING,
        Ok(Poll::Ready(Ok(count))) => IoPoll::ready(count),
        Ok(Poll::Ready(Err(_))) | Err(_) => IoPoll::BROKEN,
    }
}

unsafe extern "C" fn read(state: *mut (), waker: *const WakerHeader, into: *mut u8, len: usize) -> IoPoll {
    // SAFETY: the host lends its waker and `len` initialised bytes for this call.
    unsafe {
        poll(state, waker, |io, context| {
            let mut buffer = ReadBuf::new(std::slice::from_raw_parts_mut(into, len));
            io.poll_read(context, &mut buffer).map_ok(|()| buffer.filled().len())
        })
    }
}

unsafe extern "C" fn write(state: *mut (), waker: *const WakerHeader, from: *const u8, len: usize) -> IoPoll {
    // SAFETY: as for read.
    unsafe { poll(state, waker, |io, context| io.poll_write(context, std::slice::from_raw_parts(from, len))) }
}

unsafe extern "C" fn flush(state: *mut (), waker: *const WakerHeader) -> IoPoll {
    // SAFETY: as for read.
    unsafe { poll(state, waker, |io, context| io.poll_flush(context).map_ok(|()| 0)) }
}

unsafe extern "C" fn shutdown(state: *mut (), waker: *const WakerHeader) -> IoPoll {
    // SAFETY: as for read.
    unsafe { poll(state, waker, |io, context| io.poll_shutdown(context).map_ok(|()| 0)) }
}

unsafe extern "C" fn drop_stream(state: *mut ()) {
    // SAFETY: called once by the owner's drop; this takes the box back.
    if let Err(caught) = camlock_abi::catch(|| drop(unsafe { Box::from_raw(state.cast::<Io>()) })) {
        crate::host::panicked("while dropping a connection", &caught);
    }
}
