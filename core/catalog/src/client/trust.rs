//! The metadata that was proved last: what is older than that is never believed again.
//!
//! It is kept by whoever keeps the registry; nothing in it is believed for lying there, it is proved anew each time.

use sigstore_tuf::MetadataStore;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Files of metadata, by name. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct TrustedFiles(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl TrustedFiles {
    /// Those that were kept.
    pub fn of(files: BTreeMap<String, Vec<u8>>) -> Self {
        TrustedFiles(Arc::new(Mutex::new(files)))
    }

    /// Those that are to be kept.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Only what a later start needs: the chain of roots, and the newest of each role. Documents and bins are fetched again.
fn is_kept(name: &str) -> bool {
    name.starts_with("root_history/")
        || matches!(name, "root.json" | "timestamp.json" | "snapshot.json" | "targets.json")
}

impl MetadataStore for TrustedFiles {
    fn load(&self, name: &str) -> sigstore_tuf::Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned())
    }

    fn store(&self, name: &str, bytes: &[u8]) -> sigstore_tuf::Result<()> {
        if is_kept(name) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), bytes.to_vec());
        }
        Ok(())
    }
}
