//! The OpenAPI document that a generation has put into the place of the one that it came with. What must not live here: what may
//! stand in it.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

/// The document with which a generation replaced its first one, if it did. All clones are one.
#[derive(Clone, Default)]
pub struct ReplacedDocument(Arc<RwLock<Option<Arc<str>>>>);

impl ReplacedDocument {
    /// The document as it is now, as JSON text.
    pub fn get(&self) -> Option<Arc<str>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on this is it.
    pub fn replace(&self, text: &str) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(text.into());
    }
}

impl fmt::Debug for ReplacedDocument {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.get().map_or(0, |text| text.len());
        formatter.debug_struct("ReplacedDocument").field("bytes", &bytes).finish()
    }
}
