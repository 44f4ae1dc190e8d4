//! What a write comes to, given what is there: pure. What must not live here: SQL.

use super::{MOST_BATCH, MOST_VALUE, check_key, invalid};
use bytes::Bytes;
use camlock_policy::{AskError, AskErrorCode};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

/// How much one plugin may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageLimits {
    /// So many values.
    pub keys: u64,
    /// So many bytes, of keys and values.
    pub bytes: u64,
}

impl Default for StorageLimits {
    fn default() -> Self {
        StorageLimits { keys: 100_000, bytes: 256 << 20 }
    }
}

/// On what something is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StorageCondition {
    /// Whatever is there.
    #[default]
    Always,
    /// Nothing is there.
    Absent,
    /// What is there has this revision.
    Revision(u64),
}

/// What is done to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageOperation {
    /// This is its value from now on, for so long.
    Put(Bytes, Option<Duration>),
    /// It has none.
    Delete,
    /// Nothing: only the condition is looked at.
    Check,
}

/// One operation of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageAct {
    /// The key.
    pub key: String,
    /// On what it is done.
    pub condition: StorageCondition,
    /// What is done.
    pub operation: StorageOperation,
}

/// What is counted of one plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) keys: i64,
    pub(super) bytes: i64,
    pub(super) revision: i64,
    /// Keys that are remembered as deleted, for those who watch.
    pub(super) gone: i64,
    /// Of what was deleted up to this revision something is forgotten.
    pub(super) swept: i64,
}

/// What is there of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) revision: i64,
    /// None if it is remembered as deleted.
    pub(super) size: Option<i64>,
    pub(super) expires: Option<i64>,
}

/// What a key's row is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyRow {
    pub(super) key: String,
    pub(super) revision: i64,
    pub(super) value: Option<Bytes>,
    pub(super) expires: Option<i64>,
}

/// What a write comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WritePlan {
    pub(super) ledger: Ledger,
    pub(super) rows: Vec<KeyRow>,
    pub(super) revisions: Vec<u64>,
}

/// So long it is remembered that a key was deleted, in milliseconds.
pub(super) const REMEMBERED: i64 = 3_600_000;

/// So many deleted keys are remembered, until half of them are forgotten.
pub(super) const MOST_GONE: i64 = 10_000;

/// Whether these can be done at all.
pub(super) fn check(acts: &[StorageAct]) -> Result<(), AskError> {
    if acts.is_empty() || acts.len() > MOST_BATCH {
        return Err(invalid(format!("a batch has 1 to {MOST_BATCH} operations; this one has {}", acts.len())));
    }
    let mut keys = HashSet::new();
    for act in acts {
        check_key(&act.key)?;
        if !keys.insert(&act.key) {
            return Err(invalid(format!("a batch names a key once; this one names {:?} again", act.key)));
        }
        if let StorageOperation::Put(value, _) = &act.operation {
            check_size(value.len())?;
        }
    }
    Ok(())
}

pub(super) fn check_size(bytes: usize) -> Result<(), AskError> {
    if bytes > MOST_VALUE {
        let told = format!("a value has {MOST_VALUE} bytes at most; this one has {bytes} or more");
        return Err(AskError::new(AskErrorCode::Limit, told));
    }
    Ok(())
}

