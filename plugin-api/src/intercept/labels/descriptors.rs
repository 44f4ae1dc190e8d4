//! Descriptors that the plugin opens and closes, told to the host: what is left open when the library goes is the host's to
//! close. What libc opens and closes within itself is its own affair.

use super::{Hooks, Side, in_forked_child, side};
use crate::label::{label, real};
use std::ffi::{c_char, c_int, c_uint, c_void};

fn tell(what: impl FnOnce(&'static Hooks)) {
    if let Side::Host(hooks) = side()
        && !in_forked_child()
    {
        what(hooks);
    }
}

fn opened(descriptor: c_int) -> c_int {
    if descriptor >= 0 {
        // SAFETY: the hook only notes it, and asks the system what it is.
        tell(|hooks| unsafe { (hooks.descriptor_opened)(hooks.context, descriptor) });
    }
    descriptor
}

/// It is closed, or from now on libc's own.
fn given_up(descriptor: c_int) {
    // SAFETY: the hook only forgets it.
    tell(|hooks| unsafe { (hooks.descriptor_closed)(hooks.context, descriptor) });
}

/// # Safety
/// Both descriptors of a pair that was made must have been written there.
unsafe fn opened_pair(made: c_int, pair: *const c_int) -> c_int {
    if made == 0 {
        // SAFETY: as promised.
        unsafe { (opened(*pair), opened(*pair.add(1))) };
    }
    made
}

/// Functions of libc that answer with a new descriptor. Of those with arguments of varying number all are passed on that there
/// can be: they lie in registers, whether the caller set them or not.
macro_rules! opening {
    ($($name:literal $function:ident ($($argument:ident: $kind:ty),*);)*) => {$(
        label!($name, $function);

        unsafe extern "C" fn $function($($argument: $kind),*) -> c_int {
            const NAME: &std::ffi::CStr = match std::ffi::CStr::from_bytes_with_nul(concat!($name, "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => panic!("a name has no zero in it"),
            };
            let real = real!(NAME as unsafe extern "C" fn($($kind),*) -> c_int);
            // SAFETY: passed on as it came.
            opened(unsafe { real($($argument),*) })
        }
    )*};
}

opening! {
    "open" open(path: *const c_char, flags: c_int, mode: c_uint);
    "open64" open64(path: *const c_char, flags: c_int, mode: c_uint);
    "openat" openat(directory: c_int, path: *const c_char, flags: c_int, mode: c_uint);
    "openat64" openat64(directory: c_int, path: *const c_char, flags: c_int, mode: c_uint);
    "socket" socket(domain: c_int, kind: c_int, protocol: c_int);
    "accept" accept(listener: c_int, address: *mut c_void, length: *mut c_void);
    "accept4" accept4(listener: c_int, address: *mut c_void, length: *mut c_void, flags: c_int);
    "epoll_create1" epoll_create1(flags: c_int);
    "eventfd" eventfd(value: c_uint, flags: c_int);
    "timerfd_create" timerfd_create(clock: c_int, flags: c_int);
    "signalfd" signalfd(descriptor: c_int, mask: *const c_void, flags: c_int);
    "inotify_init1" inotify_init1(flags: c_int);
    "memfd_create" memfd_create(name: *const c_char, flags: c_uint);
    "dup" dup(descriptor: c_int);
}

label!("socketpair", socketpair);
label!("pipe", pipe);
label!("pipe2", pipe2);
label!("dup2", dup2);
label!("dup3", dup3);
label!("fcntl", fcntl);
label!("fcntl64", fcntl64);
label!("close", close);
label!("fdopen", fdopen);
label!("fdopendir", fdopendir);

unsafe extern "C" fn socketpair(domain: c_int, kind: c_int, protocol: c_int, pair: *mut c_int) -> c_int {
    let real = real!(c"socketpair" as unsafe extern "C" fn(c_int, c_int, c_int, *mut c_int) -> c_int);
    // SAFETY: passed on as it came; libc has written the pair if it says so.
    unsafe { opened_pair(real(domain, kind, protocol, pair), pair) }
}

unsafe extern "C" fn pipe(pair: *mut c_int) -> c_int {
    let real = real!(c"pipe" as unsafe extern "C" fn(*mut c_int) -> c_int);
    // SAFETY: as above.
    unsafe { opened_pair(real(pair), pair) }
}

unsafe extern "C" fn pipe2(pair: *mut c_int, flags: c_int) -> c_int {
    let real = real!(c"pipe2" as unsafe extern "C" fn(*mut c_int, c_int) -> c_int);
    // SAFETY: as above.
    unsafe { opened_pair(real(pair, flags), pair) }
}

unsafe extern "C" fn dup2(from: c_int, to: c_int) -> c_int {
    let real = real!(c"dup2" as unsafe extern "C" fn(c_int, c_int) -> c_int);
    // SAFETY: passed on as it came.
    opened(unsafe { real(from, to) })
}

unsafe extern "C" fn dup3(from: c_int, to: c_int, flags: c_int) -> c_int {
    let real = real!(c"dup3" as unsafe extern "C" fn(c_int, c_int, c_int) -> c_int);
    // SAFETY: passed on as it came.
    opened(unsafe { real(from, to, flags) })
}

type Fcntl = unsafe extern "C" fn(c_int, c_int, usize) -> c_int;

/// Only two of its commands make a descriptor.
fn after_fcntl(command: c_int, outcome: c_int) -> c_int {
    if matches!(command, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC) { opened(outcome) } else { outcome }
}

unsafe extern "C" fn fcntl(descriptor: c_int, command: c_int, argument: usize) -> c_int {
    let real = real!(c"fcntl" as Fcntl);
    // SAFETY: passed on as it came, with an argument whether there is one or not.
    after_fcntl(command, unsafe { real(descriptor, command, argument) })
}

unsafe extern "C" fn fcntl64(descriptor: c_int, command: c_int, argument: usize) -> c_int {
    let real = real!(c"fcntl64" as Fcntl);
    // SAFETY: as above.
    after_fcntl(command, unsafe { real(descriptor, command, argument) })
}

unsafe extern "C" fn close(descriptor: c_int) -> c_int {
    // Before it is closed: afterwards its number may be somebody else's.
    given_up(descriptor);
    let real = real!(c"close" as unsafe extern "C" fn(c_int) -> c_int);
    // SAFETY: passed on as it came.
    unsafe { real(descriptor) }
}

unsafe extern "C" fn fdopen(descriptor: c_int, mode: *const c_char) -> *mut c_void {
    let real = real!(c"fdopen" as unsafe extern "C" fn(c_int, *const c_char) -> *mut c_void);
    given_up(descriptor);
    // SAFETY: passed on as it came. `fclose` closes it within libc.
    unsafe { real(descriptor, mode) }
}

unsafe extern "C" fn fdopendir(descriptor: c_int) -> *mut c_void {
    let real = real!(c"fdopendir" as unsafe extern "C" fn(c_int) -> *mut c_void);
    given_up(descriptor);
    // SAFETY: passed on as it came. `closedir` closes it within libc.
    unsafe { real(descriptor) }
}
