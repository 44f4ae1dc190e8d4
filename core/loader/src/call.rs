//! One request into a plugin and its answer out of it.

use crate::{connection::PluginConnection, firewall::Firewall, footprint::crossing, host::HostSide, traces};
use abi_stable::std_types::{ROption, RSlice, RStr};
use camlock_abi::{
    BorrowedWaker, ByteStream, Caught, ExportedBody, Failure, FailureMessage, HeaderList, HeaderPair, Peer, PollTask,
    RequestHead, ResponseHead, ResponseSink, SharedWaker, Task, decode_headers, encode_headers,
};
use camlock_core::{Answer, Body, BodyError, Call, Connection, Fault, FaultKind, Lease, Use};
use http::{Response, StatusCode, Version, header::HOST};
use http_body::Frame;
use std::{
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Hands a request to `enter`, which crosses, and returns the future of its answer.
pub(crate) fn begin(
    call: Call,
    side: &Arc<HostSide>,
    lease: Lease,
    enter: impl FnOnce(&RequestHead<'_>, camlock_abi::Body) -> Task,
) -> Calling {
    // The request stays where it is: moving its head about costs more than reading it.
    let mut request = call.request;
    let body = std::mem::take(request.body_mut());
    let request = &request;
    let whole = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let mounted = whole.get(call.mount..).unwrap_or(whole);
    // The mount itself, without a slash behind it, is the plugin's root.
    let with_slash;
    let target = if mounted.starts_with('/') {
        mounted
    } else {
        with_slash = format!("/{mounted}");
        &with_slash
    };
    let mut headers = HeaderList::new();
    encode_headers(request.headers(), &mut headers);
    // HTTP/2 has no Host header: handlers look for one all the same.
    if let Some(authority) = request.uri().authority().filter(|_| !request.headers().contains_key(HOST)) {
        headers.push(HeaderPair {
            name: RSlice::from_slice(b"host"),
            value: RSlice::from_slice(authority.as_str().as_bytes()),
            sensitive: false,
        });
    }
    let head = RequestHead {
        method: RStr::from_str(request.method().as_str()),
        target: RStr::from_str(target),
        original_target: RStr::from_str(whole),
        version: match request.version() {
            Version::HTTP_10 => 10,
            Version::HTTP_2 => 20,
            Version::HTTP_3 => 30,
            _ => 11,
        },
        headers: RSlice::from_slice(&headers),
        peer: Peer::from(call.peer),
        request_id: RStr::from_str(&call.request_id),
        trace_id: call.trace_id,
        extra: RSlice::EMPTY,
    };
    let body = match body.into_whole() {
        Ok(bytes) if bytes.is_empty() => camlock_abi::Body::empty(),
        Ok(bytes) => camlock_abi::Body::whole(bytes),
        Err(stream) => camlock_abi::Body::stream(RequestBody(stream), Firewall::new(side.leases.clone())),
    };
    crossing();
    let task = traces::within(call.trace_id, || enter(&head, body));
    Calling { task: Some(task), kept: None, trace_id: call.trace_id, side: side.clone(), lease: Some(lease) }
}

/// A request's body on its way into the plugin.
struct RequestBody(Body);

impl http_body::Body for RequestBody {
    type Data = bytes::Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, BodyError>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.size_hint()
    }
}

impl ExportedBody for RequestBody {
    fn describe(error: BodyError) -> FailureMessage {
        FailureMessage::error(error.to_string())
    }

    fn dropped_badly(caught: &Caught) {
        tracing::error!("a request body panicked while it was dropped: {caught}");
    }
}

/// The future of an answer. Dropping it cancels the request inside the plugin.
pub(crate) struct Calling {
    task: Option<Task>,
    kept: Option<Arc<SharedWaker>>,
    trace_id: [u8; 16],
    side: Arc<HostSide>,
    /// Last: it outlives the task.
    lease: Option<Lease>,
}

impl Future for Calling {
    type Output = Result<Answer, Fault>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        crossing();
        let this = &mut *self;
        let Some(task) = &mut this.task else {
            return Poll::Ready(Err(Fault::new(FaultKind::Contract, "polled after it was done")));
        };
        let Some(lease) = &this.lease else { unreachable!("it goes with the task") };
        let mut receiving = Receiving { lease, side: &this.side, outcome: None };
        let sink = ResponseSink {
            context: (&raw mut receiving).cast(),
            response: take_response,
            failed: take_failure,
            lifetime: PhantomData,
        };
        let polled = traces::within(this.trace_id, || {
            // SAFETY: the waker is lent for this call.
            BorrowedWaker::poll(context.waker(), &mut this.kept, |waker| unsafe { task.poll(waker, &sink) })
        });
        if polled == PollTask::Pending {
            return Poll::Pending;
        }
        let outcome = receiving.outcome;
        this.task = None;
        this.kept = None;
        this.lease = None;
        Poll::Ready(outcome.unwrap_or_else(|| {
            Err(Fault::new(FaultKind::Contract, "the plugin said that it was done and gave no answer"))
        }))
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            crossing();
            traces::within(self.trace_id, || drop(task));
        }
    }
}