/// What it comes to.
pub(super) fn plan(
    mut ledger: Ledger,
    present: &HashMap<String, Present>,
    acts: &[StorageAct],
    limits: StorageLimits,
    now: i64,
) -> Result<WritePlan, AskError> {
    let before = ledger;
    let (mut rows, mut revisions) = (Vec::new(), Vec::new());
    for StorageAct { key, condition, operation } in acts {
        let stored = present.get(key);
        let seen = stored.filter(|stored| stored.size.is_some() && stored.expires.is_none_or(|expires| expires > now));
        let conflict = match (condition, seen) {
            (StorageCondition::Absent, Some(seen)) => Some(format!("there is {key:?}, of revision {}", seen.revision)),
            (StorageCondition::Revision(_), None) => Some(format!("there is no {key:?} any more")),
            (StorageCondition::Revision(wanted), Some(seen)) if u64::try_from(seen.revision) != Ok(*wanted) => {
                Some(format!("{key:?} has revision {} by now, not {wanted}", seen.revision))
            }
            _ => None,
        };
        if let Some(told) = conflict {
            return Err(AskError::new(AskErrorCode::Conflict, told));
        }
        let length = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        let (value, expires) = match operation {
            StorageOperation::Put(value, time) => (Some(value.clone()), time.map(|time| later(now, time))),
            StorageOperation::Delete if stored.is_some_and(|stored| stored.size.is_some()) => {
                (None, Some(now + REMEMBERED))
            }
            StorageOperation::Delete | StorageOperation::Check => {
                revisions.push(0);
                continue;
            }
        };
        match stored {
            Some(Present { size: Some(size), .. }) => {
                ledger.keys -= 1;
                ledger.bytes -= size + length(key.len());
            }
            Some(_) => ledger.gone -= 1,
            None => {}
        }
        match &value {
            Some(value) => {
                ledger.keys += 1;
                ledger.bytes += length(value.len() + key.len());
            }
            None => ledger.gone += 1,
        }
        ledger.revision += 1;
        // A delete of what had expired is none for whoever asks.
        let told = value.is_some() || seen.is_some();
        revisions.push(if told { u64::try_from(ledger.revision).unwrap_or(0) } else { 0 });
        rows.push(KeyRow { key: key.clone(), revision: ledger.revision, value, expires });
    }
    let over = |count: i64, was: i64, most: u64| count > was && u64::try_from(count).is_ok_and(|count| count > most);
    let limit = |told: String| AskError::new(AskErrorCode::Limit, told);
    if over(ledger.keys, before.keys, limits.keys) {
        return Err(limit(format!("the plugin may keep {} values, and keeps {}", limits.keys, before.keys)));
    }
    if over(ledger.bytes, before.bytes, limits.bytes) {
        return Err(limit(format!("the plugin may keep {} bytes, and keeps {}", limits.bytes, before.bytes)));
    }
    Ok(WritePlan { ledger, rows, revisions })
}

fn later(now: i64, time: Duration) -> i64 {
    now.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(key: &str, condition: StorageCondition, operation: StorageOperation) -> StorageAct {
        StorageAct { key: key.to_owned(), condition, operation }
    }

    fn put(key: &str, condition: StorageCondition) -> StorageAct {
        act(key, condition, StorageOperation::Put(Bytes::from_static(b"12345"), None))
    }

    #[test]
    fn conditions_hold_or_nothing_is_done() {
        let present = HashMap::from([
            ("here".to_owned(), Present { revision: 7, size: Some(2), expires: None }),
            ("expired".to_owned(), Present { revision: 8, size: Some(2), expires: Some(100) }),
            ("deleted".to_owned(), Present { revision: 9, size: None, expires: Some(1_000) }),
        ]);
        let ledger = Ledger { keys: 2, bytes: 15, revision: 9, gone: 1, swept: 0 };
        let decide = |act| plan(ledger, &present, &[act], StorageLimits::default(), 100);
        use StorageCondition::{Absent, Always, Revision};
        for (key, condition, good) in [
            ("here", Always, true),
            ("here", Absent, false),
            ("here", Revision(7), true),
            ("here", Revision(6), false),
            ("expired", Absent, true),
            ("expired", Revision(8), false),
            ("deleted", Absent, true),
            ("deleted", Revision(9), false),
            ("never", Absent, true),
            ("never", Revision(1), false),
        ] {
            let decided = decide(put(key, condition)).map_err(|error| error.code);
            assert_eq!(decided.is_ok(), good, "{key} {condition:?}");
            if let Err(code) = decided {
                assert_eq!(code, AskErrorCode::Conflict);
            }
        }
        let deleted = decide(act("here", Always, StorageOperation::Delete)).unwrap();
        assert_eq!(deleted.ledger, Ledger { keys: 1, bytes: 9, revision: 10, gone: 2, swept: 0 });
        let nothing = decide(act("never", Always, StorageOperation::Delete)).unwrap();
        assert_eq!((nothing.ledger, nothing.revisions), (ledger, vec![0]));
    }

    #[test]
    fn what_is_over_a_limit_may_shrink_but_not_grow() {
        let limits = StorageLimits { keys: 1, bytes: 7 };
        let put = |key| [put(key, StorageCondition::Always)];
        let one = plan(Ledger::default(), &HashMap::new(), &put("a"), limits, 0).unwrap();
        assert_eq!((one.ledger.keys, one.ledger.bytes), (1, 6));
        assert_eq!(plan(one.ledger, &HashMap::new(), &put("b"), limits, 0).unwrap_err().code, AskErrorCode::Limit);
        let full = Ledger { keys: 3, bytes: 30, revision: 3, ..Ledger::default() };
        let present = HashMap::from([("a".to_owned(), Present { revision: 1, size: Some(9), expires: None })]);
        assert!(plan(full, &present, &put("a"), limits, 0).is_ok());
    }
}
