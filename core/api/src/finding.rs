//! What is found when a server and its machine are examined.

use crate::UtcTime;
use serde::{Deserialize, Serialize};

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum FindingLevel {
    /// As it should be.
    Good,
    /// It works, and somebody should look at it.
    Warning,
    /// Something does not work.
    Wrong,
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Finding {
    /// In a word.
    pub about: String,
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub level: FindingLevel,
    /// What was found, in a sentence.
    pub found: String,
    /// What to do, where there is something to do.
    pub remedy: Option<String>,
}

impl Finding {
    pub fn good(about: &str, found: impl Into<String>) -> Self {
        Finding { about: about.to_owned(), level: FindingLevel::Good, found: found.into(), remedy: None }
    }

    pub fn warning(about: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Finding { about: about.to_owned(), level: FindingLevel::Warning, found: found.into(), remedy }
    }

    pub fn wrong(about: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { level: FindingLevel::Wrong, ..Finding::warning(about, found, remedy) }
    }
}

/// All that was found, as far as whoever asks may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExaminationView {
    /// Whether nothing is wrong; there may be warnings.
    pub good: bool,
    /// Whether the machine was examined too: its tools, directories, and the registry.
    pub machine: bool,
    /// When it was looked at.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: UtcTime,
    pub findings: Vec<Finding>,
}
