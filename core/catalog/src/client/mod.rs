//! Reading a catalog: from where it lies, believing only what its signatures prove, and never anything older than what was proved
//! before.

#[cfg(test)]
mod attacks;
mod discovered;
mod followed;
mod listing;
mod mirror;
mod place;
mod roots;
#[cfg(test)]
mod site;
mod sync;
#[cfg(test)]
mod tests;
mod trust;

pub use self::{
    discovered::{DiscoveredReader, FetchArchive},
    followed::FollowedCatalog,
    listing::ListingReader,
    mirror::{Mirrored, mirror},
    place::CatalogPlace,
    sync::{CatalogReader, PackagePart, SyncedLines, Synchronized},
    trust::TrustedFiles,
};
