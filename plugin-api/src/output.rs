//! What the plugin prints: a line for standard output or standard error becomes a record in the plugin's log.
//!
//! `write` and `writev` are defined here as hidden labels (see `label`): std's `println!` and `eprintln!` end there. What does not
//! come from this library's own code (a C library's `printf`) goes where the process's output goes. Until the host is there, while a
//! build is verified, and in an ordinary program everything is passed on.

use crate::label::label;
use camlock_abi::{EventView, HostRef, Level, RSlice, RStr};
use std::{
    ffi::{c_int, c_void},
    io::Write,
    slice,
    sync::{Mutex, OnceLock, TryLockError},
};

label!("write", write);
label!("writev", write_vectored);

/// A longer line is cut into several records.
const LONGEST_LINE: usize = 8 * 1024;

static HOST: OnceLock<HostRef> = OnceLock::new();
static STDOUT: PrintedStream = PrintedStream { target: "stdout", line: Mutex::new(Vec::new()) };
static STDERR: PrintedStream = PrintedStream { target: "stderr", line: Mutex::new(Vec::new()) };

/// From now on lines are the host's.
pub(crate) fn opened(host: HostRef) {
    let _ = HOST.set(host);
}

/// Tells what was printed without an end of its line.
pub(crate) fn closed() {
    // std keeps what has no end yet; nobody else asks it to give that out.
    let _ = std::io::stdout().flush();
    for stream in [&STDOUT, &STDERR] {
        if let (Some(host), Ok(mut line)) = (HOST.get(), stream.line.try_lock()) {
            stream.tell(*host, &mut line);
        }
    }
}

struct PrintedStream {
    target: &'static str,
    /// What was printed since the last end of a line.
    line: Mutex<Vec<u8>>,
}

impl PrintedStream {
    fn of(descriptor: c_int) -> Option<(&'static PrintedStream, HostRef)> {
        let stream = match descriptor {
            libc::STDOUT_FILENO => &STDOUT,
            libc::STDERR_FILENO => &STDERR,
            _ => return None,
        };
        HOST.get().map(|host| (stream, *host))
    }

    /// Takes what is printed. False: it is to go where it would have gone. That is so where this thread is already in here (the
    /// allocator's last words), or another thread is: nobody waits in what may be a signal handler.
    fn take(&self, host: HostRef, bytes: &[u8]) -> bool {
        let mut line = match self.line.try_lock() {
            Ok(line) => line,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(part);
            if part.ends_with(b"\n") || line.len() >= LONGEST_LINE {
                self.tell(host, &mut line);
            }
        }
        true
    }

    fn tell(&self, host: HostRef, line: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\n', '\r']);
        if !text.is_empty() {
            let message = camlock_abi::FieldView {
                name: RStr::from_str("message"),
                value: camlock_abi::FieldValue { kind: camlock_abi::ValueKind::Text, text: RStr::from_str(text) },
            };
            let event = EventView {
                level: Level::Info,
                target: RStr::from_str(self.target),
                location: RStr::from_str(""),
                parent: 0,
                fields: RSlice::from_slice(slice::from_ref(&message)),
            };
            // SAFETY: the host's record and table are valid while this library is mapped; the event lives for this call.
            unsafe { host.table.event()(host.context, &event) }
        }
        line.clear();
    }
}

unsafe extern "C" fn write(descriptor: c_int, from: *const c_void, len: usize) -> isize {
    if let Some((stream, host)) = PrintedStream::of(descriptor) {
        // SAFETY: `write` is given that many bytes.
        let bytes = if len == 0 { &[] } else { unsafe { slice::from_raw_parts(from.cast::<u8>(), len) } };
        if camlock_abi::catch(|| stream.take(host, bytes)).unwrap_or(true) {
            return len as isize;
        }
    }
    // SAFETY: the system call of that name, with the caller's arguments; it sets errno as libc's function does.
    unsafe { libc::syscall(libc::SYS_write, descriptor, from, len) as isize }
}

unsafe extern "C" fn write_vectored(descriptor: c_int, parts: *const libc::iovec, count: c_int) -> isize {
    if let (Some((stream, host)), Ok(length)) = (PrintedStream::of(descriptor), usize::try_from(count)) {
        // SAFETY: `writev` is given so many parts.
        let parts = if length == 0 { &[] } else { unsafe { slice::from_raw_parts(parts, length) } };
        // SAFETY: each has so many bytes, as `writev` asks.
        let bytes = |part: &libc::iovec| unsafe { slice::from_raw_parts(part.iov_base.cast::<u8>(), part.iov_len) };
        let all: Vec<u8> = parts.iter().filter(|part| part.iov_len > 0).flat_map(bytes).copied().collect();
        if camlock_abi::catch(|| stream.take(host, &all)).unwrap_or(true) {
            return all.len() as isize;
        }
    }
    // SAFETY: as in `write`.
    unsafe { libc::syscall(libc::SYS_writev, descriptor, parts, count) as isize }
}
