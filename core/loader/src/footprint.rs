//! What a generation left on the process's threads: destructors of thread-locals, pthread keys, threads of its own, signal handlers.
//!
//! The SDK intercepts these inside the plugin and hands them to the hooks here; libc never learns of anything that lies in a
//! plugin. Destructors run on their own thread: when it exits, or, once the generation is retired, when it next crosses into
//! any plugin or parks. What has not run when the library closes is forgotten, and counted.
//!
//! Why nothing runs after the close: entries are taken out under the footprint's lock, with `running` raised; closing takes
//! the same lock, empties the entries, and waits until `running` is nothing.

use crate::{
    descriptors::Descriptors,
    handler_stack::HandlerStack,
    inside::Inside,
    roster::{self, Member},
    signals,
    threads::{Census, PluginThread},
};
use camlock_abi::Hooks;
use camlock_policy::GenerationKey;
use parking_lot::{Condvar, Mutex};
use std::{
    cell::{Cell, RefCell},
    ffi::c_void,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The record of one generation.
pub(crate) struct Footprint {
    locals: Mutex<Locals>,
    quiet: Condvar,
    census: Census,
    member: Member,
    descriptors: Descriptors,
    hooks: Hooks,
}

#[derive(Default)]
struct Locals {
    entries: Vec<PendingDestructor>,
    keys: Vec<(libc::pthread_key_t, usize)>,
    /// How many threads are running destructors at this moment.
    running: usize,
    closed: bool,
    forgotten: usize,
}

struct PendingDestructor {
    /// See [`NUMBER`].
    thread: u64,
    destructor: usize,
    object: usize,
}

/// All generations whose code may still be called, for threads that exit.
static LIVE: Mutex<Vec<Weak<Footprint>>> = Mutex::new(Vec::new());
/// Those that are about to close, for threads that pass by.
static RETIRING: Mutex<Vec<Arc<Footprint>>> = Mutex::new(Vec::new());
/// Rises with every retirement, so that passing by costs one comparison.
static EPOCH: AtomicU64 = AtomicU64::new(0);

/// What this process knows of one of its threads.
struct HostThread {
    epoch: Cell<u64>,
    /// Set on a thread that a plugin started.
    plugin_thread: RefCell<Option<Arc<PluginThread>>>,
    /// Where handlers run on a thread that a plugin started: its standard library makes no such place, and an overflow of the stack
    /// would end the process without a word.
    handlers: RefCell<Option<HandlerStack>>,
}

thread_local! {
    static HERE: HostThread = const { HostThread { epoch: Cell::new(0), plugin_thread: RefCell::new(None), handlers: RefCell::new(None) } };
    /// This thread's number, which no other thread ever has: the kernel gives the same id again to a later one, and that one
    /// must not run what this one left. Without a destructor, so it is there until the thread has ended.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
    /// `HERE` was dropped: nothing that is registered from now on will ever run.
    static ENDED: Cell<bool> = const { Cell::new(false) };
}

/// As in libc: destructors may register more, but not without end.
const MOST_ROUNDS: usize = 8;

fn current_id() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

fn this_thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    if NUMBER.get() == 0 {
        NUMBER.set(NEXT.fetch_add(1, Ordering::Relaxed));
    }
    NUMBER.get()
}

impl Drop for HostThread {
    fn drop(&mut self) {
        // The thread exits: everything it registered with generations that still live runs now.
        let thread = this_thread();
        let live = || -> Vec<_> { LIVE.lock().iter().filter_map(Weak::upgrade).collect() };
        for _ in 0..MOST_ROUNDS {
            let ran = live().iter().filter(|footprint| footprint.run_for(thread)).count();
            if ran == 0 {
                break;
            }
        }
        ENDED.set(true);
        live().iter().for_each(|footprint| footprint.forget(thread));
        if let Some(thread) = self.plugin_thread.take() {
            thread.has_left();
        }
    }
}

/// To be called whenever a thread enters a plugin: runs what retired generations left on it.
#[inline]
pub(crate) fn crossing() {
    let epoch = EPOCH.load(Ordering::Acquire);
    let _ = HERE.try_with(|here| {
        if here.epoch.replace(epoch) != epoch {
            catch_up(this_thread());
        }
    });
}

/// To be called by a runtime's threads before they sleep (tokio's `on_thread_park`), so that a plugin that was unloaded leaves
/// nothing on them.
pub fn on_thread_park() {
    crossing();
}

#[cold]
fn catch_up(thread: u64) {
    let retiring: Vec<_> = RETIRING.lock().clone();
    for footprint in retiring {
        let _ = (0..MOST_ROUNDS).find(|_| !footprint.run_for(thread));
    }
}

