//! A time that has come, for which the plugin has a schedule. What must not live here: when that is.

use serde::Deserialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One run of a schedule: see [`Plugin::schedule`](crate::Plugin::schedule).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Due {
    /// The schedule's name.
    pub name: String,
    /// The time that has come. It may have been a while ago, if the run was missed, or is tried again.
    pub at: SystemTime,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The host's id of this run, by which operators find it among the tasks.
    pub id: String,
}

#[derive(Deserialize)]
struct BroughtDue {
    name: String,
    due: u64,
    attempt: u32,
    id: String,
}

impl Due {
    /// One as a host would bring it, for tests.
    pub fn new(name: impl Into<String>, at: SystemTime) -> Self {
        Due { name: name.into(), at, attempt: 1, id: "1".to_owned() }
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let BroughtDue { name, due, attempt, id } = serde_json::from_slice(bytes)?;
        Ok(Due { name, at: UNIX_EPOCH + Duration::from_millis(due), attempt, id })
    }
}
