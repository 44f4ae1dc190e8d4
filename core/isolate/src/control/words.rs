//! The messages themselves. What is bytes (a plugin's state, its document) follows the words as it is.

use crate::sandbox::{FencePart, Openings, OwnBounds};
use camlock_policy::{Digest, Fault, FaultKind};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// What the server tells the runner.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum RunnerOrder {
    /// Open this, and make an instance of it. The first message.
    Begin(Box<Beginning>),
    /// Make a call of the instance's life. What is restored follows.
    Call { id: u64, call: LifeCall },
    /// The call is not waited for any more.
    Forget { id: u64 },
    /// How loud its records are to be, as the contract counts levels.
    Level(u8),
    /// Let go of the instance, and end.
    Close,
}

/// With what a runner begins.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Beginning {
    pub(crate) plugin: String,
    pub(crate) generation: u64,
    pub(crate) digest: Digest,
    /// The directory of artifacts.
    pub(crate) artifacts: PathBuf,
    /// A directory of the runner's alone, which goes with it.
    pub(crate) place: PathBuf,
    /// The directory of plugins' own directories; the plugin's is there.
    pub(crate) dirs: Option<PathBuf>,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) config: String,
    pub(crate) create: Duration,
    pub(crate) level: u8,
    /// What is left open to it.
    pub(crate) openings: Openings,
    /// Whether it is not to run at all where something of what holds it is lacking.
    pub(crate) require_all: bool,
    /// Where the server keeps its files.
    pub(crate) hidden: PathBuf,
    pub(crate) bounds: OwnBounds,
    /// What this machine is to be taken not to have.
    pub(crate) absent: Vec<FencePart>,
}

/// A call of an instance's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LifeCall {
    Start,
    Health,
    Save,
    Restore { version: String },
    Configure { config: String },
    Shutdown,
}

/// What the runner tells the server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// It is held, and begins: its number, and what of the sandbox is lacking. A descriptor comes along through which refused calls are
    /// heard of, if there is one. Its first word, before any of the plugin's code.
    Held { process: u32, lacking: Vec<String> },
    /// There is an instance. Its document follows, if it has one.
    Ready { document: bool },
    /// There is none, and why.
    Failed { reason: String, transient: bool },
    /// A call has come to its end. State follows, if it was saved.
    Done { id: u64, outcome: Result<LifeAnswer, WordedFault> },
    /// It has something to say.
    PluginRecord(PluginRecord),
    /// What is counted of it.
    RunnerCounts(RunnerCounts),
    /// Its instance is gone, with its library.
    Left { forgotten: usize, left_behind: Option<u64> },
}

/// What a call of an instance's life is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LifeAnswer {
    Nothing,
    /// State follows.
    State,
    /// Whether the configuration was taken over.
    Taken(bool),
}

/// What is counted of a plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunnerCounts {
    pub(crate) panics: u64,
    pub(crate) memory: Option<u64>,
    pub(crate) descriptors: Option<u64>,
}

/// A plugin's event or span, or a word of the runner's own.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum PluginRecord {
    Event {
        span: Option<u64>,
        level: u8,
        told: RecordContext,
        location: String,
        message: String,
    },
    /// Of the host's crates in the runner: what became of a plugin's code that had nobody to return to.
    Own {
        level: u8,
        message: String,
        fields: BTreeMap<String, String>,
    },
    Open {
        id: u64,
        parent: Option<u64>,
        level: u8,
        told: RecordContext,
        name: String,
    },
    More {
        id: u64,
        fields: String,
    },
    Follows {
        id: u64,
        other: u64,
    },
    Close {
        id: u64,
    },
}

/// What events and spans have in common.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct RecordContext {
    pub(crate) trace_id: String,
    pub(crate) module: String,
    pub(crate) fields: String,
}

/// A fault in words.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WordedFault {
    kind: u8,
    message: String,
    location: String,
    backtrace: Vec<String>,
}

const FAULTS: [FaultKind; 5] =
    [FaultKind::Error, FaultKind::Panic, FaultKind::Contract, FaultKind::TimedOut, FaultKind::Ended];

impl From<Fault> for WordedFault {
    fn from(fault: Fault) -> Self {
        let kind = FAULTS.iter().position(|kind| *kind == fault.kind).unwrap_or(0) as u8;
        WordedFault { kind, message: fault.message, location: fault.location, backtrace: fault.backtrace }
    }
}

impl From<WordedFault> for Fault {
    fn from(worded: WordedFault) -> Self {
        let kind = FAULTS.get(usize::from(worded.kind)).copied().unwrap_or(FaultKind::Contract);
        Fault { kind, message: worded.message, location: worded.location, backtrace: worded.backtrace }
    }
}

/// A message with what follows it.
pub(crate) fn write(words: &impl Serialize, tail: &[u8]) -> Vec<u8> {
    let words = serde_json::to_vec(words).unwrap_or_default();
    let mut message = Vec::with_capacity(4 + words.len() + tail.len());
    message.extend_from_slice(&(words.len() as u32).to_le_bytes());
    message.extend_from_slice(&words);
    message.extend_from_slice(tail);
    message
}

/// Reads one.
pub(crate) fn read<T: DeserializeOwned>(mut message: Vec<u8>) -> Result<(T, Vec<u8>), String> {
    let length = message.first_chunk().map(|length| u32::from_le_bytes(*length) as usize);
    let Some(length) = length.filter(|length| message.len() - 4 >= *length) else {
        return Err("a message ends in the middle of its words".to_owned());
    };
    let words = serde_json::from_slice(&message[4..4 + length]).map_err(|why| format!("no such message: {why}"))?;
    Ok((words, message.split_off(4 + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_is_refused() {
        let fault = Fault { backtrace: vec!["one".into()], ..Fault::new(FaultKind::Panic, "it panicked") };
        let message = write(&Report::Done { id: 7, outcome: Err(fault.clone().into()) }, b"tail");
        let (report, tail) = read::<Report>(message.clone()).unwrap();
        let Report::Done { id: 7, outcome: Err(read_fault) } = report else { panic!("{report:?}") };
        assert_eq!((Fault::from(read_fault), &*tail), (fault, &b"tail"[..]));
        for end in 0..message.len() - 4 {
            assert!(read::<Report>(message[..end].to_vec()).is_err());
        }
        assert!(read::<Report>(write(&"nothing of the kind", b"")).unwrap_err().starts_with("no such message"));
        assert!(read::<RunnerOrder>(message).is_err());
    }
}
