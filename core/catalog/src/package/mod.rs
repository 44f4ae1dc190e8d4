//! A package: one version of a plugin, as its author hands it out. A tar file `NAME-VERSION.camlock` of flat names.
//!
//! | file | is |
//! |---|---|
//! | `package.json` | what it is, and the sha256 and size of every other file |
//! | `package.json.minisig` | the author's signature of `package.json`, and so of everything |
//! | `NAME-VERSION.tar.gz` | the sources, with `Cargo.lock` |
//! | `NAME-VERSION-TARGET.so` | a library for each target |
//! | `attestations.jsonl` | of the library or the sources, by a workflow on GitHub: a Sigstore bundle on each line |
//! | `README.md`, `icon.svg` or `icon.png`, `config.schema.json`, `sbom.cdx.json` | for people and tools |
//!
//! The same input gives the same bytes, but for the signature, which has randomness in it. What must not live here: where packages are kept, and compiling.

mod archive;
mod attestation;
mod library;
mod make;
mod manifest;
mod repack;
mod sbom;
mod signature;
mod source;
#[cfg(test)]
pub(crate) mod tests;

pub use self::{
    archive::PackageArchive,
    attestation::{ATTESTATIONS, Attester},
    library::{LibraryFacts, ReadLibrary, examine, glibc_here, target_here},
    make::{PackageParts, make},
    manifest::{FileRecord, LibraryRecord, PackageRecord},
    signature::{AuthorKey, PublisherKey, generate as generate_author_key},
};
pub(crate) use self::{
    attestation::{LARGEST_ATTESTATIONS, check as check_attestations},
    library::read_glibc,
    manifest::check_file_name,
    repack::repack,
    source::check as check_source,
};

/// What every package says it is.
pub(crate) const RECORD: &str = "package.json";
/// The author's signature of it.
pub(crate) const SIGNATURE: &str = "package.json.minisig";

/// The largest file in a package.
pub(crate) const LARGEST_FILE: u64 = 256 << 20;
/// The largest package.
pub(crate) const LARGEST_PACKAGE: u64 = 512 << 20;
/// The largest `package.json`.
pub(crate) const LARGEST_RECORD: u64 = 1 << 20;
/// So many files at most.
pub(crate) const MOST_FILES: usize = 64;
