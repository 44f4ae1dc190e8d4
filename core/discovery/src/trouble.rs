//! What can go wrong, as types: with a manifest, with a forge, with where it is kept. Each is a sentence for whoever reads it.
//!
//! ```text
//! DiscoveryError
//! ├── Manifest(InvalidManifest): MissingRequiredField, InvalidFormat, InvalidDependency, with their places
//! ├── Forge(ForgeError): RateLimit, RepositoryNotFound, ReleaseNotFound, and answers that are none
//! └── Cache(CacheError)
//! ```

use camlock_api::{DiscoveryTrouble, TroubleWithPlugin};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// Why something was not discovered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// A manifest is not as it must be.
    #[error(transparent)]
    Manifest(#[from] InvalidManifest),
    /// A forge does not answer as it must.
    #[error(transparent)]
    Forge(#[from] ForgeError),
    /// What was discovered cannot be kept, or read.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// All that is wrong with a manifest: at least one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvalidManifest {
    /// The file's name.
    pub file: String,
    /// In the order of their places.
    pub violations: Vec<ManifestViolation>,
}

impl std::error::Error for InvalidManifest {}

impl fmt::Display for InvalidManifest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, violation) in self.violations.iter().enumerate() {
            let between = if number == 0 { "" } else { "; " };
            write!(formatter, "{between}{}:{violation}", self.file)?;
        }
        Ok(())
    }
}

impl InvalidManifest {
    /// As the API has it.
    pub fn troubles(&self) -> Vec<DiscoveryTrouble> {
        let trouble = |violation: &ManifestViolation| DiscoveryTrouble {
            kind: violation.rule.into(),
            message: violation.message.clone(),
            file: Some(self.file.clone()),
            line: Some(violation.line),
            column: Some(violation.column),
        };
        self.violations.iter().map(trouble).collect()
    }
}

/// One thing that is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestViolation {
    /// Which sort of rule it breaks.
    pub rule: BrokenRule,
    /// From 1.
    pub line: u64,
    /// From 1.
    pub column: u64,
    /// In words.
    pub message: String,
}

impl fmt::Display for ManifestViolation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// Which sort of rule a manifest breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BrokenRule {
    /// A field is missing.
    MissingRequiredField,
    /// Something is not as it must be.
    InvalidFormat,
    /// It depends on something that is not there.
    InvalidDependency,
}

impl From<BrokenRule> for TroubleWithPlugin {
    fn from(rule: BrokenRule) -> Self {
        match rule {
            BrokenRule::MissingRequiredField => TroubleWithPlugin::MissingRequiredField,
            BrokenRule::InvalidFormat => TroubleWithPlugin::InvalidFormat,
            BrokenRule::InvalidDependency => TroubleWithPlugin::InvalidDependency,
        }
    }
}

/// Why a forge could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForgeError {
    /// Nobody may ask any more for now, or what is left is kept back for others.
    #[error("the forge's rate limit is reached: {detail}; it may be asked again in {} s", again.as_secs())]
    RateLimit {
        /// When it may be asked again.
        again: Duration,
        /// What it was.
        detail: String,
    },
    /// It does not know it, or this token may not see it.
    #[error("there is no {0}, or the token may not see it")]
    RepositoryNotFound(String),
    /// It has no release.
    #[error("{0} has no release")]
    ReleaseNotFound(String),
    /// It does not let this token in.
    #[error("{0}")]
    Refused(String),
    /// It does not speak this.
    #[error("{0}")]
    NotSpoken(String),
    /// What it answers cannot be understood.
    #[error("{0}")]
    NotUnderstood(String),
    /// It has trouble of its own, or there is no way to it: this may pass.
    #[error("{0}")]
    Unreachable(String),
}

impl ForgeError {
    /// Whether another attempt may do better.
    pub fn passes(&self) -> bool {
        matches!(self, ForgeError::Unreachable(_) | ForgeError::RateLimit { .. })
    }

    /// As the API has it.
    pub fn trouble(&self) -> DiscoveryTrouble {
        let kind = match self {
            ForgeError::RateLimit { .. } => TroubleWithPlugin::RateLimit,
            ForgeError::RepositoryNotFound(_) => TroubleWithPlugin::RepositoryNotFound,
            ForgeError::ReleaseNotFound(_) => TroubleWithPlugin::ReleaseNotFound,
            _ => TroubleWithPlugin::ForgeApi,
        };
        DiscoveryTrouble { kind, message: self.to_string(), file: None, line: None, column: None }
    }
}

/// Why what was discovered cannot be kept, or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was discovered cannot be kept: {0}")]
pub struct CacheError(pub String);
