//! A future of this side that the other one holds by its address: boxed, polled and freed.
//!
//! What must not live here: what it comes to, and how that is handed over (`job`, `answer`).

use crate::{BorrowWaker, Caught, FailureMessage, WakerHeader};
use std::{pin::Pin, task::Poll};

/// What lies in the box.
pub(crate) struct ExportedFuture<F, W> {
    /// None once it is done.
    future: Option<F>,
    waker: W,
    /// Hears of a panic in the future's drop, which has nobody to return to.
    dropped_badly: fn(&Caught),
}

impl<F, W> ExportedFuture<F, W> {
    /// The address of a box, which [`free`](Self::free) takes back.
    pub(crate) fn boxed(future: F, waker: W, dropped_badly: fn(&Caught)) -> *mut () {
        Box::into_raw(Box::new(ExportedFuture { future: Some(future), waker, dropped_badly })).cast()
    }

    /// Polls the future. A panic in it is its failure.
    ///
    /// # Safety
    ///
    /// `state` came from [`boxed`](Self::boxed) of this very type, was not freed, and nobody else uses it during the call;
    /// `waker` lives for the call.
    pub(crate) unsafe fn poll<T>(state: *mut (), waker: *const WakerHeader) -> Poll<F::Output>
    where
        F: Future<Output = Result<T, FailureMessage>>,
        W: BorrowWaker,
    {
        // SAFETY: the caller's promise about `state`.
        let exported = unsafe { &mut *state.cast::<Self>() };
        let polled = crate::catch(|| {
            let Some(future) = exported.future.as_mut() else {
                return Poll::Ready(Err(FailureMessage::error("polled after it was done")));
            };
            // SAFETY: the box is never moved out of; the future is dropped in place.
            let future = unsafe { Pin::new_unchecked(future) };
            // SAFETY: the caller's promise about `waker`.
            let polled = unsafe { exported.waker.with(waker, |context| future.poll(context)) };
            if polled.is_ready() {
                exported.future = None;
            }
            polled
        });
        polled.unwrap_or_else(|panic| Poll::Ready(Err(panic)))
    }

    /// Frees the box.
    ///
    /// # Safety
    ///
    /// `state` came from [`boxed`](Self::boxed) of this very type, and is used no more.
    pub(crate) unsafe extern "C" fn free(state: *mut ()) {
        // SAFETY: the caller's promise; this takes the box back.
        let exported = unsafe { Box::from_raw(state.cast::<Self>()) };
        let report = exported.dropped_badly;
        if let Err(caught) = crate::catch(|| drop(exported)) {
            report(&caught);
        }
    }
}
