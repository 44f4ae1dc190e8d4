//! The plugin's own environment: what `getenv` and `environ` show to this library alone.
//!
//! The names of libc are defined here as hidden labels (see `label`), so std's `env` and C code that is linked into this library
//! see the host's list for this plugin, and children that std starts inherit it. The process's environment is never changed: what
//! the plugin sets is set for the plugin. In an ordinary program (`cargo test`) everything is the program's own.
//!
//! Lists that were replaced are kept for good, as libc keeps them: somebody may still be reading one.

use crate::label::{in_main_program, label, real};
use camlock_abi::HostRef;
use std::{
    ffi::{CStr, c_char, c_int},
    ptr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicPtr, Ordering},
    },
};

label!("getenv", get);
label!("secure_getenv", get_secure);
label!("setenv", set);
label!("unsetenv", unset);
label!("putenv", put);
label!("clearenv", clear);
core::arch::global_asm!(
    ".pushsection .data.camlock_environ, \"aw\"",
    ".balign 8",
    ".globl environ",
    ".hidden environ",
    ".type environ,@object",
    ".size environ, 8",
    "environ: .quad 0",
    ".popsection",
);

type EnvironList = *mut *mut c_char;

unsafe extern "C" {
    /// The label above. Code of others reads it without asking; here it is only touched atomically.
    static mut environ: EnvironList;
}

/// What std's `env` reads before anything else of this library runs: the process's own list.
#[used]
#[unsafe(link_section = ".init_array")]
static FIRST: extern "C" fn() = {
    extern "C" fn first() {
        show(process_list());
    }
    first
};

/// Whether the host's list is shown.
static IS_OWN: AtomicBool = AtomicBool::new(false);
/// Held by whoever makes another list.
static CHANGING: Mutex<()> = Mutex::new(());

fn shown() -> &'static AtomicPtr<*mut c_char> {
    // SAFETY: the label has a pointer's size and alignment, and is there as long as this library; Rust code here touches it in no
    // other way, and for code of others it is an ordinary variable, as libc's is.
    unsafe { AtomicPtr::from_ptr(&raw mut environ) }
}

fn show(list: EnvironList) {
    shown().store(list, Ordering::Release);
}

/// libc's own list.
fn process_list() -> EnvironList {
    let list = real!(c"environ" as *const EnvironList);
    // SAFETY: libc documents `environ` as a variable of this type.
    unsafe { list.read_volatile() }
}

/// From now on this library sees the host's list.
pub(crate) fn opened(host: HostRef) {
    // SAFETY: the host's record and table are valid while this library is mapped, and so is the list, which nobody changes: what
    // is set goes into a list of this library's.
    let list = unsafe { host.table.environment()(host.context) };
    show(list.cast_mut().cast());
    IS_OWN.store(true, Ordering::Release);
}

/// The entries of a list.
///
/// # Safety
/// Null, or a list of C strings with a null pointer at its end, all of which live on.
unsafe fn entries(list: EnvironList) -> impl Iterator<Item = &'static CStr> {
    let mut at = list;
    std::iter::from_fn(move || {
        if at.is_null() {
            return None;
        }
        // SAFETY: as the caller promises; the end was not passed.
        unsafe {
            let entry = *at;
            at = at.add(1);
            (!entry.is_null()).then(|| CStr::from_ptr(entry))
        }
    })
    .fuse()
}

/// Whether an entry is of this name.
fn is_of(entry: &CStr, name: &[u8]) -> bool {
    entry.to_bytes().strip_prefix(name).is_some_and(|rest| rest.first() == Some(&b'='))
}

unsafe extern "C" fn get(name: *const c_char) -> *mut c_char {
    if !IS_OWN.load(Ordering::Acquire) {
        let get = real!(c"getenv" as unsafe extern "C" fn(*const c_char) -> *mut c_char);
        // SAFETY: passed on as it came.
        return unsafe { get(name) };
    }
    // SAFETY: a C string of the caller's.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes();
    // SAFETY: what is shown is the host's list or one of ours, which are kept.
    let found = unsafe { entries(shown().load(Ordering::Acquire)) }.find(|entry| is_of(entry, name));
    // SAFETY: the value begins behind the name and the equals sign, within the entry.
    found.map_or(ptr::null_mut(), |entry| unsafe { entry.as_ptr().add(name.len() + 1).cast_mut() })
}

