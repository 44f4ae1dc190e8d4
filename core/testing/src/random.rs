//! Numbers that look random and, from the same seed, are the same each time: what a test found it finds again.

/// Such numbers (xorshift).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed. None of it, and there would be zeros alone.
    pub fn new(seed: u64) -> Self {
        assert_ne!(seed, 0, "nothing but zeros comes of that");
        Random(seed)
    }

    /// The next one.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The next one, below a bound.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }
}
