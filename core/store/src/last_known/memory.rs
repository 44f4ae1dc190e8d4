//! What is known of a registry, learnt from what it answers, in whatever order its answers come.

use super::file::KnownRecords;
use camlock_policy::{
    Fingerprint,
    registry::{Reading, Record, Snapshot},
};
use std::{collections::BTreeMap, sync::Arc};

/// When something was learnt: a count of what was learnt before it.
pub(super) type Moment = u64;

/// What is known.
#[derive(Debug, Default)]
pub(super) struct RecordMemory {
    records: BTreeMap<String, (Arc<Record>, Moment)>,
    seen: BTreeMap<String, (Fingerprint, Moment)>,
    now: Moment,
}

impl RecordMemory {
    /// What a file told.
    pub(super) fn new(known: KnownRecords) -> Self {
        let records = known.records.into_iter().map(|record| (record.name.clone(), (record, 0))).collect();
        RecordMemory {
            records,
            seen: known.seen.into_iter().map(|(name, fingerprint)| (name, (fingerprint, 0))).collect(),
            now: 0,
        }
    }

    /// Now. What is learnt later than this is not in the answer to what is asked now.
    pub(super) fn now(&self) -> Moment {
        self.now
    }

    /// Takes a record from an answer to what was asked at that moment, unless a newer one was learnt since; whether it tells
    /// anything new. Were it for revisions alone, a registry that was put back to an earlier state would not be believed.
    pub(super) fn take_record(&mut self, record: &Record, began: Moment) -> bool {
        self.now += 1;
        if let Some((known, learnt)) = self.records.get_mut(&record.name) {
            if known.revision > record.revision && *learnt > began {
                return false;
            }
            *learnt = self.now;
            if **known == *record {
                return false;
            }
        }
        self.records.insert(record.name.clone(), (Arc::new(record.clone()), self.now));
        true
    }

    /// Takes a fingerprint of this node's own; whether it is new.
    pub(super) fn take_seen(&mut self, name: &str, fingerprint: &Fingerprint) -> bool {
        self.now += 1;
        let before = self.seen.insert(name.to_owned(), (fingerprint.clone(), self.now));
        before.is_none_or(|(before, _)| before != *fingerprint)
    }

    /// Takes what was read by a reading that began at that moment.
    pub(super) fn take_snapshot(&mut self, reading: &Reading, snapshot: &Snapshot, began: Moment) -> bool {
        let asked = |name: &String| reading.names.as_ref().is_none_or(|names| names.contains(name));
        let count = self.records.len() + self.seen.len();
        // What was made meanwhile is not in it, and is not gone.
        let there: BTreeMap<_, _> = snapshot.records.iter().map(|record| (&record.name, record)).collect();
        self.records.retain(|name, (_, learnt)| !asked(name) || there.contains_key(name) || *learnt > began);
        self.seen
            .retain(|name, (_, learnt)| reading.names.is_some() || snapshot.seen.contains_key(name) || *learnt > began);
        let mut changed = count != self.records.len() + self.seen.len();
        for record in &snapshot.records {
            changed |= self.take_record(record, began);
        }
        for (name, fingerprint) in &snapshot.seen {
            if self.seen.get(name).is_none_or(|(_, learnt)| *learnt <= began) {
                changed |= self.take_seen(name, fingerprint);
            }
        }
        changed
    }

    /// What is known of what was asked for.
    pub(super) fn tell(&self, reading: &Reading) -> Snapshot {
        let asked = |name: &String| reading.names.as_ref().is_none_or(|names| names.contains(name));
        let records = self.records.iter().filter(|(name, _)| asked(name));
        Snapshot {
            records: records.map(|(_, (record, _))| Record::clone(record)).collect(),
            seen: self.seen.iter().map(|(name, (fingerprint, _))| (name.clone(), fingerprint.clone())).collect(),
            ..Snapshot::default()
        }
    }

    /// All of it.
    pub(super) fn known(&self) -> KnownRecords {
        KnownRecords {
            records: self.records.values().map(|(record, _)| record.clone()).collect(),
            seen: self.seen.iter().map(|(name, (fingerprint, _))| (name.clone(), fingerprint.clone())).collect(),
        }
    }
}
