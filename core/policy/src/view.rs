//! What people see of a plugin: SURFACE's JSON, as types. Pure; the numbers that change by themselves are read when it is shown.

use crate::{Digest, Failure, Kind, Watch};
use serde::Serialize;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// A plugin's state in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Headline {
    /// A generation of it serves.
    Serving,
    /// A candidate is on its way, and nothing serves yet.
    Starting,
    /// What it depends on does not serve.
    Waiting,
    /// The last candidate did not make it, and nothing serves.
    Failed,
    /// An operator does not want it.
    Disabled,
    /// Its entry is gone.
    Missing,
    /// What there is of it is under quarantine, and nothing else is kept.
    Quarantined,
}

impl Headline {
    /// The state as it stands in JSON and for people.
    pub fn word(self) -> &'static str {
        match self {
            Headline::Serving => "serving",
            Headline::Starting => "starting",
            Headline::Waiting => "waiting",
            Headline::Failed => "failed",
            Headline::Disabled => "disabled",
            Headline::Missing => "missing",
            Headline::Quarantined => "quarantined",
        }
    }
}

/// All plugins, as the supervisor last saw them.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// Every plugin that is known, sorted by name.
    pub plugins: Vec<Arc<PluginView>>,
    /// The first look at everything is done: every wanted plugin serves or has failed for good.
    pub ready: bool,
    /// Why the plugins directory cannot be read, if it cannot.
    pub trouble: Option<String>,
    /// Why the registry cannot be used, if it cannot.
    pub registry_trouble: Option<String>,
}

/// A plugin as people see it: its state, its generations, what went wrong.
#[derive(Clone, Debug)]
pub struct PluginView {
    /// The name that its package has.
    pub name: String,
    /// The version that serves, or else the last one known; may be empty.
    pub version: String,
    /// What it says of itself.
    pub description: String,
    /// Its category, if it has one.
    pub category: Option<String>,
    /// From what sort of entry; none if the entry is gone.
    pub kind: Option<Kind>,
    /// Where the entry lies. For those who may know it.
    pub path: Option<String>,
    /// Whether it is wanted.
    pub enabled: bool,
    /// Counts what operators decided.
    pub revision: u64,
    /// Its configuration, an object. For those who may know it.
    pub config: Arc<serde_json::Value>,
    /// Its state, in a word.
    pub state: Headline,
    /// In a sentence, where there is something to say.
    pub reason: Option<String>,
    /// The generation that serves, if one does.
    pub serving: Option<GenerationView>,
    /// What is on its way.
    pub candidate: Option<CandidateView>,
    /// The last failure, until a candidate succeeds.
    pub failed: Option<FailureView>,
    /// Replaced generations that still have something to do.
    pub draining: Vec<DrainingView>,
    /// Generations that cannot leave.
    pub pinned: Vec<PinnedView>,
    /// The last builds and recalls of it here, the newest first.
    pub builds: Vec<Arc<BuildView>>,
    /// Its OpenAPI document, as JSON text, while it serves.
    pub openapi: Option<Arc<str>>,
    /// What it answers, with where that is known from.
    pub endpoints: Vec<Endpoint>,
    /// Where it can be reached: its mount, and what it claims.
    pub urls: Vec<String>,
}

/// A generation that serves.
#[derive(Clone, Debug)]
pub struct GenerationView {
    /// The generation's number, from 1 since the server started.
    pub generation: u64,
    /// The version of its package.
    pub version: String,
    /// Its artifact; none if it is compiled in.
    pub artifact: Option<Digest>,
    /// Since when it serves.
    pub since: SystemTime,
    /// Leases on it, counted by use.
    pub leases: Watch,
    /// What the generations before it left in memory, of those that count it.
    pub left_behind: Option<u64>,
}

/// A candidate: a generation on its way to serve.
#[derive(Clone, Debug)]
pub struct CandidateView {
    /// The generation's number.
    pub generation: u64,
    /// How far it is: `building`, `verifying`, `loading`, `starting`.
    pub stage: &'static str,
    /// What the stage is doing, if it tells.
    pub doing: String,
    /// When it was begun.
    pub since: SystemTime,
}

/// How a candidate was made, and what came of it.
#[derive(Clone, Debug)]
pub struct BuildView {
    /// The number of the generation that it was to become.
    pub generation: u64,
    /// When the candidate was begun.
    pub began: SystemTime,
    /// How long each stage took, as far as it came.
    pub stages: Vec<(&'static str, Duration)>,
    /// Its artifact, once there was one.
    pub artifact: Option<Digest>,
    /// Its version, once that was known.
    pub version: Option<String>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
}

/// The last failure of a plugin.
#[derive(Clone, Debug)]
pub struct FailureView {
    /// The number of the generation that failed.
    pub generation: u64,
    /// The stage that it failed at, and why.
    pub failure: Failure,
    /// When it failed.
    pub at: SystemTime,
}

/// A replaced generation that still ends what it began.
#[derive(Clone, Debug)]
pub struct DrainingView {
    /// The generation's number.
    pub generation: u64,
    /// Leases on it, counted by use.
    pub leases: Watch,
    /// When its streams are told to end.
    pub deadline: SystemTime,
}

/// A generation that cannot leave.
#[derive(Clone, Debug, Serialize)]
pub struct PinnedView {
    /// The generation's number.
    pub generation: u64,
    /// What keeps it in the process, in a sentence.
    pub reason: String,
}

/// Something that a plugin answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// An HTTP method; `*` stands for all.
    pub method: String,
    /// The path, from the server's root.
    pub path: String,
    /// `openapi`, `manifest` or `mount`.
    pub source: &'static str,
}
