//! What operators set. What must not live here: what follows from it.

use camlock_plugin::schemars::{self, JsonSchema};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, PoisonError, RwLock};

/// The configuration.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AuditSettings {
    /// Who shows it (`Authorization: Bearer …`) may read what happened. Without one nobody may.
    #[schemars(title = "Token", length(min = 16), extend("sensitive" = true))]
    pub(crate) token: Option<String>,
    /// Entries are removed after so many days.
    #[schemars(title = "Days", range(min = 1, max = 36500))]
    pub(crate) days: u32,
}

impl Default for AuditSettings {
    fn default() -> Self {
        AuditSettings { token: None, days: 90 }
    }
}

/// The configuration as it is now. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct SharedSettings(Arc<RwLock<AuditSettings>>);

impl SharedSettings {
    pub(crate) fn new(settings: AuditSettings) -> Self {
        SharedSettings(Arc::new(RwLock::new(settings)))
    }

    pub(crate) fn set(&self, settings: AuditSettings) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    pub(crate) fn get(&self) -> AuditSettings {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this is the token. It takes as long whatever is wrong with it.
    pub(crate) fn is_token(&self, shown: &str) -> Option<bool> {
        let token = self.get().token?;
        let alike = token.bytes().zip(shown.bytes()).fold(0, |different, (one, other)| different | (one ^ other));
        Some(alike == 0 && token.len() == shown.len())
    }
}
