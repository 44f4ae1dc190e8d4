//! A plugin as people see it: what it is, what serves, what is on its way, what failed, what is leaving.

use crate::{Digest, Isolation, StageTimes, UtcTime};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{borrow::Cow, fmt};

/// A plugin. What it is depends on who asks: `path` and what compilers said are for viewers, `config` is for admins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Plugin))]
pub struct PluginView {
    /// Its name.
    pub name: String,
    /// The version that serves, or the last one known; may be empty.
    pub version: String,
    /// What it says of itself.
    pub description: String,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub category: Option<String>,
    // An inlined type brings its own description: with another one the document would ask for an object.
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub kind: PluginKind,
    /// Whether it is wanted.
    pub enabled: bool,
    /// Counts what was decided about it. It is the `ETag`, and `If-Match` may ask for it.
    pub revision: u64,
    // Where it is to run, if an operator decided that.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(inline, required))]
    pub isolation: Option<Isolation>,
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub state: Headline,
    /// Why, in one sentence, where there is something to say.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub reason: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub serving: Option<ServingView>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub candidate: Option<CandidateView>,
    /// The last failure, until a candidate succeeds; also beside what serves.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub failed: Option<FailureView>,
    /// Replaced generations that still have something to do.
    pub draining: Vec<DrainingView>,
    /// Generations that cannot leave.
    pub pinned: Vec<PinnedView>,
    /// What it answers, with where that is known from.
    pub endpoints: Vec<Endpoint>,
    /// Where it can be reached: its mount, and what it claims.
    pub urls: Vec<String>,
    /// Where it lies on the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub config: Option<Value>,
    /// After an act: how many milliseconds each stage took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages: Option<StageTimes>,
}

/// Whether a plugin is a library or a part of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum PluginKind {
    /// Loaded, and may be unloaded.
    Dynamic,
    /// Compiled into the server.
    Static,
}

/// A plugin's state in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// All of them.
    pub const ALL: [Headline; 7] = [
        Headline::Serving,
        Headline::Starting,
        Headline::Waiting,
        Headline::Failed,
        Headline::Disabled,
        Headline::Missing,
        Headline::Quarantined,
    ];

    /// The word.
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

/// A generation that serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Serving))]
pub struct ServingView {
    /// Its number.
    pub generation: u64,
    /// Its version.
    pub version: String,
    /// Null for a plugin that is compiled in.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub artifact: Option<Digest>,
    /// Since when it serves.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub since: UtcTime,
    /// Requests without an answer, answers that are being read, and upgraded connections.
    pub in_flight: usize,
    /// What the generations before it left in memory; null for a plugin that does not count it.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub left_behind_bytes: Option<u64>,
    /// What it holds in memory; null for a plugin that does not count it.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub memory_bytes: Option<u64>,
    /// How many files, sockets and the like it has open; null for a plugin that is compiled in, where nobody can tell.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub descriptors: Option<u64>,
    // Where its code runs: `none`, in the server's process, or `process`, in one of its own.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub isolation: Isolation,
    /// What its own process uses, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessView>,
}

/// What the process of an isolated plugin uses, and what its bounds do to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Process))]
pub struct ProcessView {
    /// Its number on this machine.
    pub id: u32,
    /// What it holds in RAM.
    pub memory_bytes: u64,
    /// Processor time since it began.
    pub cpu_milliseconds: u64,
    /// How much of the last ten seconds it had to wait because it had used its share, in hundredths.
    pub waited_percent: u32,
    /// How long that was in all.
    pub waited_milliseconds: u64,
    /// Its processes and threads.
    pub processes: u64,
    /// What lies in its directories, when that was last looked at.
    pub disk_bytes: u64,
    /// What its process was refused, in words, with the permission that would allow it, and how often.
    #[serde(default)]
    pub refused: std::collections::BTreeMap<String, u64>,
    /// What its bounds do to it now, a sentence each.
    #[serde(default)]
    pub states: Vec<String>,
    /// What of the sandbox is lacking on this machine.
    #[serde(default)]
    pub lacking: Vec<String>,
}

/// A generation that is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Candidate))]
pub struct CandidateView {
    /// Its number.
    pub generation: u64,
    /// How far it is: `building`, `verifying`, `loading`, `starting`; or `waiting` for another plugin.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub stage: Cow<'static, str>,
    /// What the stage is doing, if it tells.
    pub doing: String,
    /// Whether it only waits for its turn to be built. Known where the server itself prints; `doing` says so to everybody else.
    #[serde(skip)]
    pub queued: bool,
    /// Since when.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub since: UtcTime,
}

/// A candidate that did not make it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Failed))]
pub struct FailureView {
    /// Its number.
    pub generation: u64,
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub stage: Stage,
    /// One sentence: what is wrong, where, what to do.
    pub reason: String,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: UtcTime,
    /// What compilers said.
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for FailureView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.stage, self.reason)
    }
}

/// The stage at which a candidate failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Stage {
    /// Its entry or its manifest cannot be used.
    Manifest,
    /// It was not compiled.
    Build,
    /// It did not pass the verifying process.
    Verify,
    /// What is on record does not fit the schema of its configuration.
    Config,
    /// Its tables could not be brought to what it needs.
    Migrate,
    /// No process of its own could be made for it, or not one that holds it as is asked.
    Isolate,
    /// It could not be opened, or `create` failed.
    Load,
    /// `restore` or `start` failed.
    Start,
    /// It was not well.
    Health,
    /// It claims what belongs to another.
    Routes,
    /// What it depends on is not there, or what depends on it would be left without it.
    Dependencies,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Stage::Manifest => "manifest",
            Stage::Build => "build",
            Stage::Verify => "verify",
            Stage::Config => "config",
            Stage::Migrate => "migrate",
            Stage::Isolate => "isolate",
            Stage::Load => "load",
            Stage::Start => "start",
            Stage::Health => "health",
            Stage::Routes => "routes",
            Stage::Dependencies => "dependencies",
        })
    }
}

/// A compiler's message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Diagnostic {
    /// The file, relative to the plugin's own directory where it lies in it; empty if the message has no place.
    pub file: String,
    /// The line, from 1; 0 if the message has no place.
    pub line: u32,
    /// In short.
    pub message: String,
    /// Whole, as the compiler prints it, without colours.
    pub rendered: String,
}

/// A replaced generation that ends what it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Draining))]
pub struct DrainingView {
    /// Its number.
    pub generation: u64,
    /// Requests without an answer, answers that are being read, and upgraded connections.
    pub in_flight: usize,
    /// What keeps it, in short.
    pub why: String,
    /// When its streams are told to end.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub deadline: UtcTime,
}

/// A generation that cannot leave the process for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Pinned))]
pub struct PinnedView {
    /// Its number.
    pub generation: u64,
    /// What keeps it in the process.
    pub reason: String,
}

/// Something that a plugin answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Endpoint {
    /// `GET`, or `*` for any.
    pub method: String,
    /// The path, from the server's root.
    pub path: String,
    /// Where that is known from: `openapi`, `manifest` or `mount`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub source: Cow<'static, str>,
}
