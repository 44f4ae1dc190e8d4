//! The fingerprint of an entry, made of everything that decides what comes of a build.
//!
//! Pure. No path of this machine goes in: the same sources at another place have the same fingerprint.

use crate::tree::Hash;
use camlock_policy::Fingerprint;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// What a fingerprint is made of, each under a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FingerprintParts {
    parts: BTreeMap<String, Vec<u8>>,
}

impl FingerprintParts {
    /// Adds a part.
    pub(crate) fn add(&mut self, name: impl Into<String>, value: impl AsRef<[u8]>) {
        self.parts.insert(name.into(), value.as_ref().to_vec());
    }

    /// Adds a part that is a hash.
    pub(crate) fn add_hash(&mut self, name: impl Into<String>, hash: &Hash) {
        self.add(name, hash);
    }

    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.parts.get(name).map(Vec::as_slice)
    }

    /// The names of the parts.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.keys().map(String::as_str)
    }

    /// The fingerprint.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let mut hasher = Sha256::new();
        for (name, value) in &self.parts {
            for part in [name.as_bytes(), value] {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        Fingerprint(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_a_mark_in_whatever_order() {
        let (mut one, mut other) = (FingerprintParts::default(), FingerprintParts::default());
        one.add("a", "1");
        one.add("b", "2");
        other.add("b", "2");
        assert_ne!(one.fingerprint(), other.fingerprint());
        other.add("a", "1");
        assert_eq!(one.fingerprint(), other.fingerprint());
        other.add("a", "12");
        assert_ne!(one.fingerprint(), other.fingerprint());
        assert_eq!(one.fingerprint().0.len(), 64);
    }
}
