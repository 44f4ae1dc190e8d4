//! Why a command ends without success: a line for stderr, and the exit code.

use crate::config::Misconfigured;
use camlock_embed::Unable;

/// Exit codes. Scripts depend on them.
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const NO_SERVER: u8 = 3;
const NOT_ALLOWED: u8 = 4;
const MISCONFIGURED: u8 = 64;

/// Why a command ends without success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) code: u8,
    pub(crate) reason: String,
}

impl Failed {
    /// It was asked for in a way that makes no sense.
    pub(crate) fn usage(reason: impl Into<String>) -> Self {
        Failed { code: USAGE, reason: reason.into() }
    }

    /// No server answers.
    pub(crate) fn no_server(reason: impl Into<String>) -> Self {
        Failed { code: NO_SERVER, reason: reason.into() }
    }

    /// The server does not let whoever asked do it.
    pub(crate) fn not_allowed(reason: impl Into<String>) -> Self {
        Failed { code: NOT_ALLOWED, reason: reason.into() }
    }

    /// Whether it is that no server answers.
    pub(crate) fn is_no_server(&self) -> bool {
        self.code == NO_SERVER
    }
}

impl From<String> for Failed {
    fn from(reason: String) -> Self {
        Failed { code: FAILED, reason }
    }
}

impl From<&str> for Failed {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

impl From<Misconfigured> for Failed {
    fn from(misconfigured: Misconfigured) -> Self {
        Failed { code: MISCONFIGURED, reason: misconfigured.0 }
    }
}

impl From<Unable> for Failed {
    fn from(unable: Unable) -> Self {
        Failed { code: if unable.misconfigured { MISCONFIGURED } else { FAILED }, reason: unable.reason }
    }
}
