//! Interception of what would outlive the library: thread-local destructors, pthread keys, threads, signal handlers,
//! descriptors.
//!
//! Names of libc are defined here as hidden labels, so that the std linked into this very plugin binds to them and
//! nothing else does. They hand everything to the host's hooks. Before the hooks are in place (constructors in `.init_array`)
//! they keep what comes and hand it over later; but signal handlers go to libc, and the host finds them there. In an ordinary program (`cargo test`) they pass everything on untouched; with
//! the feature `program` they are not there at all.

use std::sync::atomic::AtomicBool;

/// Whether this library's code ever started a thread: such a thread may count on the runtime being driven. Where nothing is
/// intercepted nobody knows.
pub(crate) static THREADS_WERE_STARTED: AtomicBool = AtomicBool::new(cfg!(feature = "program"));

#[cfg(not(feature = "program"))]
pub(crate) use labels::install;

#[cfg(not(feature = "program"))]
mod labels {
    use super::THREADS_WERE_STARTED;
    use crate::label::{in_main_program, label, real};
    use camlock_abi::Hooks;
    use std::{
        ffi::{c_int, c_void},
        sync::{
            Mutex, PoisonError,
            atomic::{AtomicI32, AtomicPtr, Ordering},
        },
    };

    static HOOKS: AtomicPtr<Hooks> = AtomicPtr::new(std::ptr::null_mut());
    /// The process that put the hooks in place.
    static SERVER: AtomicI32 = AtomicI32::new(0);

    label!("__cxa_thread_atexit_impl", thread_atexit);
    label!("pthread_key_create", key_create);
    label!("pthread_key_delete", key_delete);
    label!("pthread_create", thread_create);
    label!("sigaction", signal_action);
    label!("signal", signal);

    type Destructor = unsafe extern "C" fn(*mut c_void);
    type Start = unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void;
    type ThreadAtexit = unsafe extern "C" fn(Destructor, *mut c_void, *mut c_void) -> c_int;
    type KeyCreate = unsafe extern "C" fn(*mut libc::pthread_key_t, Option<Destructor>) -> c_int;
    type KeyDelete = unsafe extern "C" fn(libc::pthread_key_t) -> c_int;
    type SignalAction = unsafe extern "C" fn(c_int, *const libc::sigaction, *mut libc::sigaction) -> c_int;
    type Signal = unsafe extern "C" fn(c_int, libc::sighandler_t) -> libc::sighandler_t;
    type ThreadCreate =
        unsafe extern "C" fn(*mut libc::pthread_t, *const libc::pthread_attr_t, Start, *mut c_void) -> c_int;

    /// What came before the hooks.
    struct Early {
        /// Destructor, object, thread.
        destructors: Vec<(usize, usize, c_int)>,
        keys: Vec<(libc::pthread_key_t, usize)>,
        threads: Vec<c_int>,
    }

    impl Early {
        const NOTHING: Early = Early { destructors: Vec::new(), keys: Vec::new(), threads: Vec::new() };
    }

    static EARLY: Mutex<Early> = Mutex::new(Early::NOTHING);

    /// Keeps something for the hooks, or gives it to them if they have come meanwhile: `install` puts them in place and takes
    /// what was kept under this same lock, so nothing falls in between.
    fn early(keep: impl FnOnce(&mut Early), late: impl FnOnce(&'static Hooks)) {
        let mut early = EARLY.lock().unwrap_or_else(PoisonError::into_inner);
        match hooks() {
            None => keep(&mut early),
            Some(hooks) => {
                drop(early);
                late(hooks);
            }
        }
    }

    fn hooks() -> Option<&'static Hooks> {
        // SAFETY: null, or the `&'static Hooks` that `install` stored.
        unsafe { HOOKS.load(Ordering::Acquire).as_ref() }
    }

    fn this_thread() -> c_int {
        // SAFETY: gettid has no preconditions.
        unsafe { libc::gettid() }
    }

    /// Where a call goes.
    enum Side {
        Host(&'static Hooks),
        Early,
        Program,
    }

