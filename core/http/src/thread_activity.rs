//! Which threads are inside a plugin's code, and what they were line: written at every poll, read by whoever looks on.
//!
//! Writing must cost next to nothing, so there is no clock and no lock in it: a thread writes a few words into a slot of its
//! own, and counts. Who looks on sees from the count whether it is still the same poll. What must not live here: what follows
//! from it.

use http::{Method, Request};
use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering, fence},
    },
};

/// What a request line for.
#[derive(Clone, Debug)]
pub(crate) struct RequestLine {
    pub(crate) method: Method,
    path: RequestPath,
}

/// A path, without what follows it, which is the client's own affair.
///
/// It is a copy: the memory that the request lay in is its connection's, which reads the next one into it as soon as nothing
/// refers to it any more.
#[derive(Clone, Debug)]
enum RequestPath {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Arc<str>),
}

/// So long a path, as most are, is kept without an allocation.
const SHORT: usize = 46;

impl RequestLine {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let path = request.uri().path();
        let path = if path.len() <= SHORT {
            let mut bytes = [0; SHORT];
            bytes[..path.len()].copy_from_slice(path.as_bytes());
            RequestPath::Short { length: path.len() as u8, bytes }
        } else {
            RequestPath::Long(path.into())
        };
        RequestLine { method: request.method().clone(), path }
    }

    pub(crate) fn path(&self) -> &str {
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }

    fn bytes(&self) -> &[u8] {
        match &self.path {
            RequestPath::Short { length, bytes } => &bytes[..usize::from(*length)],
            RequestPath::Long(path) => path.as_bytes(),
        }
    }
}

/// So much of a path is kept: 16 words.
const WORDS: usize = 16;
const LONGEST: usize = WORDS * 8;

/// The group of threads that belong to none.
pub(crate) const NO_GROUP: u64 = 0;

/// How methods are written down; others are not told apart.
const METHODS: [Method; 9] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::HEAD,
    Method::OPTIONS,
    Method::PATCH,
    Method::CONNECT,
    Method::TRACE,
];

/// What one thread is at. Only that thread writes.
#[derive(Debug)]
pub(crate) struct ThreadSlot {
    /// Which one of all.
    number: u64,
    /// Odd while the thread is inside; raised at each way in and out.
    serial: AtomicU64,
    /// The threads it belongs with.
    group: AtomicU64,
    generation: AtomicU64,
    /// Its place among `METHODS`.
    method: AtomicUsize,
    length: AtomicUsize,
    /// The path, eight bytes a word; the last word has the last eight, whatever is in those before.
    path: [AtomicU64; WORDS],
}

static SLOTS: Mutex<Vec<Weak<ThreadSlot>>> = Mutex::new(Vec::new());

thread_local! {
    static SLOT: Arc<ThreadSlot> = ThreadSlot::new();
}

/// This thread belongs to this group from now on.
pub(crate) fn belong_to(group: u64) {
    let _ = SLOT.try_with(|slot| slot.group.store(group, Ordering::Relaxed));
}

/// This thread is inside a generation's code until what is returned is dropped.
#[must_use]
pub(crate) fn enter(generation: u64, line: &RequestLine) -> InsidePlugin {
    // A thread that ends has nothing to be looked at.
    InsidePlugin(SLOT.try_with(|slot| slot.enter(generation, line)).unwrap_or(false))
}

/// A thread is inside.
pub(crate) struct InsidePlugin(bool);

impl Drop for InsidePlugin {
    fn drop(&mut self) {
        if self.0 {
            let _ = SLOT.try_with(|slot| slot.leave());
        }
    }
}

impl ThreadSlot {
    fn new() -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let slot = Arc::new(ThreadSlot {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            serial: AtomicU64::new(0),
            group: AtomicU64::new(NO_GROUP),
            generation: AtomicU64::new(0),
            method: AtomicUsize::new(0),
            length: AtomicUsize::new(0),
            path: [const { AtomicU64::new(0) }; WORDS],
        });
        SLOTS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&slot));
        slot
    }

    /// False if it is inside already: the outer one counts.
    fn enter(&self, generation: u64, line: &RequestLine) -> bool {
        let serial = self.serial.load(Ordering::Relaxed);
        if serial % 2 == 1 {
            return false;
        }
        // Whoever reads what is written now, while it is written, also sees that the thread had left.
        fence(Ordering::Release);
        self.generation.store(generation, Ordering::Relaxed);
        let method = METHODS.iter().position(|method| *method == line.method);
        self.method.store(method.unwrap_or(METHODS.len()), Ordering::Relaxed);
        self.write(line.bytes());
        self.serial.store(serial + 1, Ordering::Release);
        true
    }

    /// Whole words only: copying a few bytes at a time costs more than everything else here.
    fn write(&self, path: &[u8]) {
        let path = &path[..path.len().min(LONGEST)];
        self.length.store(path.len(), Ordering::Relaxed);
        let (words, rest) = path.as_chunks::<8>();
        for (into, from) in self.path.iter().zip(words) {
            into.store(u64::from_le_bytes(*from), Ordering::Relaxed);
        }
        if rest.is_empty() {
            return;
        }
        let last = match path.last_chunk::<8>() {
            Some(last) => u64::from_le_bytes(*last),
            None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        self.path[words.len()].store(last, Ordering::Relaxed);
    }

    /// What `write` wrote.
    fn read(&self) -> Vec<u8> {
        let length = self.length.load(Ordering::Relaxed).min(LONGEST);
        let mut path: Vec<u8> = self.path.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        if length > 8 && !length.is_multiple_of(8) {
            let last = length / 8 * 8;
            path.copy_within(last..last + 8, length - 8);
        }
        path.truncate(length);
        path
    }

    fn leave(&self) {
        let serial = self.serial.load(Ordering::Relaxed);
        self.serial.store(serial + 1, Ordering::Relaxed);
    }

    fn look(self: Arc<Self>) -> Option<ActiveThread> {
        let serial = self.serial.load(Ordering::Acquire);
        (serial % 2 == 1).then(|| ActiveThread {
            thread: self.number,
            serial,
            group: self.group.load(Ordering::Relaxed),
            generation: self.generation.load(Ordering::Relaxed),
            slot: self,
        })
    }
}

