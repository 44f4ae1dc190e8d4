//! Reading a catalog: from where it lies, believing only what its signatures prove, and never anything older than what was proved
//! before.

mod place;
mod sync;
#[cfg(test)]
mod tests;
mod trust;

pub use self::{
    place::CatalogPlace,
    sync::{CatalogReader, SyncedLines, Synchronized},
    trust::TrustedFiles,
};