    fn side() -> Side {
        match hooks() {
            Some(hooks) => Side::Host(hooks),
            None if in_main_program() => Side::Program,
            None => Side::Early,
        }
    }

    mod descriptors;

    /// Whether this is a child between `fork` and `exec`: it has one thread, the locks of others may be held for ever, and what
    /// it does is no affair of the server's.
    fn in_forked_child() -> bool {
        // SAFETY: getpid has no preconditions.
        unsafe { libc::getpid() != SERVER.load(Ordering::Relaxed) }
    }

    unsafe extern "C" fn thread_atexit(destructor: Destructor, object: *mut c_void, library: *mut c_void) -> c_int {
        match side() {
            // SAFETY: the hook takes what C++'s runtime would; the host runs it on this thread, or never.
            Side::Host(hooks) => unsafe {
                (hooks.thread_destructor)(hooks.context, destructor as usize, object.cast(), 0)
            },
            Side::Early => {
                let (destructor, object) = (destructor as usize, object as usize);
                early(
                    |early| early.destructors.push((destructor, object, this_thread())),
                    // SAFETY: as above.
                    |hooks| unsafe {
                        (hooks.thread_destructor)(hooks.context, destructor, object as *mut (), 0);
                    },
                );
                0
            }
            Side::Program => {
                let real = real!(c"__cxa_thread_atexit_impl" as ThreadAtexit);
                // SAFETY: passed on as it came.
                unsafe { real(destructor, object, library) }
            }
        }
    }

    unsafe extern "C" fn key_create(key: *mut libc::pthread_key_t, destructor: Option<Destructor>) -> c_int {
        let create = real!(c"pthread_key_create" as KeyCreate);
        let side = side();
        if let Side::Program = side {
            // SAFETY: passed on as it came.
            return unsafe { create(key, destructor) };
        }
        // libc never learns of a destructor that lies in this library: the host runs it, while the library is there.
        // SAFETY: `key` is the caller's place for the key.
        let made = unsafe { create(key, None) };
        if let (0, Some(destructor)) = (made, destructor) {
            // SAFETY: libc has just written the key.
            let key = unsafe { *key };
            // SAFETY: the hook only notes them.
            let note = |hooks: &Hooks| unsafe { (hooks.key_created)(hooks.context, key, destructor as usize) };
            match side {
                Side::Host(hooks) => note(hooks),
                _ => early(|early| early.keys.push((key, destructor as usize)), note),
            }
        }
        made
    }

    unsafe extern "C" fn key_delete(key: libc::pthread_key_t) -> c_int {
        // SAFETY: the hook only forgets the key.
        let forget = |hooks: &Hooks| unsafe { (hooks.key_deleted)(hooks.context, key) };
        match side() {
            Side::Host(hooks) => forget(hooks),
            Side::Early => early(|early| early.keys.retain(|(known, _)| *known != key), forget),
            Side::Program => {}
        }
        let real = real!(c"pthread_key_delete" as KeyDelete);
        // SAFETY: passed on as it came.
        unsafe { real(key) }
    }

    /// The start, its argument, and where the thread says its id: the place is its maker's, who waits for that.
    struct EarlyStart(Start, *mut c_void, *const AtomicI32);

    unsafe extern "C-unwind" fn early_start(argument: *mut c_void) -> *mut c_void {
        // SAFETY: `thread_create` below boxed it for this one thread.
        let EarlyStart(start, argument, id) = *unsafe { Box::from_raw(argument.cast::<EarlyStart>()) };
        // SAFETY: its maker waits for this very store; nothing touches the place afterwards.
        unsafe { (*id).store(this_thread(), Ordering::Release) };
        // SAFETY: what the caller of pthread_create asked to run, with its argument.
        unsafe { start(argument) }
    }