/// A thread that was seen inside.
#[derive(Debug)]
pub(crate) struct ActiveThread {
    /// Which thread.
    pub(crate) thread: u64,
    /// Which of its polls.
    pub(crate) serial: u64,
    /// The threads it belongs with.
    pub(crate) group: u64,
    /// The generation's key.
    pub(crate) generation: u64,
    slot: Arc<ThreadSlot>,
}

impl ActiveThread {
    /// What it was line, if it is still at it.
    pub(crate) fn request_line(&self) -> Option<Route> {
        let slot = &self.slot;
        let path = slot.read();
        let method = METHODS.get(slot.method.load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        if slot.serial.load(Ordering::Relaxed) != self.serial {
            return None;
        }
        let method = method.map_or("(another method)", Method::as_str).to_owned();
        Some(Route { method, path: String::from_utf8_lossy(&path).into_owned() })
    }
}

/// What a thread was line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) method: String,
    pub(crate) path: String,
}

impl fmt::Display for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.method, self.path)
    }
}

/// All threads that are inside now.
pub(crate) fn active_threads() -> Vec<ActiveThread> {
    let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
    slots.retain(|slot| slot.strong_count() > 0);
    slots.iter().filter_map(Weak::upgrade).filter_map(ThreadSlot::look).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn asked_for(method: &str, path: &str) -> RequestLine {
        RequestLine::of(&Request::builder().method(method).uri(path).body(()).unwrap())
    }

    /// What this thread is seen at.
    fn seen_here(key: u64) -> Vec<(Option<String>, u64)> {
        let seen = active_threads().into_iter().filter(|active| active.generation == key);
        seen.map(|active| (active.request_line().map(|route| route.to_string()), active.group)).collect()
    }

    #[test]
    fn a_thread_is_seen_while_it_is_inside() {
        let long = format!("/{}", "x".repeat(300));
        for (key, method, path, seen) in [
            (u64::MAX, "GET", "/hello?secret=1", "GET /hello".to_owned()),
            (u64::MAX - 1, "PROPPATCH", "/12345678", "(another method) /12345678".to_owned()),
            (u64::MAX - 2, "POST", &long, format!("POST {}", &long[..128])),
            (u64::MAX - 3, "GET", "/", "GET /".to_owned()),
            (u64::MAX - 4, "GET", "/234567", "GET /234567".to_owned()),
            (u64::MAX - 5, "TRACE", "/2345678", "TRACE /2345678".to_owned()),
            (u64::MAX - 6, "GET", "/23456789abcdef0", "GET /23456789abcdef0".to_owned()),
            (u64::MAX - 7, "GET", "/23456789abcdef01234", "GET /23456789abcdef01234".to_owned()),
        ] {
            assert_eq!(seen_here(key), []);
            belong_to(7);
            let inside = enter(key, &asked_for(method, path));
            assert_eq!(seen_here(key), [(Some(seen), 7)]);
            // What is further inside is not seen, and does not end it.
            drop(enter(key - 50, &asked_for("GET", "/inner")));
            assert_eq!(seen_here(key).len(), 1);
            drop(inside);
            assert_eq!(seen_here(key), []);
        }
    }

    #[test]
    fn what_has_ended_meanwhile_is_not_told() {
        let key = u64::MAX - 100;
        let inside = enter(key, &asked_for("GET", "/one"));
        let active = active_threads().into_iter().find(|active| active.generation == key).unwrap();
        drop(inside);
        assert_eq!(active.request_line(), None);
        let _inside = enter(key, &asked_for("GET", "/two"));
        assert_eq!(active.request_line(), None);
    }

    #[test]
    fn a_thread_that_ends_is_forgotten() {
        let key = u64::MAX - 200;
        let (inside, is_inside) = mpsc::channel();
        let (leave, may_leave) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let _inside = enter(key, &asked_for("GET", "/"));
            inside.send(()).unwrap();
            let _ = may_leave.recv();
        });
        is_inside.recv().unwrap();
        assert_eq!(seen_here(key).len(), 1);
        drop(leave);
        thread.join().unwrap();
        assert_eq!(seen_here(key), []);
    }
}
