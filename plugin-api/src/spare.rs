//! Memory of messages that are through, for those that come after them on the same thread: a request needs a header map and a
//! place for the bytes of its head, and its answer leaves a header map behind. What must not live here: anything that was in it.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use std::cell::RefCell;

/// Heads are copied into pieces of this size, each of which is used again when nothing of it is referred to any more.
const PIECE: usize = 4096;
/// A longer head gets memory of its own.
const LONG: usize = PIECE / 4;
/// A map that has grown beyond this is not kept.
const MOST_HEADERS: usize = 64;

#[derive(Default)]
struct Spare {
    heads: BytesMut,
    headers: HeaderMap,
}

thread_local! {
    static SPARE: RefCell<Option<Spare>> = const { RefCell::new(None) };
}

/// What this thread has, unless it ends.
fn with<R>(body: impl FnOnce(&mut Spare) -> R) -> Option<R> {
    let borrowed = |spare: &RefCell<Option<Spare>>| {
        spare.try_borrow_mut().ok().map(|mut spare| body(spare.get_or_insert_with(Spare::default)))
    };
    SPARE.try_with(borrowed).ok().flatten()
}

/// A copy of some bytes in one piece, and an empty header map.
///
/// `fill` must add `len` bytes, and nothing else.
pub(crate) fn head(len: usize, fill: impl Fn(&mut BytesMut)) -> (Bytes, HeaderMap) {
    let copied = |heads: &mut BytesMut| {
        fill(heads);
        heads.split().freeze()
    };
    let (copy, headers) = with(|spare| {
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

/// Keeps an answer's header map for a request.
pub(crate) fn keep(mut headers: HeaderMap) {
    if headers.capacity() > MOST_HEADERS {
        return;
    }
    // What is dropped here may be of any kind: not while anything is borrowed.
    headers.clear();
    let before = with(|spare| std::mem::replace(&mut spare.headers, headers));
    drop(before);
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, header::HOST};

    #[test]
    fn pieces_are_used_again_when_they_are_free() {
        let copy = |text: &str| head(text.len(), |heads| heads.extend_from_slice(text.as_bytes())).0;
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
        let mut map = HeaderMap::new();
        map.insert(HOST, HeaderValue::from_static("secret"));
        keep(map);
        let (_, map) = head(0, |_| ());
        assert!(map.is_empty() && map.capacity() > 0, "its memory is used again");
        assert_eq!(head(0, |_| ()).1.capacity(), 0, "only once");
        let mut large = HeaderMap::with_capacity(1000);
        large.insert(HOST, HeaderValue::from_static("localhost"));
        keep(large);
        assert_eq!(head(0, |_| ()).1.capacity(), 0, "what has grown is not kept");
    }
}
