//! A request in the author's router, as a task that crosses.

use crate::{
    host::panicked,
    in_runtime::InRuntime,
    instance::{Door, Home},
    request,
};
use axum::{body::Body as AxumBody, routing::future::RouteFuture};
use bytes::Bytes;
use camlock_abi::{
    Body, BorrowWaker, ByteStream, Caught, DirectWaker, ExportedBody, FailureMessage, HeaderList, PollTask, RSlice,
    RequestHead, ResponseHead, ResponseSink, Task, TaskTable, WakerHeader,
    abi_stable::std_types::{RNone, ROption},
    encode_headers,
};
use http::{HeaderMap, Request, StatusCode, response::Parts};
use http_body::{Body as _, Frame, SizeHint};
use std::{
    convert::Infallible,
    future::Future,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower_service::Service;

/// What the outcome of an upgrade is made of.
pub(crate) struct UpgradeOutcome {
    pub(crate) parts: Parts,
    pub(crate) body: Body,
    pub(crate) stream: ROption<ByteStream>,
}

/// Hands an answer over.
fn give(status: StatusCode, headers: &HeaderMap, body: Body, stream: ROption<ByteStream>, sink: &ResponseSink<'_>) {
    let mut list = HeaderList::new();
    encode_headers(headers, &mut list);
    let head = ResponseHead { status: status.as_u16(), headers: RSlice::from_slice(&list) };
    // SAFETY: the sink is the host's, valid for the poll that this is a part of, and used once.
    unsafe { (sink.response)(sink.context, &head, body, stream) };
}

/// A future that answers into a sink.
pub(crate) trait CrossingFuture: Send + 'static {
    /// Polls; the sink was used if the task is done.
    fn poll_into(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        sink: &ResponseSink<'_>,
    ) -> Poll<Result<(), FailureMessage>>;

    /// Does away with what the task lay in, which is empty now.
    fn free(place: Box<MaybeUninit<InRuntime<Self>>>, _home: Home)
    where
        Self: Sized,
    {
        drop(place);
    }
}

/// An ordinary future, where what moving its answer costs is of no account.
pub(crate) struct Ordinary<F>(pub(crate) F);

impl<F: Future<Output = Result<UpgradeOutcome, FailureMessage>> + Send + 'static> CrossingFuture for Ordinary<F> {
    fn poll_into(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        sink: &ResponseSink<'_>,
    ) -> Poll<Result<(), FailureMessage>> {
        // SAFETY: the future is pinned with this value.
        let future = unsafe { self.map_unchecked_mut(|this| &mut this.0) };
        future.poll(context).map_ok(|UpgradeOutcome { parts, body, stream }| {
            give(parts.status, &parts.headers, body, stream, sink);
        })
    }
}

/// Makes the task of a future.
pub(crate) fn task<A: CrossingFuture>(answering: A, home: Home) -> Task {
    task_of(Box::new(InRuntime::new(answering, home)))
}

fn task_of<A: CrossingFuture>(state: Box<InRuntime<A>>) -> Task {
    let state = Box::into_raw(state);
    // SAFETY: the table's functions expect this very box, and the future is Send.
    unsafe { Task::new(state.cast(), const { &TaskTable { poll: poll::<A>, drop: drop_task::<A> } }) }
}

/// A task that only fails.
pub(crate) fn failing(failure: FailureMessage, home: Home) -> Task {
    task(Ordinary(std::future::ready(Err(failure))), home)
}

unsafe extern "C" fn poll<A: CrossingFuture>(
    state: *mut (),
    waker: *const WakerHeader,
    sink: &ResponseSink<'_>,
) -> PollTask {
    let polled = camlock_abi::catch(|| {
        // SAFETY: `state` is the box of `task`, which is not moved until it is dropped; its owner polls through `&mut`.
        let mut inside = unsafe { Pin::new_unchecked(&mut *state.cast::<InRuntime<A>>()) };
        let polled = inside.as_mut().poll_inner(|answering| {
            // SAFETY: the waker is the host's for this call.
            unsafe { DirectWaker.with(waker, |context| answering.poll_into(context, sink)) }
        });
        if polled.is_ready() {
            inside.is_spent();
        }
        polled
    });
    match polled {
        Ok(Poll::Pending) => return PollTask::Pending,
        Ok(Poll::Ready(Ok(()))) => {}
        Ok(Poll::Ready(Err(failure))) | Err(failure) => {
            // SAFETY: the sink is the host's, valid for this call. After a panic it may have been used: the host takes the last.
            unsafe { (sink.failed)(sink.context, &failure.borrow()) }
        }
    }
    PollTask::Done
}

