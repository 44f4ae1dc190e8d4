//! Making tasks of futures, and futures of tasks: what both sides do, for each asks the other.
//!
//! A plugin's requests have makers and readers of their own, which move less (`respond` in the SDK, `call` in the loader). What
//! must not live here: what is asked.

use crate::{
    Body, BorrowWaker, BorrowedWaker, ByteStream, Caught, Failure, FailureMessage, HeaderList, PollTask, ResponseHead,
    ResponseSink, SharedWaker, Task, TaskTable, WakerHeader, decode_headers, encode_headers, exported::ExportedFuture,
};
use abi_stable::std_types::{RNone, ROption, RSlice};
use http::HeaderMap;
use std::{
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// What a task comes to.
pub struct TaskAnswer {
    /// 100 to 999, if it is a sound one.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; of a foreign answer it is to be imported.
    pub body: Body,
}

impl Task {
    /// A task of a future of this side. `dropped_badly` hears of a panic in the future's drop.
    pub fn of<F, W>(future: F, waker: W, dropped_badly: fn(&Caught)) -> Self
    where
        F: Future<Output = Result<TaskAnswer, FailureMessage>> + Send + 'static,
        W: BorrowWaker + Send + 'static,
    {
        let state = ExportedFuture::boxed(future, waker, dropped_badly);
        let table = const { &TaskTable { poll: exported_poll::<F, W>, drop: ExportedFuture::<F, W>::free } };
        // SAFETY: the table's functions expect this very box, and both future and waker are Send.
        unsafe { Task::new(state, table) }
    }
}

unsafe extern "C" fn exported_poll<F, W>(state: *mut (), waker: *const WakerHeader, sink: &ResponseSink<'_>) -> PollTask
where
    F: Future<Output = Result<TaskAnswer, FailureMessage>> + Send + 'static,
    W: BorrowWaker,
{
    // SAFETY: `state` is the box made by `Task::of`, alive until drop; its owner polls through `&mut`, and lends the waker.
    match unsafe { ExportedFuture::<F, W>::poll(state, waker) } {
        Poll::Pending => return PollTask::Pending,
        Poll::Ready(Ok(TaskAnswer { status, headers, body })) => {
            let mut list = HeaderList::new();
            encode_headers(&headers, &mut list);
            let head = ResponseHead { status, headers: RSlice::from_slice(&list) };
            // SAFETY: the sink is the caller's, valid for this call, and used once.
            unsafe { (sink.response)(sink.context, &head, body, RNone) }
        }
        // SAFETY: as above.
        Poll::Ready(Err(failure)) => unsafe { (sink.failed)(sink.context, &failure.borrow()) },
    }
    PollTask::Done
}

/// A task of the other side, as a future of this one.
pub struct ImportTask {
    /// None once it is done: the other side's memory is let go at once.
    task: Option<Task>,
    kept: Option<Arc<SharedWaker>>,
}

impl ImportTask {
    /// The future of a task.
    pub fn new(task: Task) -> Self {
        ImportTask { task: Some(task), kept: None }
    }
}

/// What the sink's functions fill in.
type Outcome = Option<Result<TaskAnswer, FailureMessage>>;

unsafe extern "C" fn sink_response(
    context: *mut (),
    head: &ResponseHead<'_>,
    body: Body,
    _stream: ROption<ByteStream>,
) {
    let status = head.status;
    let answer = crate::catch(|| decode_headers(head.headers, HeaderMap::new(), None));
    let answer = match answer {
        Ok(Ok(headers)) => Ok(TaskAnswer { status, headers, body }),
        Ok(Err(refused)) => Err(FailureMessage::error(refused.to_string())),
        Err(caught) => Err(caught),
    };
    // SAFETY: `context` is the outcome on the stack of `poll` below, which waits for this call.
    unsafe { *context.cast::<Outcome>() = Some(answer) };
}

unsafe extern "C" fn sink_failed(context: *mut (), failure: &Failure<'_>) {
    // SAFETY: as above.
    unsafe { *context.cast::<Outcome>() = Some(Err(failure.into())) };
}

impl Future for ImportTask {
    type Output = Result<TaskAnswer, FailureMessage>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ImportTask { task: place, kept } = &mut *self;
        let Some(task) = place else {
            return Poll::Ready(Err(FailureMessage::error("polled after it was done")));
        };
        let mut outcome: Outcome = None;
        let sink = ResponseSink {
            context: (&raw mut outcome).cast(),
            response: sink_response,
            failed: sink_failed,
            lifetime: PhantomData,
        };
        // SAFETY: the waker is lent for this call.
        let polled = BorrowedWaker::poll(context.waker(), kept, |waker| unsafe { task.poll(waker, &sink) });
        if polled == PollTask::Pending {
            return Poll::Pending;
        }
        (*place, *kept) = (None, None);
        Poll::Ready(outcome.unwrap_or_else(|| Err(FailureMessage::error("done without an answer"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DirectWaker;
    use bytes::Bytes;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn task(future: impl Future<Output = Result<TaskAnswer, FailureMessage>> + Send + 'static) -> ImportTask {
        ImportTask::new(Task::of(future, DirectWaker, |_| ()))
    }

    fn poll(task: &mut ImportTask) -> Poll<Result<TaskAnswer, FailureMessage>> {
        Pin::new(task).poll(&mut Context::from_waker(std::task::Waker::noop()))
    }

    #[test]
    fn an_answer_crosses_whole() {
        let mut headers = HeaderMap::new();
        headers.insert("x-code", "denied".parse().unwrap());
        let answer = TaskAnswer { status: 403, headers: headers.clone(), body: Body::whole(Bytes::from_static(b"no")) };
        let mut crossing = task(async { Ok(answer) });
        let Poll::Ready(Ok(answer)) = poll(&mut crossing) else { panic!("it is done") };
        assert_eq!((answer.status, answer.headers), (403, headers));
        assert_eq!(answer.body.import(|| ()).ok().unwrap(), "no");
        let Poll::Ready(Err(failure)) = poll(&mut crossing) else { panic!("once") };
        assert_eq!(failure.message, "polled after it was done");
    }

    #[test]
    fn failures_and_panics_cross() {
        let Poll::Ready(Err(failure)) = poll(&mut task(async { Err(FailureMessage::error("not today")) })) else {
            panic!("it is done")
        };
        assert_eq!(failure.message, "not today");
        let Poll::Ready(Err(failure)) = poll(&mut task(async { panic!("on purpose") })) else { panic!("it is done") };
        assert_eq!(failure.message, "on purpose");
    }

    #[test]
    fn dropping_it_cancels_it() {
        static DROPPED: AtomicUsize = AtomicUsize::new(0);
        struct Noted;
        impl Drop for Noted {
            fn drop(&mut self) {
                DROPPED.fetch_add(1, Ordering::SeqCst);
            }
        }
        let mut pending = task(async {
            let _noted = Noted;
            std::future::pending().await
        });
        assert!(poll(&mut pending).is_pending());
        drop(pending);
        assert_eq!(DROPPED.load(Ordering::SeqCst), 1);
    }
}