/// Where a plugin's answer is put together, on the stack of `Calling::poll`.
struct Receiving<'a> {
    lease: &'a Lease,
    side: &'a Arc<HostSide>,
    outcome: Option<Result<Answer, Fault>>,
}

unsafe extern "C" fn take_response(
    context: *mut (),
    head: &ResponseHead<'_>,
    body: camlock_abi::Body,
    stream: ROption<ByteStream>,
) {
    // SAFETY: `context` is the `Receiving` of `Calling::poll`, which waits for this call.
    let receiving = unsafe { &mut *context.cast::<Receiving<'_>>() };
    // Assigning drops what an earlier call put there.
    receiving.outcome = Some(answer(head, body, stream.into_option(), receiving.lease, receiving.side));
}

unsafe extern "C" fn take_failure(context: *mut (), failure: &Failure<'_>) {
    // SAFETY: as above.
    let receiving = unsafe { &mut *context.cast::<Receiving<'_>>() };
    receiving.outcome = Some(Err(receiving.side.fault(failure.into())));
}

/// A lease for the bytes of a body: cloned for each run of them.
struct BytesLease(Lease);

impl Clone for BytesLease {
    fn clone(&self) -> Self {
        BytesLease(self.0.share(Use::Bytes))
    }
}

fn answer(
    head: &ResponseHead<'_>,
    body: camlock_abi::Body,
    stream: Option<ByteStream>,
    lease: &Lease,
    side: &Arc<HostSide>,
) -> Result<Answer, Fault> {
    // The leases are made before anything can fail, so that what the plugin gave is always dropped under one.
    let connection =
        stream.map(|stream| Box::pin(PluginConnection::new(stream, lease.share(Use::Connection))) as Connection);
    let body = match body.import(|| BytesLease(lease.share(Use::Body))) {
        Ok(bytes) => Body::from(bytes),
        Err(stream) => Body::stream(ResponseBody { stream, side: side.clone() }),
    };
    let refused = |reason| Err(Fault::new(FaultKind::Contract, reason));
    let mut response = Response::new(body);
    match StatusCode::from_u16(head.status) {
        Ok(status) => *response.status_mut() = status,
        Err(_) => return refused(format!("the plugin answered with status {}, which is none", head.status)),
    }
    match decode_headers(head.headers) {
        Ok(headers) => *response.headers_mut() = headers,
        Err(reason) => return refused(format!("the plugin answered with a header that cannot be sent: {reason}")),
    }
    Ok(Answer { response, connection })
}

/// A response's body on its way out of the plugin.
struct ResponseBody {
    stream: camlock_abi::ImportBody<BytesLease>,
    side: Arc<HostSide>,
}

impl http_body::Body for ResponseBody {
    type Data = bytes::Bytes;
    type Error = FailureMessage;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, FailureMessage>>> {
        crossing();
        let polled = Pin::new(&mut self.stream).poll_frame(context);
        if let Poll::Ready(Some(Err(failure))) = &polled {
            // The answer is under way: all that the client will see is that it breaks off.
            self.side.report("in a response body", failure.clone());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.stream.size_hint()
    }
}