    unsafe extern "C" fn thread_create(
        thread: *mut libc::pthread_t,
        attributes: *const libc::pthread_attr_t,
        start: Start,
        argument: *mut c_void,
    ) -> c_int {
        THREADS_WERE_STARTED.store(true, Ordering::Relaxed);
        match side() {
            // SAFETY: the hook makes the thread with these very arguments.
            Side::Host(hooks) => unsafe {
                let attributes = attributes.cast();
                (hooks.thread_create)(hooks.context, thread.cast(), attributes, start as usize, argument.cast())
            },
            Side::Early => {
                let id = AtomicI32::new(0);
                let boxed = Box::into_raw(Box::new(EarlyStart(start, argument, &raw const id)));
                let real = real!(c"pthread_create" as ThreadCreate);
                // SAFETY: as the caller's, but for the start, which takes the box.
                let made = unsafe { real(thread, attributes, early_start, boxed.cast()) };
                if made != 0 {
                    // SAFETY: no thread was made, so the box is still ours alone.
                    drop(unsafe { Box::from_raw(boxed) });
                    return made;
                }
                // Known before its maker goes on: otherwise the library could be closed under a thread that has yet to run.
                let id = loop {
                    match id.load(Ordering::Acquire) {
                        // SAFETY: sched_yield has no preconditions.
                        0 => unsafe { libc::sched_yield() },
                        id => break id,
                    };
                };
                // SAFETY: the hook only notes the thread.
                early(|early| early.threads.push(id), |hooks| unsafe { (hooks.thread_found)(hooks.context, id) });
                made
            }
            Side::Program => {
                let real = real!(c"pthread_create" as ThreadCreate);
                // SAFETY: passed on as it came.
                unsafe { real(thread, attributes, start, argument) }
            }
        }
    }

    /// An outcome of a hook as libc's functions tell it.
    fn outcome(error: c_int) -> c_int {
        if error == 0 {
            return 0;
        }
        // SAFETY: the thread's own variable.
        unsafe { *libc::__errno_location() = error };
        -1
    }

    unsafe extern "C" fn signal_action(
        signal: c_int,
        action: *const libc::sigaction,
        before: *mut libc::sigaction,
    ) -> c_int {
        match side() {
            Side::Host(hooks) if !in_forked_child() => {
                // SAFETY: the hook takes what libc would; the host calls the handler only while this library is there.
                outcome(unsafe { (hooks.signal_action)(hooks.context, signal, action.cast(), before.cast()) })
            }
            _ => {
                let real = real!(c"sigaction" as SignalAction);
                // SAFETY: passed on as it came.
                unsafe { real(signal, action, before) }
            }
        }
    }

    unsafe extern "C" fn signal(signal: c_int, handler: libc::sighandler_t) -> libc::sighandler_t {
        let hooks = match side() {
            Side::Host(hooks) if !in_forked_child() => hooks,
            _ => {
                let real = real!(c"signal" as Signal);
                // SAFETY: passed on as it came.
                return unsafe { real(signal, handler) };
            }
        };
        // As glibc does it.
        // SAFETY: zeroed is a valid value of this plain C struct; the set is ours.
        let (action, mut before) = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaddset(&raw mut action.sa_mask, signal);
            (action, std::mem::zeroed::<libc::sigaction>())
        };
        // SAFETY: as above; both live for this call.
        let told = outcome(unsafe {
            let (action, before) = ((&raw const action).cast(), (&raw mut before).cast());
            (hooks.signal_action)(hooks.context, signal, action, before)
        });
        if told == 0 { before.sa_sigaction } else { libc::SIG_ERR }
    }

    /// Puts the hooks in place and hands over what came before them.
    pub(crate) fn install(hooks: &'static Hooks) {
        let Early { destructors, keys, threads } = {
            let mut early = EARLY.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: getpid has no preconditions.
            SERVER.store(unsafe { libc::getpid() }, Ordering::Relaxed);
            HOOKS.store(std::ptr::from_ref(hooks).cast_mut(), Ordering::Release);
            std::mem::replace(&mut *early, Early::NOTHING)
        };
        // SAFETY: each hook takes what the intercepted call was given, and the thread that made it.
        unsafe {
            for (destructor, object, thread) in destructors {
                (hooks.thread_destructor)(hooks.context, destructor, object as *mut (), thread);
            }
            for (key, destructor) in keys {
                (hooks.key_created)(hooks.context, key, destructor);
            }
            for thread in threads {
                (hooks.thread_found)(hooks.context, thread);
            }
        }
    }
}
