//! What runs and what is under way, in a file that is mapped: it outlives a process that ends without a word, as one does that calls
//! `_exit`, or whose stack has overflowed where nobody catches it.
//!
//! Each generation has a row: who it is, and how many requests it has under way. Each thread of the host's has a place: which generation
//! it is inside of. Writing is one store. What must not live here: what follows from it.

use super::GenerationName;
use camlock_policy::GenerationKey;
use parking_lot::Mutex;
use std::{
    cell::Cell,
    fs::File,
    io,
    os::fd::AsRawFd,
    path::Path,
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

const ROWS: usize = 1024;
/// In numbers of eight bytes: key, requests under way, length of the name, since when in seconds since 1970, and the name.
const ROW: usize = 64;
const NAME: usize = 4;
const PLACES: usize = 1024;
/// A cache line each.
const PLACE: usize = 8;
const NUMBERS: usize = ROWS * ROW + PLACES * PLACE;

/// That of the process; the first that was opened.
static TABLE: OnceLock<RunningTable> = OnceLock::new();
/// For threads that have no place.
static NOWHERE: AtomicU64 = AtomicU64::new(0);

struct RunningTable {
    numbers: &'static [AtomicU64],
    free: Mutex<FreeRoom>,
}

struct FreeRoom {
    rows: Vec<usize>,
    places: Vec<usize>,
}

/// From now on it stands in this file.
pub(super) fn keep_in(path: &Path) -> io::Result<()> {
    let file = File::options().create_new(true).read(true).write(true).open(path)?;
    let length = NUMBERS * size_of::<u64>();
    // All of it has its room on the disk: nobody may be ended for writing here.
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, length as u64)?;
    // SAFETY: a new mapping of a file that is ours, at an address of the kernel's choice.
    let address = unsafe {
        libc::mmap(ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is of that length, aligned to a page, and never unmapped; all that is done to it here are atomic accesses, and
    // no other process writes to a file of this one's own directory.
    let numbers = unsafe { std::slice::from_raw_parts(address.cast::<AtomicU64>(), NUMBERS) };
    let free = Mutex::new(FreeRoom { rows: (0..ROWS).rev().collect(), places: (0..PLACES).rev().collect() });
    // A second one in a process is not written to.
    let _ = TABLE.set(RunningTable { numbers, free });
    Ok(())
}

/// The row of a generation, given back when it is dropped.
pub(crate) struct RunningRow(usize);

impl RunningRow {
    /// One for the generation with this key, which is called so; none if there is no room, or nothing is kept.
    pub(crate) fn of(key: GenerationKey, name: &str, since: u64) -> Option<Self> {
        let table = TABLE.get()?;
        if name.len() > (ROW - NAME) * size_of::<u64>() {
            return None;
        }
        let row = RunningRow(table.free.lock().rows.pop()?);
        let numbers = row.numbers(table);
        for (number, bytes) in numbers[NAME..].iter().zip(name.as_bytes().chunks(size_of::<u64>())) {
            let mut whole = [0; size_of::<u64>()];
            whole[..bytes.len()].copy_from_slice(bytes);
            number.store(u64::from_ne_bytes(whole), Ordering::Relaxed);
        }
        numbers[1].store(0, Ordering::Relaxed);
        numbers[2].store(name.len() as u64, Ordering::Relaxed);
        numbers[3].store(since, Ordering::Relaxed);
        numbers[0].store(key.number(), Ordering::Release);
        Some(row)
    }

    fn numbers(&self, table: &RunningTable) -> &'static [AtomicU64] {
        &table.numbers[self.0 * ROW..][..ROW]
    }

    /// Where its requests are counted.
    pub(crate) fn count(&self) -> Option<&'static AtomicU64> {
        TABLE.get().map(|table| &self.numbers(table)[1])
    }
}

impl Drop for RunningRow {
    fn drop(&mut self) {
        if let Some(table) = TABLE.get() {
            self.numbers(table)[0].store(0, Ordering::Release);
            table.free.lock().rows.push(self.0);
        }
    }
}

