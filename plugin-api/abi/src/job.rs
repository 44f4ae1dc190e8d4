//! A future whose outcome is nothing, a few bytes or a failure: a plugin's lifecycle, a timer, a spawned task.

use crate::{BorrowWaker, BorrowedWaker, Failure, FailureMessage, SharedWaker, WakerHeader, exported::ExportedFuture};
use abi_stable::{StableAbi, std_types::RSlice};
use std::{
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// How a poll of a job ended.
#[repr(u8)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollJob {
    /// Not yet; the waker will be woken.
    Pending,
    /// The sink was given the outcome.
    Done,
}

/// Where a job's outcome goes. Borrowed for the poll; one of the functions is called, once, before `Done`.
#[repr(C)]
#[derive(StableAbi)]
pub struct JobSink<'a> {
    context: *mut (),
    done: unsafe extern "C" fn(*mut (), RSlice<'_, u8>),
    failed: unsafe extern "C" fn(*mut (), &Failure<'_>),
    lifetime: PhantomData<&'a mut ()>,
}

/// The functions of a job.
#[repr(C)]
#[derive(StableAbi)]
pub struct JobTable {
    poll: unsafe extern "C" fn(*mut (), *const WakerHeader, &JobSink<'_>) -> PollJob,
    drop: unsafe extern "C" fn(*mut ()),
}

/// An owned job, polled as an ordinary future by the side that receives it.
#[repr(C)]
#[derive(StableAbi)]
pub struct Job {
    state: *mut (),
    table: *const JobTable,
    /// The clone of the receiver's waker that the maker holds, as a `SharedWaker` of the receiver; see `take_kept`.
    kept: *const (),
}

// SAFETY: `Job::new` takes a `Send` future; the kept waker is an `Arc` of Send and Sync parts.
unsafe impl Send for Job {}

impl Job {
    /// Wraps a future of this side. `dropped_badly` hears of a panic in the future's drop.
    pub fn new<F, W>(future: F, waker: W, dropped_badly: fn(&crate::Caught)) -> Self
    where
        F: Future<Output = Result<Vec<u8>, FailureMessage>> + Send + 'static,
        W: BorrowWaker + Send + 'static,
    {
        let state = ExportedFuture::boxed(future, waker, dropped_badly);
        let table = const { &JobTable { poll: exported_poll::<F, W>, drop: ExportedFuture::<F, W>::free } };
        Job { state, table, kept: std::ptr::null() }
    }

    fn take_kept(&mut self) -> Option<Arc<SharedWaker>> {
        let kept = std::mem::replace(&mut self.kept, std::ptr::null());
        // SAFETY: `kept` is null or came from `Arc::into_raw` in `poll` below, on this side, and is taken once.
        (!kept.is_null()).then(|| unsafe { Arc::from_raw(kept.cast::<SharedWaker>()) })
    }
}

unsafe extern "C" fn exported_poll<F, W>(state: *mut (), waker: *const WakerHeader, sink: &JobSink<'_>) -> PollJob
where
    F: Future<Output = Result<Vec<u8>, FailureMessage>> + Send + 'static,
    W: BorrowWaker,
{
    // SAFETY: `state` is the box made by `Job::new`, alive until drop; its owner polls through `&mut`, and lends the waker.
    match unsafe { ExportedFuture::<F, W>::poll(state, waker) } {
        Poll::Pending => return PollJob::Pending,
        // SAFETY: the sink is the caller's, valid for this call, and used once.
        Poll::Ready(Ok(bytes)) => unsafe { (sink.done)(sink.context, RSlice::from_slice(&bytes)) },
        // SAFETY: as above.
        Poll::Ready(Err(failure)) => unsafe { (sink.failed)(sink.context, &failure.borrow()) },
    }
    PollJob::Done
}

/// What the sink's functions fill in.
type Outcome = Option<Result<Vec<u8>, FailureMessage>>;

unsafe extern "C" fn sink_done(context: *mut (), bytes: RSlice<'_, u8>) {
    // SAFETY: `context` is the outcome on the stack of `poll` below, which waits for this call.
    unsafe { *context.cast::<Outcome>() = Some(Ok(bytes.to_vec())) };
}

unsafe extern "C" fn sink_failed(context: *mut (), failure: &Failure<'_>) {
    // SAFETY: as above.
    unsafe { *context.cast::<Outcome>() = Some(Err(failure.into())) };
}

impl Future for Job {
    type Output = Result<Vec<u8>, FailureMessage>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut outcome: Outcome = None;
        let sink =
            JobSink { context: (&raw mut outcome).cast(), done: sink_done, failed: sink_failed, lifetime: PhantomData };
        let mut kept = self.take_kept();
        let polled = BorrowedWaker::poll(context.waker(), &mut kept, |waker| {
            // SAFETY: state and table belong together and live until drop; waker and sink live for this call.
            unsafe { ((*self.table).poll)(self.state, waker, &sink) }
        });
        self.kept = kept.map_or(std::ptr::null(), |kept| Arc::into_raw(kept).cast());
        match (polled, outcome) {
            (PollJob::Pending, _) => Poll::Pending,
            (PollJob::Done, Some(outcome)) => Poll::Ready(outcome),
            (PollJob::Done, None) => Poll::Ready(Err(FailureMessage::error("done without an outcome"))),
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // SAFETY: runs once; state and table belong together.
        unsafe { ((*self.table).drop)(self.state) };
        drop(self.take_kept());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DirectWaker;

    fn run(
        future: impl Future<Output = Result<Vec<u8>, FailureMessage>> + Send + 'static,
    ) -> Result<Vec<u8>, FailureMessage> {
        let mut job = Job::new(future, DirectWaker, |_| ());
        let mut context = Context::from_waker(std::task::Waker::noop());
        loop {
            if let Poll::Ready(outcome) = Pin::new(&mut job).poll(&mut context) {
                return outcome;
            }
        }
    }

    async fn twice_pending() {
        for _ in 0..2 {
            let mut first = true;
            std::future::poll_fn(|context| {
                let waker = context.waker().clone();
                waker.wake();
                if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
        }
    }

    #[test]
    fn outcomes_cross() {
        assert_eq!(run(async { Ok(vec![1, 2]) }), Ok(vec![1, 2]));
        assert_eq!(run(async { Err(FailureMessage::error("no")) }).unwrap_err().message, "no");
        assert_eq!(run(async { panic!("bang") }).unwrap_err().message, "bang");
        assert_eq!(
            run(async {
                twice_pending().await;
                Ok(vec![])
            }),
            Ok(vec![])
        );
    }

    #[test]
    fn a_panic_in_drop_is_reported() {
        use std::sync::atomic::{AtomicBool, Ordering};
        static TOLD: AtomicBool = AtomicBool::new(false);
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("while dropping");
            }
        }
        let bomb = Bomb;
        let future = async move {
            let _bomb = bomb;
            std::future::pending::<()>().await;
            Ok(vec![])
        };
        drop(Job::new(future, DirectWaker, |caught| {
            assert_eq!(caught.message, "while dropping");
            TOLD.store(true, Ordering::SeqCst);
        }));
        assert!(TOLD.load(Ordering::SeqCst));
    }
}
