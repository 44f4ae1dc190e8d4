//! Memory of messages that are through, for those that come after them on the same thread: a request needs a header map, a
//! place for the bytes of its head and one for its task, and its answer leaves a header map and a task behind. What must not live
//! here: anything that was in it.
//!
//! It belongs to the instance, not to the threads: a thread of the host's that sleeps would never give it back.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use std::{
    any::Any,
    cell::Cell,
    mem::MaybeUninit,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Heads are copied into pieces of this size, each of which is used again when nothing of it is referred to any more.
const PIECE: usize = 4096;
/// A longer head gets memory of its own.
const LONG: usize = PIECE / 4;
/// A map that has grown beyond this is not kept.
const MOST_HEADERS: usize = 64;
/// So many threads have a place of their own; more of them share.
const PLACES: usize = 16;

/// What an instance keeps for its threads.
#[derive(Default)]
pub(crate) struct Spares([SparePlace; PLACES]);

/// Threads do not wait for each other's memory, not even the processor's.
#[derive(Default)]
#[repr(align(128))]
struct SparePlace(Mutex<Spare>);

#[derive(Default)]
struct Spare {
    heads: BytesMut,
    headers: HeaderMap,
    /// Where the task of a request lay; there is none in it.
    task: Option<Box<dyn Any + Send>>,
}

thread_local! {
    /// Where this thread's place is, plus one. It has nothing that would have to be dropped.
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

fn number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed) % PLACES + 1);
        }
        number.get() - 1
    })
}

impl Spares {
    /// What this thread has, unless another one is at it.
    fn with<R>(&self, body: impl FnOnce(&mut Spare) -> R) -> Option<R> {
        self.0[number()].0.try_lock().ok().map(|mut spare| body(&mut spare))
    }

    /// A copy of some bytes in one piece, and an empty header map.
    ///
    /// `fill` must add `len` bytes, and nothing else.
    pub(crate) fn head(&self, len: usize, fill: impl Fn(&mut BytesMut)) -> (Bytes, HeaderMap) {
        let copied = |heads: &mut BytesMut| {
            fill(heads);
            heads.split().freeze()
        };
        let (copy, headers) = self
            .with(|spare| {
                let copy = (len <= LONG).then(|| {
                    if spare.heads.capacity() < len {
                        // It is the same piece again, if that one is free.
                        spare.heads.reserve(PIECE);
                    }
                    copied(&mut spare.heads)
                });
                (copy, std::mem::take(&mut spare.headers))
            })
            .unwrap_or_default();
        (copy.unwrap_or_else(|| copied(&mut BytesMut::with_capacity(len))), headers)
    }

    /// A place for a task.
    pub(crate) fn task<T: Send + 'static>(&self) -> Box<MaybeUninit<T>> {
        let kept = self.with(|spare| spare.task.take()).flatten();
        kept.and_then(|place| place.downcast().ok()).unwrap_or_else(Box::new_uninit)
    }

    /// Keeps the place of a task that is through.
    pub(crate) fn keep_task<T: Send + 'static>(&self, place: Box<MaybeUninit<T>>) {
        let before = self.with(|spare| spare.task.replace(place));
        drop(before);
    }

    /// Keeps an answer's header map for a request.
    pub(crate) fn keep(&self, mut headers: HeaderMap) {
        if headers.capacity() > MOST_HEADERS {
            return;
        }
        // What is dropped here may be of any kind: not while anything is locked.
        headers.clear();
        let before = self.with(|spare| std::mem::replace(&mut spare.headers, headers));
        drop(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, header::HOST};

    #[test]
    fn pieces_are_used_again_when_they_are_free() {
        let spares = Spares::default();
        let copy = |text: &str| spares.head(text.len(), |heads| heads.extend_from_slice(text.as_bytes())).0;
        let first = copy("first").as_ptr() as usize;
        // All of them lie in the one piece, for none is kept.
        for number in 0..10_000 {
            let text = number.to_string();
            let one = copy(&text);
            assert_eq!(one, text);
            assert!((first..first + PIECE).contains(&(one.as_ptr() as usize)));
        }
        // What is kept is left alone.
        let kept: Vec<_> = (0..10_000).map(|number| (number, copy(&number.to_string()))).collect();
        assert!(kept.iter().all(|(number, copy)| *copy == number.to_string()));
        let long = "x".repeat(PIECE);
        assert_eq!(copy(&long), long);
    }

    #[test]
    fn nothing_is_left_in_a_map() {
        let spares = Spares::default();
        let mut map = HeaderMap::new();
        map.insert(HOST, HeaderValue::from_static("secret"));
        spares.keep(map);
        let (_, map) = spares.head(0, |_| ());
        assert!(map.is_empty() && map.capacity() > 0, "its memory is used again");
        assert_eq!(spares.head(0, |_| ()).1.capacity(), 0, "only once");
        let mut large = HeaderMap::with_capacity(1000);
        large.insert(HOST, HeaderValue::from_static("localhost"));
        spares.keep(large);
        assert_eq!(spares.head(0, |_| ()).1.capacity(), 0, "what has grown is not kept");
    }
}
