//! How much a peer may send on one stream before somebody reads it. Pure.
//!
//! Each stream begins with the same allowance. One that is read gets more, out of a pool that all streams of a link share: so what
//! one link holds for readers that are slow is bounded, and yet nobody's slowness keeps another from being read.

/// What a peer may send on a stream before it heard of any credit.
pub(crate) const FIRST: u32 = 64 * 1024;
/// What it may send on one that is read.
pub(crate) const FULL: u32 = 256 * 1024;
/// What all streams of a link have beyond their first allowance.
pub(crate) const POOL: u32 = 4 * 1024 * 1024;

/// What streams of one link share.
#[derive(Debug)]
pub(crate) struct CreditPool(u32);

impl Default for CreditPool {
    fn default() -> Self {
        CreditPool(POOL)
    }
}

impl CreditPool {
    /// What is left of it.
    #[cfg(test)]
    pub(crate) fn left(&self) -> u32 {
        self.0
    }
}

/// One stream's allowance. It is what the peer may still send, what waits for a reader, and what was read and not yet told.
#[derive(Debug)]
pub(crate) struct CreditWindow {
    allowance: u32,
    held: u32,
    read: u32,
}

impl Default for CreditWindow {
    fn default() -> Self {
        CreditWindow { allowance: FIRST, held: 0, read: 0 }
    }
}

impl CreditWindow {
    /// Bytes came. False: more than the peer may send.
    #[must_use]
    pub(crate) fn take(&mut self, count: usize) -> bool {
        let free = self.allowance - self.held - self.read;
        let fits = count <= free as usize;
        if fits {
            self.held += count as u32;
        }
        fits
    }

    /// How many bytes wait for a reader.
    pub(crate) fn held(&self) -> usize {
        self.held as usize
    }

    /// Bytes were read: how many more the peer may be told to send, once that is worth a frame.
    pub(crate) fn release(&mut self, count: usize, pool: &mut CreditPool) -> Option<u32> {
        debug_assert!(count <= self.held as usize);
        let count = (count as u32).min(self.held);
        self.held -= count;
        self.read += count;
        let more = (FULL - self.allowance).min(pool.0);
        if self.read < self.allowance / 2 && more < FIRST {
            return None;
        }
        pool.0 -= more;
        self.allowance += more;
        let credit = std::mem::take(&mut self.read) + more;
        (credit > 0).then_some(credit)
    }

    /// The stream is over.
    pub(crate) fn give_back(&mut self, pool: &mut CreditPool) {
        pool.0 += self.allowance - FIRST;
        self.allowance = FIRST;
        (self.held, self.read) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_is_read_gets_more_and_one_that_is_not_stops() {
        let (mut pool, mut window) = (CreditPool::default(), CreditWindow::default());
        assert!(window.take(FIRST as usize) && !window.take(1));
        assert_eq!(window.release(1, &mut pool), Some(1 + FULL - FIRST));
        assert!(window.take((FULL - FIRST) as usize) && window.take(1) && !window.take(1));
        assert_eq!(window.release(FULL as usize / 2 - 1, &mut pool), None);
        assert_eq!(window.release(1, &mut pool), Some(FULL / 2));
        window.give_back(&mut pool);
        assert_eq!(pool.0, POOL);
    }

    #[test]
    fn with_an_empty_pool_everybody_goes_on() {
        let mut pool = CreditPool::default();
        let mut windows: Vec<CreditWindow> = std::iter::repeat_with(CreditWindow::default).take(40).collect();
        for window in &mut windows {
            assert!(window.take(100));
            window.release(100, &mut pool);
        }
        let granted: u32 = windows.iter().map(|window| window.allowance - FIRST).sum();
        assert_eq!((granted, pool.0), (POOL, 0));
        let last = windows.last_mut().unwrap();
        let mut told = 100;
        for _ in 0..100 {
            assert!(last.take(16 * 1024));
            told += last.release(16 * 1024, &mut pool).unwrap_or(0);
        }
        assert!(told >= 99 * 16 * 1024, "{told}");
        for window in &mut windows {
            window.give_back(&mut pool);
        }
        assert_eq!(pool.0, POOL);
    }
}
