//! Verification: staged bytes are tried in a process of their own before the server opens them.
//!
//! `parent` starts the child, bounds it and understands how it ended; `child` opens the library and tells how far it came;
//! `configured` says with which configuration; `confine` and `workplace` say
//! what the child may write; `verdicts` remembers. What must not live here: any decision about what to do with a verdict.

mod child;
mod configured;
mod confine;
mod parent;
mod verdicts;
mod workplace;

pub use child::{run_verifier_if_asked, run_verifier_if_asked_within};
pub use parent::{Verifier, VerifierLimits, VerifyError};

use serde::{Deserialize, Serialize};

/// What verification found. Only what would be found again is a verdict; a time-out is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It can be loaded.
    Good(VerificationReport),
    /// It cannot, and why: one sentence.
    Bad(String),
}

/// What a good candidate showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationReport {
    /// Its OpenAPI document.
    pub openapi: Option<String>,
    /// The schema of its configuration, whatever it was made of.
    #[serde(default)]
    pub config_schema: Option<String>,
    /// What could not be seen there because nobody had configured it: one sentence. It is not held against the bytes.
    #[serde(default)]
    pub unseen: Option<String>,
    /// Why its library stayed in the verifying process, if it did: it will be pinned here too.
    pub stays: Option<String>,
}

/// How far the child has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum VerificationStep {
    Begin,
    Open,
    Layouts,
    Instance,
    Create,
    Describe,
    Shutdown,
    Close,
    Unmap,
}

impl VerificationStep {
    /// What went on, to follow "while" or "before".
    fn in_words(self) -> &'static str {
        match self {
            VerificationStep::Begin => "the verifying process started",
            VerificationStep::Open => "the library was opened and its constructors ran",
            VerificationStep::Layouts => "its types were compared",
            VerificationStep::Instance => "its instance was made",
            VerificationStep::Create => "its `create` ran",
            VerificationStep::Describe => "it described itself",
            VerificationStep::Shutdown => "its `shutdown` ran",
            VerificationStep::Close => "it was dropped",
            VerificationStep::Unmap => "it was unmapped",
        }
    }
}

/// A line that the child writes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum VerifierLine {
    Reached(VerificationStep),
    Done(Verdict),
    /// The dynamic linker refused, in these words.
    Unopened(String),
    /// The libraries that it needs took so many milliseconds to open.
    SlowToOpen(u64),
}

/// Part of what a verdict is kept under: raised when verification comes to mean something else.
const VERSION: u32 = 4;

/// The name under which the child starts, in place of the program's.
const CHILD_NAME: &str = "camlock-verifier";

/// The file in the child's directory with the schema of the configuration, where the library holds one.
const SCHEMA_FILE: &str = "config.schema.json";

/// What carries a plugin's own variables to the child: a JSON object.
pub(crate) const VARIABLES: &str = "CAMLOCK_PLUGIN_VARIABLES";