impl Footprint {
    pub(crate) fn new() -> Arc<Self> {
        let footprint = Arc::new_cyclic(|this: &Weak<Footprint>| Footprint {
            locals: Mutex::default(),
            quiet: Condvar::new(),
            census: Census::default(),
            member: Member::default(),
            descriptors: Descriptors::default(),
            hooks: Hooks {
                context: this.as_ptr().cast(),
                thread_destructor,
                key_created,
                key_deleted,
                thread_create,
                thread_found,
                signal_action,
                descriptor_opened,
                descriptor_closed,
            },
        });
        // SAFETY: it lies in an `Arc`, and `drop` takes it out of the list.
        unsafe { roster::join(&footprint.member) };
        let mut live = LIVE.lock();
        live.retain(|known| known.strong_count() > 0);
        live.push(Arc::downgrade(&footprint));
        footprint
    }

    /// What the plugin is given.
    ///
    /// # Safety
    /// The footprint must be kept until the library that was given the hooks is unmapped.
    pub(crate) unsafe fn hooks(&self) -> &'static Hooks {
        // SAFETY: the caller keeps the footprint as long as anybody can use the reference.
        unsafe { &*std::ptr::from_ref(&self.hooks) }
    }

    /// The plugin's threads that live.
    pub(crate) fn threads(&self) -> Vec<String> {
        self.census.alive()
    }

    pub(crate) fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    /// What signal handlers see of it.
    pub(crate) fn member(&self) -> &Member {
        &self.member
    }

    /// Runs, on the calling thread, what that thread registered. True if there was anything.
    fn run_for(&self, thread: u64) -> bool {
        let (entries, keys) = {
            let mut locals = self.locals.lock();
            if locals.closed || (locals.keys.is_empty() && !locals.entries.iter().any(|entry| entry.thread == thread)) {
                return false;
            }
            let mut entries = Vec::new();
            locals.entries.retain(|entry| {
                let mine = entry.thread == thread;
                if mine {
                    entries.push((entry.destructor, entry.object));
                }
                !mine
            });
            // As libc does it: the values of keys once all thread-locals are through.
            let keys: Vec<_> =
                if entries.is_empty() { locals.keys.iter().filter_map(take_value).collect() } else { Vec::new() };
            if entries.is_empty() && keys.is_empty() {
                return false;
            }
            locals.running += 1;
            (entries, keys)
        };
        for (destructor, object) in entries.into_iter().rev().chain(keys) {
            // SAFETY: std (or C++) registered this pair for this thread, or set this value for a key with this destructor;
            // it was taken out, so it runs once; the library is mapped, for closing waits until `running` is nothing.
            unsafe {
                let destructor = std::mem::transmute::<usize, unsafe extern "C" fn(*mut c_void)>(destructor);
                destructor(object as *mut c_void);
            }
        }
        let mut locals = self.locals.lock();
        locals.running -= 1;
        if locals.running == 0 {
            self.quiet.notify_all();
        }
        true
    }

    /// What a thread that has ended left behind can never run.
    fn forget(&self, thread: u64) {
        let mut locals = self.locals.lock();
        let before = locals.entries.len();
        locals.entries.retain(|entry| entry.thread != thread);
        locals.forgotten += before - locals.entries.len();
    }

    /// From now on threads that pass by run what this generation left on them. Waits a moment for those that are busy.
    pub(crate) fn retire(self: &Arc<Self>, grace: Duration) {
        RETIRING.lock().push(self.clone());
        EPOCH.fetch_add(1, Ordering::Release);
        crossing();
        let deadline = Instant::now() + grace;
        while Instant::now() < deadline && !self.locals.lock().entries.is_empty() {
            std::thread::sleep(Duration::from_micros(50));
        }
        RETIRING.lock().retain(|known| !Arc::ptr_eq(known, self));
    }

    /// After this nothing of the plugin is called from here any more. The number of destructors that never ran; or an error
    /// if one has not come to its end by the deadline.
    pub(crate) fn close(&self, patience: Duration) -> Result<usize, String> {
        let mut locals = self.locals.lock();
        locals.closed = true;
        let abandoned = std::mem::take(&mut locals.entries).len();
        locals.forgotten += abandoned;
        let deadline = Instant::now() + patience;
        while locals.running > 0 {
            if self.quiet.wait_until(&mut locals, deadline).timed_out() {
                return Err("a thread-local destructor of the plugin still runs".to_owned());
            }
        }
        Ok(locals.forgotten)
    }

    /// Gives the plugin's keys back to libc. Only once the library is unmapped: until its very last code (`.fini_array`) has
    /// run it may delete a key itself, whose number must not have become somebody else's by then.
    pub(crate) fn delete_keys(&self) {
        for (key, _) in std::mem::take(&mut self.locals.lock().keys) {
            // SAFETY: the plugin made this key through our hook and did not delete it (that would have removed it here).
            // libc knows no destructor for it.
            unsafe { libc::pthread_key_delete(key) };
        }
    }
}

impl Drop for Footprint {
    fn drop(&mut self) {
        // A handler that looks at the list has a few instructions to go: nothing of a plugin runs while it does.
        while !roster::leave(&self.member, Duration::from_secs(1)) {}
    }
}

