//! A repository's manifest: read with the places of all that stands in it, and judged by rules. Pure, and bounded whatever is read.
//!
//! What must not live here: where the text comes from, and what other repositories say.

mod rules;
mod tree;

pub use rules::{RepositoryFacts, RepositoryManifest};

use crate::trouble::{BrokenRule, InvalidManifest, ManifestViolation};

/// The largest manifest that is read, in bytes.
pub const LARGEST_MANIFEST: u64 = 64 << 10;

/// Reads a manifest and checks all of its rules but those that other plugins have a part in.
pub fn judge(file: &str, text: &[u8], facts: &RepositoryFacts) -> Result<RepositoryManifest, InvalidManifest> {
    let all = |violations| InvalidManifest { file: file.to_owned(), violations };
    let root = tree::read(text).map_err(|violation| all(vec![violation]))?;
    rules::check(&root, facts).map_err(all)
}

/// What is wrong with a manifest of this size.
pub fn too_large(file: &str, bytes: u64) -> InvalidManifest {
    let message = format!("it has {bytes} bytes, and a manifest has {LARGEST_MANIFEST} at most");
    InvalidManifest { file: file.to_owned(), violations: vec![at_the_beginning(message)] }
}

/// What is wrong with a manifest that is no file of text.
pub fn no_text(file: &str, what: &str) -> InvalidManifest {
    InvalidManifest { file: file.to_owned(), violations: vec![at_the_beginning(format!("it is {what}, and no text"))] }
}

fn at_the_beginning(message: String) -> ManifestViolation {
    ManifestViolation { rule: BrokenRule::InvalidFormat, line: 1, column: 1, message }
}
