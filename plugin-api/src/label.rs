//! Names of libc that this library defines for itself, as hidden labels: the std linked into this very plugin binds to them, and
//! nothing else does. What must not live here: what is done with the calls.

use std::{
    ffi::{CStr, c_char, c_void},
    sync::atomic::{AtomicPtr, AtomicUsize, Ordering},
};

#[cfg(target_arch = "x86_64")]
macro_rules! jump {
    () => {
        "jmp"
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! jump {
    () => {
        "b"
    };
}
/// Defines a name of libc as a jump to a function.
macro_rules! label {
    ($name:literal, $target:path) => {
        // A label and a jump: arguments, stack and return address are the caller's, so the target sees exactly the C call
        // that was made, as its signature (checked against libc's below) says.
        core::arch::global_asm!(
            concat!(".globl ", $name),
            concat!(".hidden ", $name),
            concat!(".type ", $name, ",@function"),
            concat!($name, ": ", $crate::label::jump!(), " {target}"),
            target = sym $target,
        );
    };
}

/// Whether this code was linked into the executable rather than a library: its own address lies in one of the segments
/// that the kernel's auxiliary vector describes.
pub(crate) fn in_main_program() -> bool {
    static KNOWN: AtomicUsize = AtomicUsize::new(0);
    match KNOWN.load(Ordering::Relaxed) {
        1 => return true,
        2 => return false,
        _ => {}
    }
    let here = in_main_program as fn() -> bool as usize;
    // SAFETY: getauxval has no preconditions; AT_PHDR and AT_PHNUM describe the executable's program headers, which stay
    // mapped and unchanged.
    let inside = unsafe {
        let headers = libc::getauxval(libc::AT_PHDR) as usize;
        let count = libc::getauxval(libc::AT_PHNUM) as usize;
        let headers =
            if headers == 0 { &[][..] } else { std::slice::from_raw_parts(headers as *const libc::Elf64_Phdr, count) };
        let own = headers.iter().find(|header| header.p_type == libc::PT_PHDR);
        let bias = own.map_or(0, |own| (headers.as_ptr() as usize).wrapping_sub(own.p_vaddr as usize));
        headers.iter().filter(|header| header.p_type == libc::PT_LOAD).any(|header| {
            let start = bias.wrapping_add(header.p_vaddr as usize);
            (start..start.wrapping_add(header.p_memsz as usize)).contains(&here)
        })
    };
    KNOWN.store(if inside { 1 } else { 2 }, Ordering::Relaxed);
    inside
}

/// libc's own function of that name.
pub(crate) fn find(cache: &AtomicPtr<c_void>, name: &CStr) -> *mut c_void {
    let known = cache.load(Ordering::Acquire);
    if !known.is_null() {
        return known;
    }
    // SAFETY: dlsym with a C string; RTLD_NEXT skips this library (or program), so it finds libc's.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr().cast::<c_char>()) };
    if found.is_null() {
        // Without it no thread can be made at all: nothing sensible is left to do.
        std::process::abort();
    }
    cache.store(found, Ordering::Release);
    found
}

/// The function of libc by that name, as a signature.
macro_rules! real {
    ($name:tt as $signature:ty) => {{
        static CACHE: std::sync::atomic::AtomicPtr<std::ffi::c_void> =
            std::sync::atomic::AtomicPtr::new(std::ptr::null_mut());
        // SAFETY: libc documents this signature for this name.
        unsafe { std::mem::transmute::<*mut std::ffi::c_void, $signature>($crate::label::find(&CACHE, $name)) }
    }};
}

pub(crate) use {jump, label, real};