unsafe extern "C" fn drop_task<A: CrossingFuture>(state: *mut ()) {
    let task = state.cast::<InRuntime<A>>();
    // SAFETY: called once by the owner's drop; `state` is the box of `task_of`, whose content goes here.
    let dropped = camlock_abi::catch(|| unsafe {
        let home = (*task).home();
        std::ptr::drop_in_place(task);
        A::free(Box::from_raw(task.cast::<MaybeUninit<InRuntime<A>>>()), home);
    });
    if let Err(caught) = dropped {
        panicked("while dropping a request", &caught);
    }
}

/// Routes an ordinary request.
pub(crate) fn handle(home: Home, door: Door, head: &RequestHead<'_>, mut body: Body) -> Task {
    let handled = camlock_abi::catch(|| {
        let mut state = Handling::boxed(home, door);
        if let Some(request) = &mut state.get_mut().request {
            request::fill(request, head, &mut body, home.room(), home.spares())?;
        }
        Ok(task_of(state))
    });
    match handled {
        Ok(Ok(task)) => task,
        Ok(Err(failure)) | Err(failure) => failing(failure, home),
    }
}

/// The request, then the router's future. Both lie in the task's box: the request is made there, and the future is never moved.
pub(crate) struct Handling {
    request: Option<Request<AxumBody>>,
    routing: Option<RouteFuture<Infallible>>,
    door: Door,
    home: Home,
}

impl Handling {
    /// One with an empty request.
    fn boxed(home: Home, door: Door) -> Box<InRuntime<Self>> {
        // SAFETY: all fields are written.
        unsafe {
            InRuntime::<Self>::boxed(home.spares().task(), home, |place| {
                let place = place.as_mut_ptr();
                (&raw mut (*place).request).write(Some(Request::default()));
                (&raw mut (*place).routing).write(None);
                (&raw mut (*place).door).write(door);
                (&raw mut (*place).home).write(home);
            })
        }
    }
}

impl CrossingFuture for Handling {
    fn poll_into(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        sink: &ResponseSink<'_>,
    ) -> Poll<Result<(), FailureMessage>> {
        // SAFETY: the routing future is pinned in place: it is only replaced, never moved out.
        let this = unsafe { self.get_unchecked_mut() };
        if let Some(request) = this.request.take() {
            this.routing = Some(this.home.router(this.door)?.clone().call(request));
        }
        let Some(routing) = &mut this.routing else {
            return Poll::Ready(Err(FailureMessage::error("polled after it was done")));
        };
        // SAFETY: as above.
        let mut response = match ready!(unsafe { Pin::new_unchecked(routing) }.poll(context)) {
            Ok(response) => response,
            Err(never) => match never {},
        };
        this.routing = None;
        let body = outgoing(std::mem::take(response.body_mut()), this.home, context);
        give(response.status(), response.headers(), body, RNone, sink);
        this.home.spares().keep(std::mem::take(response.headers_mut()));
        Poll::Ready(Ok(()))
    }

    fn free(place: Box<MaybeUninit<InRuntime<Self>>>, home: Home) {
        home.spares().keep_task(place);
    }
}

/// A response's body as it crosses. One that is ready at once crosses whole, without being polled from the other side.
pub(crate) fn outgoing(mut body: AxumBody, home: Home, context: &mut Context<'_>) -> Body {
    if body.is_end_stream() {
        return Body::empty();
    }
    let first = match Pin::new(&mut body).poll_frame(context) {
        Poll::Ready(None) => return Body::empty(),
        Poll::Ready(Some(Ok(frame))) if frame.is_data() && body.is_end_stream() => {
            return Body::whole(frame.into_data().unwrap_or_default());
        }
        Poll::Ready(Some(frame)) => Some(frame),
        Poll::Pending => None,
    };
    Body::stream(StreamedBody { first, inside: InRuntime::new(body, home) }, DirectWaker)
}

/// A response's body that streams.
struct StreamedBody {
    first: Option<Result<Frame<Bytes>, axum::Error>>,
    inside: InRuntime<AxumBody>,
}

impl http_body::Body for StreamedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        Pin::new(&mut self.inside).poll_inner(|body| body.poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.inside.get().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.inside.get().size_hint();
        if let Some(Ok(first)) = &self.first
            && let Some(data) = first.data_ref()
        {
            let len = data.len() as u64;
            let (lower, upper) = (hint.lower().saturating_add(len), hint.upper());
            hint = SizeHint::new();
            hint.set_lower(lower);
            if let Some(upper) = upper {
                hint.set_upper(upper.saturating_add(len));
            }
        }
        hint
    }
}

impl ExportedBody for StreamedBody {
    fn describe(error: axum::Error) -> FailureMessage {
        FailureMessage::error(error.to_string())
    }

    fn dropped_badly(caught: &Caught) {
        panicked("while dropping a response body", caught);
    }
}
