//! Maps by names that operators chose, looked up with what clients ask for.
//!
//! The standard hash keeps those who choose the keys from making them collide, and costs more than the rest of a lookup. Here
//! clients never choose a key: whatever they ask for is compared with the few that an operator's plugins put there.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A map by name.
pub(crate) type ByName<T> = HashMap<String, T, BuildHasherDefault<Quick>>;

/// Mixes eight bytes at a time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quick(u64);

/// The golden ratio in 64 bits.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Quick {
    fn mix(&mut self, word: u64) {
        let wide = u128::from(self.0.rotate_left(23) ^ word) * u128::from(ODD);
        self.0 = (wide as u64) ^ (wide >> 64) as u64;
    }
}

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            self.mix(rest.iter().fold(rest.len() as u64, |word, byte| word << 8 | u64::from(*byte)));
        }
    }

    /// What a string puts behind its bytes: it is hashed alone here.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashSet, hash::Hash};

    #[test]
    fn similar_names_are_spread() {
        let hash = |name: &str| {
            let mut hasher = Quick::default();
            name.hash(&mut hasher);
            hasher.finish()
        };
        let names: Vec<_> =
            (0..4096).flat_map(|n| [format!("plugin-{n}"), format!("/tables/{n}/of/a/plugin")]).collect();
        // Maps go by the lowest bits first, and tell keys of one place apart by the highest.
        for bits in [|hash: u64| hash & 0x1fff, |hash: u64| hash >> 51] {
            let places: HashSet<_> = names.iter().map(|name| bits(hash(name))).collect();
            // So many of 8,192 balls fall into different ones of 8,192 boxes by chance: 1 - 1/e.
            assert!((4900..5500).contains(&places.len()), "{}", places.len());
        }
        assert_eq!(hash("hello"), hash("hello"));
        let few: HashSet<_> = ["", "a", "aa", "a\0", "abcdefgh", "abcdefgha"].map(hash).into();
        assert_eq!(few.len(), 6);
    }
}
