//! What is polled and dropped inside an instance's runtime. What must not live here: the runtime.

use crate::instance::Home;
use std::{
    future::Future,
    mem::{ManuallyDrop, MaybeUninit},
    pin::Pin,
    task::{Context, Poll},
};

/// Something of the author's that is polled and dropped inside the runtime.
pub(crate) struct InRuntime<T> {
    /// There until this is dropped.
    inner: ManuallyDrop<T>,
    /// Nothing of the author's is left in it: it may be dropped anywhere.
    spent: bool,
    home: Home,
}

impl<T> InRuntime<T> {
    pub(crate) fn new(inner: T, home: Home) -> Self {
        InRuntime { inner: ManuallyDrop::new(inner), spent: false, home }
    }

    /// Makes one where it is to stay, which spares large things from being moved.
    ///
    /// # Safety
    /// `make` must leave a `T` in the place that it is given.
    pub(crate) unsafe fn boxed(
        mut made: Box<MaybeUninit<Self>>,
        home: Home,
        make: impl FnOnce(&mut MaybeUninit<T>),
    ) -> Box<Self> {
        let at = made.as_mut_ptr();
        // SAFETY: the box is there, and ours; `ManuallyDrop<T>` and `MaybeUninit<T>` lie in memory as `T` does. Then every
        // field is there: the caller promises the first.
        unsafe {
            make(&mut *(&raw mut (*at).inner).cast::<MaybeUninit<T>>());
            (&raw mut (*at).spent).write(false);
            (&raw mut (*at).home).write(home);
            made.assume_init()
        }
    }

    /// Polls what is inside.
    pub(crate) fn poll_inner<R>(self: Pin<&mut Self>, poll: impl FnOnce(Pin<&mut T>) -> Poll<R>) -> Poll<R> {
        let home = self.home;
        // SAFETY: `inner` is never moved: it is pinned with this value and dropped in place.
        let inner = unsafe { self.map_unchecked_mut(|this| &mut *this.inner) };
        home.runtime().within(|| poll(inner), Poll::is_pending)
    }

    /// To be called when nothing of the author's is left inside.
    pub(crate) fn is_spent(self: Pin<&mut Self>) {
        // SAFETY: only a flag is written; nothing is moved.
        unsafe { self.get_unchecked_mut() }.spent = true;
    }

    /// The instance that it belongs to.
    pub(crate) fn home(&self) -> Home {
        self.home
    }

    pub(crate) fn get(&self) -> &T {
        &self.inner
    }

    /// What is inside, before it is polled.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<F: Future> Future for InRuntime<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.poll_inner(|inner| inner.poll(context))
    }
}

impl<T> Drop for InRuntime<T> {
    fn drop(&mut self) {
        if !std::mem::needs_drop::<T>() {
            return;
        }
        let (home, spent) = (self.home, self.spent);
        let inner = &mut self.inner;
        // SAFETY: dropped in place, as pinning asks, once, and not looked at again.
        let mut end = || unsafe { ManuallyDrop::drop(inner) };
        if spent {
            end();
        } else {
            home.runtime().within(end, |()| false);
        }
    }
}