unsafe extern "C" fn get_secure(name: *const c_char) -> *mut c_char {
    // SAFETY: getauxval has no preconditions; the name is passed on as it came.
    unsafe { if libc::getauxval(libc::AT_SECURE) == 0 { get(name) } else { ptr::null_mut() } }
}

/// Shows a list without the entries of a name, and with one more, if one is given; `replace` is false: only if there is none yet.
fn change(name: &[u8], entry: Option<*mut c_char>, replace: bool) {
    let _changing = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: as in `get`.
    let all = unsafe { entries(shown().load(Ordering::Acquire)) };
    let (same, others): (Vec<_>, Vec<_>) = all.partition(|entry| is_of(entry, name));
    if !replace && !same.is_empty() {
        return;
    }
    let mut list: Vec<*mut c_char> = others.into_iter().map(|entry| entry.as_ptr().cast_mut()).collect();
    list.extend(entry);
    list.push(ptr::null_mut());
    show(list.leak().as_mut_ptr());
}

fn invalid() -> c_int {
    // SAFETY: errno is this thread's own.
    unsafe { *libc::__errno_location() = libc::EINVAL };
    -1
}

/// A name as `setenv` takes them.
///
/// # Safety
/// Null, or a C string.
unsafe fn name_of<'a>(name: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: as the caller promises.
    let name = (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_bytes())?;
    (!name.is_empty() && !name.contains(&b'=')).then_some(name)
}

unsafe extern "C" fn set(name: *const c_char, value: *const c_char, replace: c_int) -> c_int {
    if !IS_OWN.load(Ordering::Acquire) {
        let set = real!(c"setenv" as unsafe extern "C" fn(*const c_char, *const c_char, c_int) -> c_int);
        // SAFETY: passed on as it came.
        return passed_on(unsafe { set(name, value, replace) });
    }
    // SAFETY: C strings of the caller's.
    let (Some(name), value) = (unsafe { name_of(name) }, unsafe { CStr::from_ptr(value) }) else { return invalid() };
    let entry = [name, b"=", value.to_bytes_with_nul()].concat();
    change(name, Some(entry.leak().as_mut_ptr().cast()), replace != 0);
    0
}

unsafe extern "C" fn unset(name: *const c_char) -> c_int {
    if !IS_OWN.load(Ordering::Acquire) {
        let unset = real!(c"unsetenv" as unsafe extern "C" fn(*const c_char) -> c_int);
        // SAFETY: passed on as it came.
        return passed_on(unsafe { unset(name) });
    }
    // SAFETY: a C string of the caller's.
    let Some(name) = (unsafe { name_of(name) }) else { return invalid() };
    change(name, None, true);
    0
}

unsafe extern "C" fn put(entry: *mut c_char) -> c_int {
    if !IS_OWN.load(Ordering::Acquire) {
        let put = real!(c"putenv" as unsafe extern "C" fn(*mut c_char) -> c_int);
        // SAFETY: passed on as it came.
        return passed_on(unsafe { put(entry) });
    }
    // SAFETY: a C string of the caller's, who leaves it there, as putenv asks.
    let text = unsafe { CStr::from_ptr(entry) }.to_bytes();
    match text.iter().position(|byte| *byte == b'=') {
        Some(0) => return invalid(),
        Some(end) => change(&text[..end], Some(entry), true),
        None => change(text, None, true),
    }
    0
}

unsafe extern "C" fn clear() -> c_int {
    if !IS_OWN.load(Ordering::Acquire) {
        let clear = real!(c"clearenv" as unsafe extern "C" fn() -> c_int);
        // SAFETY: passed on as it came.
        return passed_on(unsafe { clear() });
    }
    show(ptr::null_mut());
    0
}

/// libc has changed the process's list: shows that one, if it is the one that is seen here.
fn passed_on(outcome: c_int) -> c_int {
    if in_main_program() {
        show(process_list());
    }
    outcome
}
