//! Leases: the one way in which a generation of a plugin is kept alive, and the only way in which it ends.
//!
//! A generation begins with one lease, the owner's, which the route table holds. Whoever has a lease can share it; nothing
//! else makes leases. When the last one is dropped the generation's end runs, exactly once. There is no flag to close, no
//! count to read and act upon, and no way back: a count that has reached nothing is never raised again.
//!
//! This module is explored with loom (`tests` below, built with `--cfg camlock_loom`), so it uses nothing but what `sync`
//! names. What must not live here: anything that knows what a lease is for.

use std::{
    fmt,
    future::poll_fn,
    task::{Context, Poll, Waker},
};

#[cfg(camlock_loom)]
use loom::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering, fence},
};
#[cfg(not(camlock_loom))]
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering, fence},
};

macro_rules! uses {
    ($($(#[$doc:meta])* $name:ident = $one:literal, $many:literal;)*) => {
        /// What a lease is held for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Use {
            $($(#[$doc])* $name,)*
        }

        impl Use {
            /// All uses, in the order in which they are told.
            pub const ALL: &[Use] = &[$(Use::$name),*];

            /// So many leases of this use, in words.
            pub fn describe(self, count: usize) -> String {
                match self {
                    $(Use::$name if count == 1 => $one.to_owned(),)*
                    $(Use::$name => format!(concat!("{} ", $many), count),)*
                }
            }
        }
    };
}

uses! {
    /// The owner's: the generation is to be served.
    Owner = "it is still in use", "owners still use it";
    /// A request without an answer yet.
    Request = "a request is still being handled", "requests are still being handled";
    /// A response body, or what the response holds.
    Body = "a response body is still being read", "response bodies are still being read";
    /// Bytes that the plugin made and the host has not let go of.
    Bytes = "bytes of the plugin are still being sent", "runs of bytes of the plugin are still being sent";
    /// An upgraded connection.
    Connection = "an upgraded connection is still open", "upgraded connections are still open";
    /// A lifecycle call.
    Job = "a job of the plugin still runs", "jobs of the plugin still run";
    /// A future that the plugin had the host run. It goes on until the plugin is shut down, so a drain does not wait for it.
    Task = "a task of the plugin still runs", "tasks of the plugin still run";
    /// A waker of the plugin that the host is about to wake.
    Waker = "a waker of the plugin is being woken", "wakers of the plugin are being woken";
}

/// Bit 0: somebody waits to hear of the drain. The count of all leases begins at bit 1, that of tasks' leases at bit 33: one
/// number, so that no moment is ever seen in which the two do not belong together.
const WATCHED: usize = 1;
const ONE: usize = 1 << 1;
const TASK: usize = 1 << 33;

/// How many leases there are.
fn all(state: usize) -> usize {
    (state % TASK) / ONE
}

/// How many leases a drain waits for, the owner's among them.
fn busy(state: usize) -> usize {
    all(state) - state / TASK
}

/// What a lease adds to the state.
fn weight(held_for: Use) -> usize {
    if held_for == Use::Task { ONE + TASK } else { ONE }
}

/// Names a generation among those that live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerationKey(usize);

impl GenerationKey {
    /// That of none.
    pub const NONE: Self = GenerationKey(0);

    /// The key as a number; 0 is that of none.
    pub fn number(self) -> u64 {
        self.0 as u64
    }

    fn of(counts: &LeaseCounts) -> Self {
        GenerationKey(std::ptr::from_ref(counts) as usize)
    }
}

type AtTheEnd = Box<dyn FnOnce() + Send>;

struct LeaseCounts {
    state: AtomicUsize,
    /// How many leases of each use there are; only told, never acted upon.
    uses: [AtomicUsize; Use::ALL.len()],
    end: Mutex<Option<AtTheEnd>>,
    waiting: Mutex<Vec<Waker>>,
}

/// Keeps a generation alive.
pub struct Lease {
    shared: Arc<LeaseCounts>,
    held_for: Use,
}

impl Lease {
    /// The first lease of a generation. `end` runs when the last one is dropped, on the thread that drops it: it must be
    /// quick, and must not panic.
    pub fn first(end: impl FnOnce() + Send + 'static) -> Self {
        let shared = LeaseCounts {
            state: AtomicUsize::new(ONE),
            uses: std::array::from_fn(|_| AtomicUsize::new(0)),
            end: Mutex::new(Some(Box::new(end))),
            waiting: Mutex::new(Vec::new()),
        };
        shared.uses[Use::Owner as usize].store(1, Ordering::Relaxed);
        Lease { shared: Arc::new(shared), held_for: Use::Owner }
    }

    /// Another lease on the same generation.
    #[must_use]
    pub fn share(&self, held_for: Use) -> Lease {
        // Relaxed is enough, as for `Arc`: this lease already keeps the generation.
        self.shared.state.fetch_add(weight(held_for), Ordering::Relaxed);
        self.shared.uses[held_for as usize].fetch_add(1, Ordering::Relaxed);
        Lease { shared: self.shared.clone(), held_for }
    }

    /// The same lease, held for something else from now on. Tasks' leases are shared as such.
    #[must_use]
    pub fn turn_into(mut self, held_for: Use) -> Lease {
        assert!(held_for != Use::Task && self.held_for != Use::Task, "a task's lease stays one");
        self.shared.uses[held_for as usize].fetch_add(1, Ordering::Relaxed);
        self.shared.uses[self.held_for as usize].fetch_sub(1, Ordering::Relaxed);
        self.held_for = held_for;
        self
    }

    /// What this one is held for.
    pub fn held_for(&self) -> Use {
        self.held_for
    }

    /// The generation that it keeps.
    pub fn generation(&self) -> GenerationKey {
        GenerationKey::of(&self.shared)
    }

    /// Looks on without keeping anything alive.
    pub fn watch(&self) -> Watch {
        Watch { shared: self.shared.clone() }
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        self.share(self.held_for)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.uses[self.held_for as usize].fetch_sub(1, Ordering::Relaxed);
        // Release: all that was done under this lease comes before the end.
        let before = self.shared.state.fetch_sub(weight(self.held_for), Ordering::Release);
        match all(before) {
            1 => {
                fence(Ordering::Acquire);
                let end = lock(&self.shared.end).take();
                self.shared.tell();
                if let Some(end) = end {
                    end();
                }
            }
            _ if before & WATCHED != 0 && self.held_for != Use::Task && busy(before) == 2 => {
                fence(Ordering::Acquire);
                self.shared.tell();
            }
            _ => {}
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Lease").field("held_for", &self.held_for).finish_non_exhaustive()
    }
}

impl LeaseCounts {
    fn tell(&self) {
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        for waker in waiting {
            waker.wake();
        }
    }
}

/// Looks on: who holds leases, and when all but one are gone.
#[derive(Clone)]
pub struct Watch {
    shared: Arc<LeaseCounts>,
}

impl Watch {
    /// The generation that it looks at.
    pub fn generation(&self) -> GenerationKey {
        GenerationKey::of(&self.shared)
    }

    /// How many leases there are.
    pub fn count(&self) -> usize {
        all(self.shared.state.load(Ordering::Acquire))
    }

    /// How many leases of one use there are.
    pub fn count_of(&self, held_for: Use) -> usize {
        self.shared.uses[held_for as usize].load(Ordering::Relaxed)
    }

    /// A lease, if there is still one to share: what has ended stays ended.
    pub fn try_share(&self, held_for: Use) -> Option<Lease> {
        // By hand: what the library calls this has another name than what loom calls it.
        let shared = &self.shared.state;
        let mut state = shared.load(Ordering::Relaxed);
        loop {
            if all(state) == 0 {
                return None;
            }
            let raised = state + weight(held_for);
            match shared.compare_exchange_weak(state, raised, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break,
                Err(meanwhile) => state = meanwhile,
            }
        }
        self.shared.uses[held_for as usize].fetch_add(1, Ordering::Relaxed);
        Some(Lease { shared: self.shared.clone(), held_for })
    }

    /// What keeps the generation, in words; empty if nothing does.
    pub fn describe_holders(&self) -> String {
        self.describe_those(|_| true)
    }

    /// The same without what is held for one use.
    pub fn describe_holders_but(&self, left_out: Use) -> String {
        self.describe_those(|held_for| held_for != left_out)
    }

    fn describe_those(&self, counted: impl Fn(Use) -> bool) -> String {
        let parts: Vec<_> = Use::ALL
            .iter()
            .filter(|held_for| counted(**held_for))
            .filter_map(|held_for| match self.count_of(*held_for) {
                0 => None,
                count => Some(held_for.describe(count)),
            })
            .collect();
        parts.join("; ")
    }

    /// Waits until at most one lease is left, not counting those of tasks: whoever waits usually holds that one.
    pub async fn drained(&self) {
        poll_fn(|context| self.poll_drained(context)).await;
    }

    fn poll_drained(&self, context: &mut Context<'_>) -> Poll<()> {
        // First be heard of, then look: a lease dropped in between finds the fingerprint and the waker.
        lock(&self.shared.waiting).push(context.waker().clone());
        let seen = self.shared.state.fetch_or(WATCHED, Ordering::AcqRel);
        if busy(seen) > 1 {
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Watch").field("count", &self.count()).finish_non_exhaustive()
    }
}

/// A panic while one of these locks is held leaves nothing half done.
#[cfg(not(camlock_loom))]
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(camlock_loom)]
fn lock<T>(mutex: &Mutex<T>) -> loom::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

#[cfg(all(test, not(camlock_loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize as Count;

    fn counted() -> (Lease, Arc<Count>) {
        let ended = Arc::new(Count::new(0));
        let seen = ended.clone();
        let end = move || {
            seen.fetch_add(1, Ordering::SeqCst);
        };
        (Lease::first(end), ended)
    }

    #[test]
    fn the_last_lease_ends_it_once() {
        let (owner, ended) = counted();
        let request = owner.share(Use::Request);
        drop(owner);
        assert_eq!(ended.load(Ordering::SeqCst), 0);
        let body = request.turn_into(Use::Body);
        assert_eq!(body.watch().describe_holders(), "a response body is still being read");
        let watch = body.watch();
        drop(body);
        assert_eq!((ended.load(Ordering::SeqCst), watch.count(), watch.describe_holders().as_str()), (1, 0, ""));
    }

    #[test]
    fn what_holds_is_told_in_words() {
        let (owner, _) = counted();
        let _held: Vec<_> = (0..3).map(|_| owner.share(Use::Connection)).collect();
        let _request = owner.share(Use::Request);
        assert_eq!(
            owner.watch().describe_holders(),
            "it is still in use; a request is still being handled; 3 upgraded connections are still open"
        );
    }

    #[test]
    fn waiting_ends_when_one_is_left() {
        let (owner, ended) = counted();
        let others: Vec<_> = (0..4).map(|_| owner.share(Use::Request)).collect();
        let watch = owner.watch();
        let waiter = std::thread::spawn(move || block_on(watch.drained()));
        for other in others {
            std::thread::sleep(std::time::Duration::from_millis(1));
            drop(other);
        }
        waiter.join().unwrap();
        assert_eq!(ended.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_drain_does_not_wait_for_tasks() {
        let (owner, ended) = counted();
        let task = owner.share(Use::Task);
        let request = owner.share(Use::Request);
        let watch = owner.watch();
        let waiter = std::thread::spawn(move || block_on(watch.drained()));
        drop(owner.share(Use::Task));
        drop(request);
        waiter.join().unwrap();
        assert_eq!(owner.watch().describe_holders(), "it is still in use; a task of the plugin still runs");
        drop(owner);
        assert_eq!(ended.load(Ordering::SeqCst), 0, "the task keeps it");
        drop(task);
        assert_eq!(ended.load(Ordering::SeqCst), 1);
    }

    fn block_on(future: impl Future<Output = ()>) {
        struct Unpark(std::thread::Thread);
        impl std::task::Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut future = std::pin::pin!(future);
        while future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            std::thread::park();
        }
    }
}

/// Every interleaving of a few threads: calls, the swap of the route table, draining, cancelling, dropping.
#[cfg(all(test, camlock_loom))]
mod interleavings {
    use super::*;
    use loom::{future::block_on, sync::atomic::AtomicBool, thread};

    /// All interleavings in which a thread is interrupted at most three times; without the bound it takes hours.
    fn explore(model: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(model);
    }

    /// A generation that notices use after its end and a second end.
    #[derive(Clone)]
    struct Generation(Arc<AtomicBool>);

    impl Generation {
        fn new() -> (Self, Lease) {
            let open = Arc::new(AtomicBool::new(true));
            let ends = open.clone();
            let lease = Lease::first(move || assert!(ends.swap(false, Ordering::Relaxed), "ended twice"));
            (Generation(open), lease)
        }
        fn used(&self) {
            assert!(self.0.load(Ordering::Relaxed), "used after its end");
        }
        fn ended(&self) -> bool {
            !self.0.load(Ordering::Relaxed)
        }
    }

    /// The route table: a pointer that readers take a lease from and a writer replaces.
    type Table = Arc<Mutex<Option<(Generation, Lease)>>>;

    fn call(table: &Table) -> Option<(Generation, Lease)> {
        let table = lock(table);
        table.as_ref().map(|(generation, lease)| (generation.clone(), lease.share(Use::Request)))
    }

    #[test]
    fn calls_race_with_a_swap() {
        explore(|| {
            let (old, lease) = Generation::new();
            let table: Table = Arc::new(Mutex::new(Some((old.clone(), lease))));
            let callers: Vec<_> = (0..2)
                .map(|_| {
                    let table = table.clone();
                    thread::spawn(move || {
                        if let Some((generation, lease)) = call(&table) {
                            generation.used();
                            let body = lease.turn_into(Use::Body);
                            generation.used();
                            drop(body);
                        }
                    })
                })
                .collect();
            let taken = lock(&table).take();
            drop(taken);
            callers.into_iter().for_each(|caller| caller.join().unwrap());
            assert!(old.ended());
        });
    }

    #[test]
    fn draining_hears_of_the_last_request() {
        explore(|| {
            let (generation, owner) = Generation::new();
            let (one, two) = (owner.share(Use::Request), owner.share(Use::Body));
            let threads = [one, two].map(|lease| {
                let generation = generation.clone();
                thread::spawn(move || {
                    generation.used();
                    drop(lease);
                })
            });
            let watch = owner.watch();
            block_on(watch.drained());
            assert_eq!(watch.count(), 1);
            generation.used();
            drop(owner);
            assert!(generation.ended());
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }

    #[test]
    fn draining_hears_of_the_last_request_among_tasks() {
        explore(|| {
            let (generation, owner) = Generation::new();
            let (request, task) = (owner.share(Use::Request), owner.share(Use::Task));
            // A request that has its plugin begin a task, and a task that ends.
            let theirs = generation.clone();
            let one = thread::spawn(move || {
                let begun = request.share(Use::Task);
                theirs.used();
                drop(request);
                begun
            });
            let two = thread::spawn(move || drop(task));
            let watch = owner.watch();
            block_on(watch.drained());
            assert_eq!(watch.count_of(Use::Request), 0);
            generation.used();
            let begun = one.join().unwrap();
            two.join().unwrap();
            drop(owner);
            assert!(!generation.ended());
            drop(begun);
            assert!(generation.ended());
        });
    }

    #[test]
    fn a_cancelled_call_races_with_its_products() {
        explore(|| {
            let (generation, owner) = Generation::new();
            let request = owner.share(Use::Request);
            // The product (a body, a waker about to wake) is on another thread when the call is dropped here.
            let product = request.share(Use::Waker);
            let theirs = generation.clone();
            let thread = thread::spawn(move || {
                theirs.used();
                drop(product.share(Use::Bytes));
                drop(product);
            });
            drop(owner);
            drop(request);
            thread.join().unwrap();
            assert!(generation.ended());
        });
    }

    #[test]
    fn a_late_lease_is_had_in_time_or_not_at_all() {
        explore(|| {
            let (generation, owner) = Generation::new();
            let watch = owner.watch();
            let theirs = generation.clone();
            let thread = thread::spawn(move || match watch.try_share(Use::Waker) {
                Some(_lease) => theirs.used(),
                None => assert_eq!(watch.count(), 0),
            });
            drop(owner);
            thread.join().unwrap();
            assert!(generation.ended());
        });
    }

    #[test]
    fn a_waiter_that_gives_up_disturbs_nobody() {
        explore(|| {
            let (generation, owner) = Generation::new();
            let request = owner.share(Use::Request);
            let watch = owner.watch();
            let thread = thread::spawn(move || drop(request));
            let mut context = Context::from_waker(Waker::noop());
            let _ = watch.poll_drained(&mut context);
            drop(owner);
            thread.join().unwrap();
            assert!(generation.ended());
            assert_eq!(watch.count(), 0);
        });
    }
}
