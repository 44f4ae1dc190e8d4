//! Where a plugin's code runs, in a word. What must not live here: which plugin runs where, and how a process holds it.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Where a plugin's code runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Isolation {
    /// In the server's process, at full speed: its faults are the server's.
    #[default]
    None,
    /// In a process of its own, held by the kernel.
    Process,
}

impl Isolation {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Isolation::None => "none",
            Isolation::Process => "process",
        }
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

impl FromStr for Isolation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Isolation::None),
            "process" => Ok(Isolation::Process),
            _ => Err(format!("{text:?} is no isolation: `process` or `none`")),
        }
    }
}
