//! What plugins bring to the page.

use serde::{Deserialize, Serialize};

/// What one plugin brings, while it serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Extension))]
pub struct ExtensionView {
    pub plugin: String,
    /// Of the code that serves: another one has other files.
    pub digest: String,
    /// Where its files are on the page's listener.
    pub base: String,
    /// What its modules may ask, for whoever may that too: `ui:read`, `ui:call`, as far as it asks for them and they are granted.
    pub rights: Vec<String>,
    pub widgets: Vec<ExtensionPart>,
    pub pages: Vec<ExtensionPart>,
}

/// A widget or a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExtensionPart {
    pub id: String,
    pub title: String,
    /// The module, below `base`.
    pub module: String,
}
