//! Verification: staged bytes are tried in a process of their own before the server opens them.
//!
//! `parent` starts the child, bounds it and understands how it ended; `child` opens the library and tells how far it came;
//! `confine` and `workplace` say
//! what the child may write; `verdicts` remembers. What must not live here: any decision about what to do with a verdict.

mod child;
mod confine;
mod parent;
mod verdicts;
mod workplace;

pub use child::run_verifier_if_asked;
pub use parent::{Limits, Verifier, VerifyError};

use serde::{Deserialize, Serialize};

/// What verification found. Only what would be found again is a verdict; a time-out is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It can be loaded.
    Good(Report),
    /// It cannot, and why: one sentence.
    Bad(String),
}

/// What a good candidate showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its OpenAPI document.
    pub openapi: Option<String>,
    /// Why its library stayed in the verifying process, if it did: it will be pinned here too.
    pub stays: Option<String>,
}

/// How far the child has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
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

impl Stage {
    /// What went on, to follow "while" or "before".
    fn in_words(self) -> &'static str {
        match self {
            Stage::Begin => "the verifying process started",
            Stage::Open => "the library was opened and its constructors ran",
            Stage::Layouts => "its types were compared",
            Stage::Instance => "its instance was made",
            Stage::Create => "its `create` ran",
            Stage::Describe => "it described itself",
            Stage::Shutdown => "its `shutdown` ran",
            Stage::Close => "it was dropped",
            Stage::Unmap => "it was unmapped",
        }
    }
}

/// A line that the child writes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Stage(Stage),
    Done(Verdict),
    /// The dynamic linker refused, in these words.
    Unopened(String),
    /// The libraries that it needs took so many milliseconds to open.
    SlowToOpen(u64),
}

/// Part of what a verdict is kept under: raised when verification comes to mean something else.
const VERSION: u32 = 2;

/// The name under which the child starts, in place of the program's.
const CHILD_NAME: &str = "camlock-verifier";

/// What carries a plugin's own variables to the child: a JSON object.
pub(crate) const VARIABLES: &str = "CAMLOCK_PLUGIN_VARIABLES";