/// A request that is under way in a generation, as long as this exists.
pub(crate) struct UnderWayMark(Option<&'static AtomicU64>);

impl UnderWayMark {
    pub(crate) fn counted_at(count: Option<&'static AtomicU64>) -> Self {
        if let Some(count) = count {
            count.fetch_add(1, Ordering::Relaxed);
        }
        UnderWayMark(count)
    }
}

impl Drop for UnderWayMark {
    fn drop(&mut self) {
        if let Some(count) = self.0 {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

thread_local! {
    /// This thread's place; null until it looked for one. Without a destructor: it is there until the thread has ended.
    static HERE: Cell<*const AtomicU64> = const { Cell::new(ptr::null()) };
    static TAKEN: TakenPlace = const { TakenPlace(Cell::new(None)) };
}

/// Gives a thread's place back.
struct TakenPlace(Cell<Option<usize>>);

impl Drop for TakenPlace {
    fn drop(&mut self) {
        HERE.set(&raw const NOWHERE);
        if let (Some(place), Some(table)) = (self.0.take(), TABLE.get()) {
            table.numbers[ROWS * ROW + place * PLACE].store(0, Ordering::Relaxed);
            table.free.lock().places.push(place);
        }
    }
}

/// This thread is inside of this generation from now on, or of none.
#[inline]
pub(crate) fn is_inside(generation: GenerationKey) {
    let mut here = HERE.get();
    if here.is_null() {
        here = find_place();
    }
    // SAFETY: it is a place of the table, which is never unmapped, or the static.
    unsafe { &*here }.store(generation.number(), Ordering::Relaxed);
}

#[cold]
fn find_place() -> *const AtomicU64 {
    let Some(table) = TABLE.get() else { return &raw const NOWHERE };
    let place = TAKEN.try_with(|taken| {
        let place = table.free.lock().places.pop()?;
        taken.0.set(Some(place));
        Some(&raw const table.numbers[ROWS * ROW + place * PLACE])
    });
    let place = place.ok().flatten().unwrap_or(&raw const NOWHERE);
    HERE.set(place);
    place
}

/// What stood there when a process ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RunningThen {
    pub(super) there: Vec<ThereThen>,
    /// Those that a thread was inside of.
    pub(super) inside: Vec<GenerationName>,
}

/// A generation that was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ThereThen {
    pub(super) name: GenerationName,
    /// What it had under way.
    pub(super) requests: u64,
    /// Since when, in seconds since 1970.
    pub(super) since: u64,
}

impl RunningThen {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let numbers = bytes.as_chunks().0;
        if numbers.len() != NUMBERS {
            return RunningThen::default();
        }
        let number = |at: usize| u64::from_ne_bytes(numbers[at]);
        let mut then = RunningThen::default();
        let mut keys = Vec::new();
        for row in (0..ROWS).map(|row| row * ROW).filter(|row| number(*row) != 0) {
            let length = usize::try_from(number(row + 2)).unwrap_or(usize::MAX);
            let name = bytes[(row + NAME) * size_of::<u64>()..].get(..length).filter(|_| length <= ROW * 8);
            if let Some(name) = name.and_then(|name| serde_json::from_slice::<GenerationName>(name).ok()) {
                keys.push((number(row), name.clone()));
                then.there.push(ThereThen { name, requests: number(row + 1), since: number(row + 3) });
            }
        }
        let places = (0..PLACES).map(|place| number(ROWS * ROW + place * PLACE)).filter(|key| *key != 0);
        for key in places {
            if let Some((_, name)) = keys.iter().find(|(known, _)| *known == key)
                && !then.inside.contains(name)
            {
                then.inside.push(name.clone());
            }
        }
        then
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlock_policy::{Digest, Lease};
    use std::fs;

    /// The table is the process's: one test for all.
    #[test]
    fn what_runs_stands_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("running");
        keep_in(&path).unwrap();
        let name = |plugin: &str| GenerationName { plugin: plugin.to_owned(), generation: 2, digest: Digest::of(b"x") };
        let leases = [Lease::first(|| ()), Lease::first(|| ())];
        let rows = leases.each_ref().map(Lease::generation);
        let rows = [("one", rows[0]), ("two", rows[1])]
            .map(|(plugin, key)| RunningRow::of(key, &serde_json::to_string(&name(plugin)).unwrap(), 7).unwrap());
        let row = |plugin, requests| ThereThen { name: name(plugin), requests, since: 7 };
        let there = || RunningThen::parse(&fs::read(&path).unwrap());
        assert_eq!(there(), RunningThen { there: vec![row("one", 0), row("two", 0)], inside: vec![] });
        let under_way = [UnderWayMark::counted_at(rows[1].count()), UnderWayMark::counted_at(rows[1].count())];
        is_inside(leases[0].generation());
        let elsewhere = leases[0].generation();
        std::thread::spawn(move || is_inside(elsewhere)).join().unwrap();
        assert_eq!(there(), RunningThen { there: vec![row("one", 0), row("two", 2)], inside: vec![name("one")] });
        drop(under_way);
        is_inside(GenerationKey::NONE);
        let [one, two] = rows;
        drop(two);
        assert_eq!(there(), RunningThen { there: vec![row("one", 0)], inside: vec![] });
        assert!(RunningRow::of(elsewhere, &"x".repeat(ROW * 8), 7).is_none(), "too long");
        drop(one);
        assert_eq!(there(), RunningThen::default());
        assert_eq!(RunningThen::parse(b"half a file"), RunningThen::default());
    }
}
