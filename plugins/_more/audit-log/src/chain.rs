//! The chain: each entry's hash is made of all that stands in it and of the hash before, so that nothing can be changed, taken out or
//! put in without all later hashes being others. Pure.

use sha2::{Digest, Sha256};

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its place in the chain, from 1 on.
    pub(crate) number: i64,
    pub(crate) topic: String,
    /// Microseconds since 1970.
    pub(crate) at: i64,
    /// Among the kept ones of its topic; 0 of one that is not kept.
    pub(crate) position: i64,
    pub(crate) depth: i64,
    /// The trace id, in hex digits.
    pub(crate) trace: String,
    pub(crate) payload: Vec<u8>,
    /// In hex digits.
    pub(crate) hash: String,
}

impl Entry {
    /// What its hash has to be, after this one; before the first there is an empty one.
    pub(crate) fn hash_after(&self, before: &str) -> String {
        let mut hash = Sha256::new();
        for text in [before.as_bytes(), self.topic.as_bytes(), self.trace.as_bytes(), &self.payload] {
            // With its length: no two entries are written alike.
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        for number in [self.number, self.at, self.position, self.depth] {
            hash.update(number.to_be_bytes());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Looks along a chain, entry by entry.
#[derive(Clone, Debug)]
pub(crate) struct Verification {
    next: i64,
    before: String,
}

impl Verification {
    /// From this entry on, after this hash.
    pub(crate) fn from(first: i64, before: String) -> Self {
        Verification { next: first, before }
    }

    /// Looks at the next entry; else what is the matter.
    pub(crate) fn look(&mut self, entry: &Entry) -> Result<(), String> {
        if entry.number != self.next {
            return Err(format!("entry {} is missing", self.next));
        }
        if entry.hash != entry.hash_after(&self.before) {
            return Err(format!("entry {} is not what it was, or what came before it was another", entry.number));
        }
        self.next += 1;
        self.before.clone_from(&entry.hash);
        Ok(())
    }

    /// Looks whether this is the end of it.
    pub(crate) fn end(&self, last: i64, hash: &str) -> Result<(), String> {
        if self.next != last + 1 {
            return Err(format!("entry {} is missing", self.next));
        }
        if self.before != hash {
            return Err(format!("entry {last} is not the one that was last"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(count: i64) -> Vec<Entry> {
        let mut before = String::new();
        let entries = (1..=count).map(|number| {
            let payload = format!("{{\"n\":{number}}}").into_bytes();
            let (topic, trace) = ("session.created".to_owned(), "0".repeat(32));
            let mut entry = Entry {
                number,
                topic,
                at: number * 1000,
                position: number,
                depth: 0,
                trace,
                payload,
                hash: String::new(),
            };
            entry.hash = entry.hash_after(&before);
            before.clone_from(&entry.hash);
            entry
        });
        entries.collect()
    }

    fn verified(entries: &[Entry], last: &Entry) -> Result<(), String> {
        let mut verification = Verification::from(1, String::new());
        entries.iter().try_for_each(|entry| verification.look(entry))?;
        verification.end(last.number, &last.hash)
    }

    #[test]
    fn whatever_is_changed_is_seen() {
        let whole = chain(5);
        let last = whole.last().unwrap().clone();
        assert_eq!(verified(&whole, &last), Ok(()));
        type Change = fn(&mut Vec<Entry>);
        let changes: [Change; 9] = [
            |chain| chain[2].payload.push(b' '),
            |chain| chain[2].topic.push('s'),
            |chain| chain[2].at += 1,
            |chain| chain[2].position += 1,
            |chain| chain[2].depth += 1,
            |chain| chain[2].trace = "1".repeat(32),
            |chain| drop(chain.remove(2)),
            |chain| drop(chain.pop()),
            |chain| chain.swap(1, 2),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut changed = whole.clone();
            change(&mut changed);
            assert!(verified(&changed, &last).is_err(), "{number}");
        }
        // Whoever makes the hash of what they changed anew breaks the next.
        let mut forged = whole.clone();
        forged[2].payload = b"{}".to_vec();
        forged[2].hash = forged[2].hash_after(&whole[1].hash);
        assert!(verified(&forged, &last).unwrap_err().starts_with("entry 4 "));
    }
}
