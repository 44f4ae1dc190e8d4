//! One request into a plugin and its answer out of it.

use crate::{
    connection::PluginConnection, functions::Functions, host::HostSide, inside::Inside, request_body,
    suspects::running::UnderWayMark, traces,
};
use abi_stable::std_types::{ROption, RSlice, RStr};
use camlock_abi::{
    BorrowedWaker, ByteStream, Failure, FailureMessage, HeaderList, HeaderPair, Peer, PollTask, RequestHead,
    ResponseHead, ResponseSink, SharedWaker, Task, decode_headers, encode_headers,
};
use camlock_policy::{Answer, Body, Call, Connection, Fault, FaultKind, Lease, Use};
use http::{HeaderMap, Response, StatusCode, Version, header::HOST};
use http_body::{Body as _, Frame};
use std::{
    marker::PhantomData,
    mem::ManuallyDrop,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// The future of an answer. Dropping it cancels the request inside the plugin.
pub(crate) struct Calling {
    state: CallStage,
    kept: Option<Arc<SharedWaker>>,
    trace_id: [u8; 16],
    /// The request's header map, which the answer's headers go into once its own have crossed.
    headers: Option<HeaderMap>,
    side: Arc<HostSide>,
    _under_way: UnderWayMark,
    /// Last: it outlives the task.
    lease: Option<Lease>,
}

/// Which function of the plugin answers.
#[derive(Clone, Copy)]
pub(crate) enum CallKind {
    Request,
    /// The request asks for another protocol on its connection.
    Upgrade,
    /// The host brings it.
    Delivery,
}

enum CallStage {
    /// A request with a body, of which nothing has crossed yet: by the first poll the body is there more often than not.
    Asked(CallKind, Box<Call>, Functions),
    Answering(Task),
    Done,
}

impl Calling {
    /// A request without a body crosses at once: the server reads on sooner, into the memory that the head lay in.
    pub(crate) fn of(
        kind: CallKind,
        mut call: Call,
        functions: Functions,
        side: Arc<HostSide>,
        lease: Lease,
    ) -> Box<Self> {
        let (trace_id, lease, under_way) = (call.trace_id, Some(lease), side.under_way());
        let mut calling = Box::new(Calling {
            state: CallStage::Done,
            kept: None,
            trace_id,
            headers: None,
            side,
            _under_way: under_way,
            lease,
        });
        if call.request.body().is_empty() {
            let body = camlock_abi::Body::empty();
            calling.state = CallStage::Answering(enter(kind, &call, functions, body, &calling.side));
            calling.headers = Some(cleared(call.request.headers_mut()));
        } else {
            calling.state = CallStage::Asked(kind, Box::new(call), functions);
        }
        calling
    }

    /// Lets go of what the plugin has of this request.
    fn leave(&mut self) {
        if let CallStage::Answering(task) = std::mem::replace(&mut self.state, CallStage::Done) {
            let _inside = Inside::enter(self.side.leases.generation());
            traces::within(self.trace_id, || drop(task));
        }
    }
}

impl Future for Calling {
    type Output = Result<Answer, Fault>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let CallStage::Asked(kind, call, functions) = &mut this.state {
            let body = std::mem::take(call.request.body_mut());
            let body = request_body::lend(body, call.request.headers(), &this.side.leases, context);
            let task = enter(*kind, call, *functions, body, &this.side);
            this.headers = Some(cleared(call.request.headers_mut()));
            this.state = CallStage::Answering(task);
        }
        let (CallStage::Answering(task), Some(lease)) = (&mut this.state, &this.lease) else {
            return Poll::Ready(Err(Fault::new(FaultKind::Contract, "polled after it was done")));
        };
        let _inside = Inside::enter(lease.generation());
        let mut receiving = Receiving { lease, side: &this.side, headers: &mut this.headers, outcome: None };
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
        this.leave();
        this.kept = None;
        this.lease = None;
        Poll::Ready(outcome.unwrap_or_else(|| {
            Err(Fault::new(FaultKind::Contract, "the plugin said that it was done and gave no answer"))
        }))
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The map without what was in it, for its memory.
fn cleared(headers: &mut HeaderMap) -> HeaderMap {
    let mut headers = std::mem::take(headers);
    headers.clear();
    headers
}

/// Hands a request to the plugin, under the caller's lease.
fn enter(
    kind: CallKind,
    call: &Call,
    Functions { root, object }: Functions,
    body: camlock_abi::Body,
    side: &HostSide,
) -> Task {
    let request = &call.request;
    let headers = request.headers();
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
    let mut list = HeaderList::new();
    encode_headers(headers, &mut list);
    // HTTP/2 has no Host header: handlers look for one all the same.
    if let Some(authority) = request.uri().authority().filter(|_| !headers.contains_key(HOST)) {
        list.push(HeaderPair {
            name: RSlice::from_slice(b"host"),
            value: RSlice::from_slice(authority.as_str().as_bytes()),
            sensitive: false,
        });
    }
    if call.tells_mount
        && let Some(prefix) = side.prefix()
    {
        list.push(HeaderPair {
            name: RSlice::from_slice(b"x-forwarded-prefix"),
            value: RSlice::from_slice(prefix.as_bytes()),
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
        headers: RSlice::from_slice(&list),
        peer: Peer::from(call.peer),
        request_id: RStr::from_str(call.request_id.as_str()),
        trace_id: call.trace_id,
        extra: RSlice::EMPTY,
    };
    let function = match kind {
        CallKind::Request => root.handle(),
        CallKind::Upgrade => root.upgrade(),
        CallKind::Delivery => root.deliver(),
    };
    let _inside = Inside::enter(side.leases.generation());
    // SAFETY: root and object belong together and are valid while a lease is held (`Functions`); `Calling` has one.
    traces::within(call.trace_id, || unsafe { function(object, &head, body) })
}

/// Where a plugin's answer is put together, on the stack of `Calling::poll`.
struct Receiving<'a> {
    lease: &'a Lease,
    side: &'a Arc<HostSide>,
    headers: &'a mut Option<HeaderMap>,
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
    let (lease, side) = (receiving.lease, receiving.side);
    let room = receiving.headers.take().unwrap_or_default();
    receiving.take(|| answer(head, body, stream.into_option(), room, lease, side));
}

unsafe extern "C" fn take_failure(context: *mut (), failure: &Failure<'_>) {
    // SAFETY: as above.
    let receiving = unsafe { &mut *context.cast::<Receiving<'_>>() };
    let side = receiving.side;
    receiving.take(|| Err(side.fault(failure.into())));
}

impl Receiving<'_> {
    /// Takes an outcome; a panic of ours goes no further than this, for a plugin stands between us and our caller.
    fn take(&mut self, outcome: impl FnOnce() -> Result<Answer, Fault>) {
        let outcome = camlock_abi::catch(outcome).unwrap_or_else(|caught| {
            Err(Fault::new(
                FaultKind::Contract,
                format!("the host panicked over the plugin's answer: {}", caught.message),
            ))
        });
        // Assigning drops what an earlier call put there.
        self.outcome = Some(outcome);
    }
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
    room: HeaderMap,
    lease: &Lease,
    side: &Arc<HostSide>,
) -> Result<Answer, Fault> {
    // The leases are made before anything can fail, so that what the plugin gave is always dropped under one.
    let connection = stream.map(|stream| {
        Box::pin(PluginConnection::new(stream, lease.share(Use::Connection), side.under_way())) as Connection
    });
    let body = match body.import(|| BytesLease(lease.share(Use::Body))) {
        Ok(bytes) => Body::from(bytes),
        Err(stream) => Body::stream(PluginResponseBody { stream, _under_way: side.under_way(), side: side.clone() }),
    };
    let refused = |reason| Err(Fault::new(FaultKind::Contract, reason));
    let length = known_length(&body, head.status);
    let mut response = Response::new(body);
    match StatusCode::from_u16(head.status) {
        Ok(status) => *response.status_mut() = status,
        Err(_) => return refused(format!("the plugin answered with status {}, which is none", head.status)),
    }
    match decode_headers(head.headers, room, length) {
        Ok(headers) => {
            // An empty map has nothing to drop, and dropping it would cost most of what this does.
            let _empty = ManuallyDrop::new(std::mem::replace(response.headers_mut(), headers));
        }
        Err(reason) => return refused(format!("the plugin answered with a header that cannot be sent: {reason}")),
    }
    Ok(Answer { response, connection })
}

/// The length of a body that is whole: whoever sends it says so without being told, where the status lets it have one.
fn known_length(body: &Body, status: u16) -> Option<u64> {
    let says_so = status >= 200 && !matches!(status, 204 | 304) && !body.is_stream() && !body.is_empty();
    says_so.then(|| body.size_hint().lower())
}

/// A response's body on its way out of the plugin.
struct PluginResponseBody {
    stream: camlock_abi::ImportBody<BytesLease>,
    _under_way: UnderWayMark,
    side: Arc<HostSide>,
}

impl http_body::Body for PluginResponseBody {
    type Data = bytes::Bytes;
    type Error = FailureMessage;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, FailureMessage>>> {
        let _inside = Inside::enter(self.side.leases.generation());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{surroundings::PluginSurroundings, symbols::Symbols};

    #[test]
    fn a_panic_over_an_answer_does_not_cross() {
        let lease = Lease::first(|| ());
        let nowhere = std::path::PathBuf::new();
        let surroundings = PluginSurroundings::new("plugin", None, &nowhere, &Default::default());
        let side = HostSide::new("plugin", 1, lease.watch(), None, Symbols::of(nowhere), surroundings);
        let mut headers = None;
        let mut receiving = Receiving { lease: &lease, side: &side, headers: &mut headers, outcome: None };
        receiving.take(|| panic!("too long"));
        let Some(Err(fault)) = receiving.outcome else { panic!("a fault") };
        assert_eq!(fault.kind, FaultKind::Contract);
        assert_eq!(fault.message, "the host panicked over the plugin's answer: too long");
    }
}
