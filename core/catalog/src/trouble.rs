//! Why something with a catalog or a package did not work: one sentence, and what sort of trouble it is.

use std::fmt;

/// What sort of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleSort {
    /// What was asked for, or what was fetched, is not as it must be.
    Unfit,
    /// It is not there.
    Missing,
    /// A policy or a signature is against it.
    Denied,
    /// It was there before, with other bytes or from elsewhere.
    Conflict,
    /// A catalog, a disk or a database does not answer for now.
    Unavailable,
}

/// Why it did not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct CatalogTrouble {
    /// What sort of trouble it is.
    pub sort: TroubleSort,
    /// One sentence.
    pub reason: String,
}

impl CatalogTrouble {
    pub(crate) fn new(sort: TroubleSort, reason: impl Into<String>) -> Self {
        CatalogTrouble { sort, reason: reason.into() }
    }

    pub(crate) fn unfit(reason: impl Into<String>) -> Self {
        CatalogTrouble::new(TroubleSort::Unfit, reason)
    }

    pub(crate) fn missing(reason: impl Into<String>) -> Self {
        CatalogTrouble::new(TroubleSort::Missing, reason)
    }

    pub(crate) fn denied(reason: impl Into<String>) -> Self {
        CatalogTrouble::new(TroubleSort::Denied, reason)
    }

    pub(crate) fn conflict(reason: impl Into<String>) -> Self {
        CatalogTrouble::new(TroubleSort::Conflict, reason)
    }

    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        CatalogTrouble::new(TroubleSort::Unavailable, reason)
    }

    /// The same, with the place where it happened before it.
    pub(crate) fn at(self, place: impl fmt::Display) -> Self {
        CatalogTrouble { reason: format!("{place}: {}", self.reason), ..self }
    }
}

/// A file that could not be read or written.
pub(crate) fn of_file(what: &str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> CatalogTrouble {
    let place = format!("{} cannot be {what}", path.display());
    move |error| CatalogTrouble::unavailable(format!("{place}: {error}"))
}

/// A text of somebody else's, fit to stand in a sentence: short, on one line.
pub(crate) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().count() > 80 {
        short.push('…');
    }
    short
}
