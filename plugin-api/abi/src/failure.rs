//! How a failure crosses, and how a panic is stopped before it would.

use abi_stable::{
    StableAbi,
    std_types::{RSlice, RStr},
};
use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
};

/// What went wrong on the other side.
#[repr(u8)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// An error value, reported in order.
    Error,
    /// A panic, caught where it happened.
    Panic,
    /// What was asked for is not there (an optional function, a feature).
    Unsupported,
    /// A panic of `routes`, which runs within the job `create`.
    PanicInRoutes,
}

/// A failure, borrowed for the call that reports it.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct Failure<'a> {
    /// What sort of failure.
    pub kind: FailureKind,
    /// One sentence for people.
    pub message: RStr<'a>,
    /// `file:line` of a panic, or empty.
    pub location: RStr<'a>,
    /// Return addresses of a panic's backtrace, innermost first, to be named by whoever has the symbols.
    pub frames: RSlice<'a, usize>,
}

/// A failure in this side's own memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureMessage {
    /// See [`Failure::kind`].
    pub kind: FailureKind,
    /// See [`Failure::message`].
    pub message: String,
    /// See [`Failure::location`].
    pub location: String,
    /// See [`Failure::frames`].
    pub frames: Vec<usize>,
}

impl FailureMessage {
    /// An ordinary error.
    pub fn error(message: impl Into<String>) -> Self {
        FailureMessage {
            kind: FailureKind::Error,
            message: message.into(),
            location: String::new(),
            frames: Vec::new(),
        }
    }

    /// Lends this failure to a call.
    pub fn borrow(&self) -> Failure<'_> {
        Failure {
            kind: self.kind,
            message: RStr::from_str(&self.message),
            location: RStr::from_str(&self.location),
            frames: RSlice::from_slice(&self.frames),
        }
    }
}

impl From<&Failure<'_>> for FailureMessage {
    /// Copies with limits, for the other side may be careless: at most 16 KiB of text and 256 frames.
    fn from(failure: &Failure<'_>) -> Self {
        let text = |part: RStr<'_>, limit: usize| {
            let bytes = part.as_bytes();
            String::from_utf8_lossy(&bytes[..bytes.len().min(limit)]).into_owned()
        };
        FailureMessage {
            kind: failure.kind,
            message: text(failure.message, 16 * 1024),
            location: text(failure.location, 1024),
            frames: failure.frames.iter().take(256).copied().collect(),
        }
    }
}

/// A panic that was stopped on this side.
pub type Caught = FailureMessage;

thread_local! {
    /// How many `catch`es this thread is in.
    static CATCHING: Cell<usize> = const { Cell::new(0) };
    static LAST: RefCell<Option<(String, Vec<usize>)>> = const { RefCell::new(None) };
}

/// Makes this library's panics quiet and remembers where they happened, for [`catch`] to report.
///
/// For a plugin's own copy of std only: a host, or a program that links a plugin in, keeps its own hook. `frames` collects
/// the return addresses of its caller. A panic that no [`catch`] will see (in a spawned task, in a thread) goes to `report`.
pub fn record_panics(frames: fn() -> Vec<usize>, report: fn(&Caught)) {
    std::panic::set_hook(Box::new(move |info| {
        let location = info.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
        let frames = frames();
        if CATCHING.try_with(Cell::get).is_ok_and(|depth| depth > 0) {
            // A panic while this thread's locals are torn down has nowhere to be remembered; it is caught all the same.
            let _ = LAST.try_with(|last| *last.borrow_mut() = Some((location, frames)));
        } else {
            let message = text_of(info.payload());
            report(&FailureMessage { kind: FailureKind::Panic, message, location, frames });
        }
    }));
}

fn text_of(payload: &dyn Any) -> String {
    let text = payload.downcast_ref::<&'static str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("the panic carried no text").to_owned()
}

/// Runs `body`; a panic becomes a [`Caught`] and goes no further.
pub fn catch<R>(body: impl FnOnce() -> R) -> Result<R, Caught> {
    let _ = CATCHING.try_with(|depth| depth.set(depth.get() + 1));
    let outcome = catch_unwind(AssertUnwindSafe(body));
    let _ = CATCHING.try_with(|depth| depth.set(depth.get() - 1));
    outcome.map_err(|payload| {
        let message = text_of(&*payload);
        let (location, frames) = LAST.try_with(|last| last.borrow_mut().take()).ok().flatten().unwrap_or_default();
        // The payload's own drop may panic too: later, so that the place is the first one's. What that second panic carries
        // is leaked rather than risked.
        if let Err(second) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
            let _leaked = std::mem::ManuallyDrop::new(second);
        }
        FailureMessage { kind: FailureKind::Panic, message, location, frames }
    })
}

/// As [`catch`], where there is nobody to tell.
pub fn catch_quietly(body: impl FnOnce()) {
    let _ = catch(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_message() {
        assert_eq!(catch(|| panic!("plain")).unwrap_err().message, "plain");
        assert_eq!(catch(|| panic!("{} {}", 1, 2)).unwrap_err().message, "1 2");
        assert_eq!(catch(|| std::panic::panic_any(7)).unwrap_err().message, "the panic carried no text");
        assert_eq!(catch(|| 5), Ok(5));
    }

    #[test]
    fn a_payload_whose_drop_panics_is_survived() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("in the payload's drop");
            }
        }
        assert_eq!(catch(|| std::panic::panic_any(Bomb)).unwrap_err().kind, FailureKind::Panic);
    }

    #[test]
    fn a_copied_failure_has_limits() {
        let huge = FailureMessage { frames: vec![1; 1000], ..FailureMessage::error("x".repeat(10 << 20)) };
        let copied = FailureMessage::from(&huge.borrow());
        assert_eq!((copied.message.len(), copied.frames.len()), (16 * 1024, 256));
    }
}
