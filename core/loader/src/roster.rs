//! The generations whose libraries are mapped, in a list that a signal handler may read: without locks, without memory of its
//! own, on any thread, at any instant.
//!
//! Members join and leave under a lock, with all signals blocked, so that no handler on the same thread finds it held. Readers
//! raise a counter while they walk the list; whoever left is freed only after a moment at which nobody walked it.

use crate::signals::Actions;
use camlock_policy::GenerationKey;
use parking_lot::{Mutex, MutexGuard};
use std::{
    mem::MaybeUninit,
    ops::Range,
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicPtr, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// What a handler needs to know of a generation. It lies in a place that does not move from [`join`] until [`leave`].
#[derive(Default)]
pub(crate) struct Member {
    next: AtomicPtr<Member>,
    /// What the plugin does about signals.
    pub(crate) actions: Actions,
    /// Which generation it is; known before any code of it runs in a server.
    pub(crate) identity: OnceLock<RosterIdentity>,
    /// Its leases'; known before the host calls anything of it.
    pub(crate) generation: OnceLock<GenerationKey>,
}

/// Which generation it is, in a form that can be written to a file as it stands.
#[derive(Debug)]
pub(crate) struct RosterIdentity {
    /// Where its library lies.
    pub(crate) range: Range<usize>,
    pub(crate) words: String,
}

static FIRST: AtomicPtr<Member> = AtomicPtr::new(ptr::null_mut());
static READERS: AtomicUsize = AtomicUsize::new(0);
static CHANGES: Mutex<()> = Mutex::new(());

/// While this exists, signals are blocked on this thread and nobody else changes the list or what is done about signals.
pub(crate) struct Changing {
    // Fields drop in order: a handler that runs here as soon as it may finds the lock free.
    _lock: MutexGuard<'static, ()>,
    _blocked: SignalsBlocked,
}

struct SignalsBlocked(libc::sigset_t);

impl Changing {
    pub(crate) fn begin() -> Self {
        let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: both sets are ours; sigfillset initialises the first, and pthread_sigmask, which cannot fail with such
        // arguments, the second.
        let before = unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            before.assume_init()
        };
        let blocked = SignalsBlocked(before);
        Changing { _lock: CHANGES.lock(), _blocked: blocked }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: the set is the one that this thread had before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}

/// Puts a member into the list.
///
/// # Safety
/// It must stay where it is until [`leave`] has said that it is gone.
pub(crate) unsafe fn join(member: &Member) {
    let _changing = Changing::begin();
    member.next.store(FIRST.load(Ordering::SeqCst), Ordering::SeqCst);
    FIRST.store(ptr::from_ref(member).cast_mut(), Ordering::SeqCst);
}

/// Takes a member out of the list, if it is there; true once nobody can be looking at it any more.
pub(crate) fn leave(member: &Member, limit: Duration) -> bool {
    {
        let _changing = Changing::begin();
        let mut place = &FIRST;
        // SAFETY: members are in the list only while they exist (`join`), and the list does not change meanwhile.
        while let Some(found) = unsafe { place.load(Ordering::SeqCst).as_ref() } {
            if ptr::eq(found, member) {
                place.store(member.next.load(Ordering::SeqCst), Ordering::SeqCst);
                break;
            }
            place = &found.next;
        }
    }
    let deadline = Instant::now() + limit;
    while READERS.load(Ordering::SeqCst) > 0 {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_micros(20));
    }
    true
}

/// Shows all members to a function, the latest first, until it says that it has seen enough. For signal handlers: the function
/// must be short, and must not leave by a jump.
pub(crate) fn walk(mut look: impl FnMut(&Member) -> bool) {
    READERS.fetch_add(1, Ordering::SeqCst);
    let mut place = FIRST.load(Ordering::SeqCst);
    // SAFETY: whoever leaves the list is freed only after a moment without readers, and this is one from before it looked at
    // the list until after it did.
    while let Some(member) = unsafe { place.as_ref() } {
        if look(member) {
            break;
        }
        place = member.next.load(Ordering::SeqCst);
    }
    READERS.fetch_sub(1, Ordering::SeqCst);
}
