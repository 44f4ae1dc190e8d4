//! A plugin as the admin API shows it, as far as it is printed. What is not there is taken to be empty.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Plugin {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) description: String,
    pub(crate) kind: String,
    pub(crate) category: Option<String>,
    pub(crate) enabled: bool,
    pub(crate) revision: u64,
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
    pub(crate) serving: Option<Serving>,
    pub(crate) candidate: Option<Candidate>,
    pub(crate) failed: Option<FailedCandidate>,
    pub(crate) draining: Vec<Draining>,
    pub(crate) pinned: Vec<Pinned>,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) urls: Vec<String>,
    pub(crate) path: Option<String>,
    /// Milliseconds, after an act.
    pub(crate) stages: BTreeMap<String, f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Serving {
    pub(crate) generation: u64,
    pub(crate) version: String,
    pub(crate) artifact: Option<String>,
    pub(crate) since: Option<String>,
    pub(crate) in_flight: u64,
    pub(crate) left_behind_bytes: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Candidate {
    pub(crate) generation: u64,
    pub(crate) stage: String,
    pub(crate) doing: String,
    pub(crate) since: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FailedCandidate {
    pub(crate) generation: u64,
    pub(crate) stage: String,
    pub(crate) reason: String,
    pub(crate) at: Option<String>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Diagnostic {
    pub(crate) rendered: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Draining {
    pub(crate) generation: u64,
    pub(crate) why: String,
    pub(crate) deadline: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Pinned {
    pub(crate) generation: u64,
    pub(crate) reason: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Endpoint {
    pub(crate) method: String,
    pub(crate) path: String,
}

/// A candidate of before, and what came of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Build {
    pub(crate) generation: u64,
    pub(crate) began: Option<String>,
    pub(crate) stages: BTreeMap<String, f64>,
    pub(crate) version: Option<String>,
    pub(crate) failed: Option<FailedCandidate>,
}

impl Plugin {
    /// Reads one.
    pub(crate) fn read(value: &Value) -> Plugin {
        serde_json::from_value(value.clone()).unwrap_or_default()
    }
}

impl Candidate {
    /// What is being done, in a few words.
    pub(crate) fn told(&self) -> String {
        if self.doing.is_empty() { self.stage.clone() } else { format!("{}: {}", self.stage, self.doing) }
    }
}