/// The calling thread's value of a key, which is then empty.
fn take_value((key, destructor): &(libc::pthread_key_t, usize)) -> Option<(usize, usize)> {
    // SAFETY: the key exists: it is on the list, from which its deletion would remove it first, under the lock that the caller
    // holds.
    unsafe {
        let value = libc::pthread_getspecific(*key);
        if value.is_null() {
            return None;
        }
        libc::pthread_setspecific(*key, std::ptr::null());
        Some((*destructor, value as usize))
    }
}

/// # Safety
/// `context` is the footprint whose hooks the plugin was given, kept until that library is unmapped.
unsafe fn footprint<'a>(context: *const ()) -> &'a Footprint {
    // SAFETY: as promised.
    unsafe { &*context.cast::<Footprint>() }
}

unsafe extern "C" fn thread_destructor(context: *const (), destructor: usize, object: *mut (), thread: i32) -> i32 {
    // SAFETY: called by the library that these hooks were given to.
    let footprint = unsafe { footprint(context) };
    // The first use arms it: the destructor runs when this thread exits. (While it is being dropped it still comes to this.)
    let _ = HERE.try_with(|_| ());
    let mut locals = footprint.locals.lock();
    if locals.closed || ENDED.get() || (thread != 0 && thread != current_id()) {
        // Either nobody may run it any more, or it belongs to a thread that started before we could see it.
        locals.forgotten += 1;
        return 0;
    }
    locals.entries.push(PendingDestructor { thread: this_thread(), destructor, object: object as usize });
    0
}

unsafe extern "C" fn key_created(context: *const (), key: u32, destructor: usize) {
    // SAFETY: as above.
    unsafe { footprint(context) }.locals.lock().keys.push((key, destructor));
}

unsafe extern "C" fn key_deleted(context: *const (), key: u32) {
    // SAFETY: as above.
    unsafe { footprint(context) }.locals.lock().keys.retain(|(known, _)| *known != key);
}

unsafe extern "C" fn thread_found(context: *const (), thread: i32) {
    // SAFETY: as above.
    unsafe { footprint(context) }.census.found(thread);
}

unsafe extern "C" fn signal_action(context: *const (), signal: i32, action: *const (), before: *mut ()) -> i32 {
    // SAFETY: as above; both are null or point to a `sigaction` of the plugin's for this call, as in C.
    let (footprint, action, before) = unsafe {
        (footprint(context), action.cast::<libc::sigaction>().as_ref(), before.cast::<libc::sigaction>().as_mut())
    };
    signals::set(&footprint.member, signal, action, before)
}

unsafe extern "C" fn descriptor_opened(context: *const (), descriptor: i32) {
    // SAFETY: as above.
    unsafe { footprint(context) }.descriptors.opened(descriptor);
}

unsafe extern "C" fn descriptor_closed(context: *const (), descriptor: i32) {
    // SAFETY: as above.
    unsafe { footprint(context) }.descriptors.closed(descriptor);
}

/// What a thread of a plugin's begins with.
struct StartRecord {
    record: Arc<PluginThread>,
    owner: GenerationKey,
    start: usize,
    argument: *mut c_void,
}

/// The first function of every thread of a plugin. It is ours, so that what follows the plugin's code on that thread is ours
/// too: the plugin has left when `HERE` is dropped.
extern "C-unwind" fn begin(argument: *mut c_void) -> *mut c_void {
    let (start, argument) = {
        // SAFETY: `thread_create` boxed it for this one thread.
        let start = unsafe { Box::from_raw(argument.cast::<StartRecord>()) };
        HERE.with(|here| {
            start.record.runs_as(current_id());
            here.plugin_thread.replace(Some(start.record.clone()));
            here.handlers.replace(HandlerStack::of_this_thread());
        });
        Inside::for_good(start.owner);
        (start.start, start.argument)
    };
    // SAFETY: what the plugin passed to pthread_create, with its argument. If `pthread_exit` unwinds through here there is
    // nothing left to drop.
    unsafe { std::mem::transmute::<usize, extern "C-unwind" fn(*mut c_void) -> *mut c_void>(start)(argument) }
}

unsafe extern "C" fn thread_create(
    context: *const (),
    thread: *mut (),
    attributes: *const (),
    start: usize,
    argument: *mut (),
) -> i32 {
    // SAFETY: as above.
    let footprint = unsafe { footprint(context) };
    let record = footprint.census.starting();
    let owner = footprint.member.generation.get().copied().unwrap_or(GenerationKey::NONE);
    let boxed =
        Box::into_raw(Box::new(StartRecord { record: record.clone(), owner, start, argument: argument.cast() }));
    // SAFETY: the plugin's own arguments but for the start. The signatures are the same but for the ABI's name, which allows
    // `pthread_exit` to unwind.
    let made = unsafe {
        let begin = std::mem::transmute::<
            extern "C-unwind" fn(*mut c_void) -> *mut c_void,
            extern "C" fn(*mut c_void) -> *mut c_void,
        >(begin);
        libc::pthread_create(thread.cast(), attributes.cast(), begin, boxed.cast())
    };
    if made != 0 {
        record.has_left();
        // SAFETY: no thread was made, so the box is ours alone.
        drop(unsafe { Box::from_raw(boxed) });
    }
    made
}
