//! A request in the author's router, as a task that crosses.

use crate::{host::panicked, instance::Home, request, runtime::Inside};
use axum::{body::Body as AxumBody, routing::future::RouteFuture};
use bytes::Bytes;
use camlock_abi::{
    Body, BorrowWaker, ByteStream, Caught, DirectWaker, ExportedBody, FailureMessage, PollTask, RequestHead,
    ResponseHead, ResponseSink, Task, TaskTable, WakerHeader,
    abi_stable::std_types::{RNone, ROption},
    encode_headers,
};
use http::{Response, response::Parts};
use http_body::{Body as _, Frame, SizeHint};
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower_service::Service;

/// What a task's outcome is made of.
pub(crate) struct Answer {
    pub(crate) parts: Parts,
    pub(crate) body: Body,
    pub(crate) stream: ROption<ByteStream>,
}

/// A future that answers.
pub(crate) trait Answering: Future<Output = Result<Answer, FailureMessage>> + Send + 'static {}
impl<F: Future<Output = Result<Answer, FailureMessage>> + Send + 'static> Answering for F {}

/// Makes the task of a future.
pub(crate) fn task<F: Answering>(future: F, home: Home) -> Task {
    let state = Box::into_raw(Box::new(Inside::new(future, home)));
    // SAFETY: the table's functions expect this very box, and the future is Send.
    unsafe { Task::new(state.cast(), const { &TaskTable { poll: poll::<F>, drop: drop_task::<F> } }) }
}

unsafe extern "C" fn poll<F: Answering>(
    state: *mut (),
    waker: *const WakerHeader,
    sink: &ResponseSink<'_>,
) -> PollTask {
    let polled = camlock_abi::catch(|| {
        // SAFETY: `state` is the box of `task`, which is not moved until it is dropped; its owner polls through `&mut`.
        let future = unsafe { Pin::new_unchecked(&mut *state.cast::<Inside<F>>()) };
        // SAFETY: the waker is the host's for this call.
        unsafe { DirectWaker.with(waker, |context| future.poll(context)) }
    });
    match polled {
        Ok(Poll::Pending) => return PollTask::Pending,
        Ok(Poll::Ready(Ok(Answer { parts, body, stream }))) => {
            let headers = encode_headers(&parts.headers);
            let head = ResponseHead { status: parts.status.as_u16(), headers: headers.as_slice() };
            // SAFETY: the sink is the host's, valid for this call, and used once.
            unsafe { (sink.response)(sink.context, &head, body, stream) };
            // The parts hold extensions, whose drop is the author's.
            drop(headers);
            if let Err(caught) = camlock_abi::catch(|| drop(parts)) {
                panicked("while dropping a response", &caught);
            }
        }
        Ok(Poll::Ready(Err(failure))) | Err(failure) => {
            // SAFETY: as above.
            unsafe { (sink.failed)(sink.context, &failure.borrow()) }
        }
    }
    PollTask::Done
}

unsafe extern "C" fn drop_task<F: Answering>(state: *mut ()) {
    // SAFETY: called once by the owner's drop; this takes the box back.
    if let Err(caught) = camlock_abi::catch(|| drop(unsafe { Box::from_raw(state.cast::<Inside<F>>()) })) {
        panicked("while dropping a request", &caught);
    }
}

/// Routes an ordinary request.
pub(crate) fn handle(home: Home, head: &RequestHead<'_>, body: Body) -> Task {
    let made = camlock_abi::catch(|| {
        let request = request::build(head, body)?;
        let mut router = home.router()?.clone();
        Ok(home.runtime().within(|| router.call(request), |_| false))
    });
    match made {
        Ok(Ok(routing)) => task(Handling { state: State::Routing(routing), home }, home),
        Ok(Err(failure)) | Err(failure) => task(std::future::ready(Err(failure)), home),
    }
}

/// The router's future and then the first frame of what it answers, in one state without a box of its own.
struct Handling {
    state: State,
    home: Home,
}

enum State {
    Routing(RouteFuture<Infallible>),
    Answered(Option<Response<AxumBody>>),
}

impl Future for Handling {
    type Output = Result<Answer, FailureMessage>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: the routing future is pinned in place: it is only replaced, never moved out.
        let this = unsafe { self.get_unchecked_mut() };
        if let State::Routing(routing) = &mut this.state {
            // SAFETY: as above.
            let response = match ready!(unsafe { Pin::new_unchecked(routing) }.poll(context)) {
                Ok(response) => response,
                Err(never) => match never {},
            };
            this.state = State::Answered(Some(response));
        }
        let State::Answered(response) = &mut this.state else { unreachable!("just set") };
        let Some(response) = response.take() else {
            return Poll::Ready(Err(FailureMessage::error("polled after it was done")));
        };
        let (parts, body) = response.into_parts();
        Poll::Ready(Ok(Answer { parts, body: outgoing(body, this.home, context), stream: RNone }))
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
    Body::stream(ResponseBody { first, inside: Inside::new(body, home) }, DirectWaker)
}

/// A response's body that streams.
struct ResponseBody {
    first: Option<Result<Frame<Bytes>, axum::Error>>,
    inside: Inside<AxumBody>,
}

impl http_body::Body for ResponseBody {
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

impl ExportedBody for ResponseBody {
    fn describe(error: axum::Error) -> FailureMessage {
        FailureMessage::error(error.to_string())
    }

    fn dropped_badly(caught: &Caught) {
        panicked("while dropping a response body", caught);
    }
}
