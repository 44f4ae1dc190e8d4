//! What a plugin asks of its host, on its way to the services and back. What must not live here: services, and who may ask what.

use crate::{firewall::Firewall, host::HostSide, inside::Inside, request_body};
use bytes::Bytes;
use camlock_abi::{DirectWaker, FailureMessage, RequestHead, Task, TaskAnswer, decode_headers};
use camlock_policy::{AskError, AskErrorCode, Body, GenerationKey, Lease, Use};
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Takes up what is asked: the task of its answer.
pub(crate) fn take_up(side: &Arc<HostSide>, head: &RequestHead<'_>, body: camlock_abi::Body) -> Task {
    let answering: Pin<Box<dyn Future<Output = Response<Body>> + Send>> =
        match (side.services(), request(side, head, body)) {
            (_, Err(invalid)) => Box::pin(std::future::ready(Response::from(invalid))),
            (Some(services), Ok(request)) => services.ask(&side.asker(), request),
            (None, Ok(_)) => {
                let error = AskError::new(AskErrorCode::Unavailable, "not here: this host has no services");
                Box::pin(std::future::ready(Response::from(error)))
            }
        };
    let outside = HostsAnswer { answering, side: side.clone() };
    Task::of(outside, Firewall::new(side.leases.clone()), |caught| {
        tracing::error!("an ask panicked while it was dropped: {caught}");
    })
}

/// A task that only fails.
pub(crate) fn failing(failure: FailureMessage) -> Task {
    Task::of(std::future::ready(Err(failure)), DirectWaker, |_| ())
}

/// The host's own code, polled on a thread that is inside a plugin.
struct HostsAnswer {
    answering: Pin<Box<dyn Future<Output = Response<Body>> + Send>>,
    side: Arc<HostSide>,
}

impl Future for HostsAnswer {
    type Output = Result<TaskAnswer, FailureMessage>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let HostsAnswer { answering, side } = &mut *self;
        let _outside = Inside::enter(GenerationKey::NONE);
        let _runtime = side.enter_runtime();
        answering.as_mut().poll(context).map(|response| {
            let (head, body) = response.into_parts();
            let body = request_body::export(body, &side.leases);
            Ok(TaskAnswer { status: head.status.as_u16(), headers: head.headers, body })
        })
    }
}

/// What crossed, as a request that is checked.
fn request(side: &HostSide, head: &RequestHead<'_>, body: camlock_abi::Body) -> Result<Request<Body>, AskError> {
    let invalid = |why: String| AskError::new(AskErrorCode::Invalid, why);
    // The lease first, so that whatever becomes of the body is done while the plugin is there.
    let lease = side.leases.try_share(Use::Body);
    let lease = lease.ok_or_else(|| AskError::new(AskErrorCode::Unavailable, "the plugin is ending"))?;
    let body = match body.import(|| AskedBytes(lease.share(Use::Bytes))) {
        Ok(bytes) => Body::from(bytes),
        Err(stream) => Body::stream(AskedBody { stream, plugin: side.leases.generation() }),
    };
    let method =
        Method::from_bytes(head.method.as_bytes()).map_err(|_| invalid(format!("{:?} is no method", head.method)))?;
    let target: Uri = head.target.as_str().parse().map_err(|why| invalid(format!("a bad target: {why}")))?;
    let headers =
        decode_headers(head.headers, HeaderMap::new(), None).map_err(|refused| invalid(refused.to_string()))?;
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = target;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The body of an ask, whose code is the plugin's.
struct AskedBody {
    stream: camlock_abi::ImportBody<AskedBytes>,
    plugin: GenerationKey,
}

impl http_body::Body for AskedBody {
    type Data = Bytes;
    type Error = FailureMessage;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FailureMessage>>> {
        let _inside = Inside::enter(self.plugin);
        Pin::new(&mut self.stream).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.stream.size_hint()
    }
}

/// A lease for the bytes of a body: cloned for each run of them.
struct AskedBytes(Lease);

impl Clone for AskedBytes {
    fn clone(&self) -> Self {
        AskedBytes(self.0.share(Use::Bytes))
    }
}
