//! A plugin's job under a lease, and the driving of one to its end on a thread that may be given up.

use crate::inside::Inside;
use camlock_abi::{FailureMessage, Job};
use camlock_policy::{GenerationKey, Lease};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// A job that keeps its plugin. Dropping it cancels it.
pub(crate) struct LeasedJob {
    /// None only while it is dropped.
    job: Option<Job>,
    generation: GenerationKey,
    /// None if the caller has one that outlives this. Last, so that it outlives the job.
    _lease: Option<Lease>,
}

impl LeasedJob {
    pub(crate) fn new(job: Job, lease: Lease) -> Self {
        LeasedJob { job: Some(job), generation: lease.generation(), _lease: Some(lease) }
    }

    /// Drives a job to its end on the calling thread, under the caller's lease. None if the time is over first: then it is
    /// cancelled.
    pub(crate) fn drive_under(job: Job, lease: &Lease, limit: Duration) -> Option<Result<Vec<u8>, FailureMessage>> {
        drive(LeasedJob { job: Some(job), generation: lease.generation(), _lease: None }, limit)
    }
}

impl Future for LeasedJob {
    type Output = Result<Vec<u8>, FailureMessage>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let _inside = Inside::enter(self.generation);
        let Some(job) = &mut self.job else {
            camlock_policy::never!("a job goes when this is dropped");
            return Poll::Pending;
        };
        Pin::new(job).poll(context)
    }
}

impl Drop for LeasedJob {
    fn drop(&mut self) {
        let _inside = Inside::enter(self.generation);
        self.job = None;
    }
}

struct UnparkThread(Thread);

impl Wake for UnparkThread {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls on the calling thread until the future is done or the time is over.
fn drive<F: Future + Unpin>(mut future: F, limit: Duration) -> Option<F::Output> {
    let waker = Waker::from(Arc::new(UnparkThread(thread::current())));
    let deadline = Instant::now() + limit;
    loop {
        if let Poll::Ready(output) = Pin::new(&mut future).poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}
