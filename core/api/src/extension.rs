//! What plugins bring to the page.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What one plugin brings, while it serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Extension))]
pub struct ExtensionView {
    pub plugin: String,
    /// Of the code that serves: another one has other files.
    pub digest: String,
    /// Where its files are on the page's listener.
    pub base: String,
    /// What its modules may ask, for whoever may that too: `ui:read`, `ui:read:all`, `ui:call`, as far as it asks for them and they are granted.
    pub rights: Vec<String>,
    /// Whether its modules run in the page itself. Others run in frames.
    pub trusted: bool,
    pub widgets: Vec<ExtensionPart>,
    pub pages: Vec<ExtensionPart>,
    /// What stands in the menu of each plugin.
    pub menus: Vec<ExtensionPart>,
    /// What stands at fields of forms.
    pub fields: Vec<ExtensionPart>,
    pub themes: Vec<ExtensionTheme>,
}

/// What is shown by a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExtensionPart {
    pub id: String,
    pub title: String,
    /// The module, below `base`.
    pub module: String,
    /// What it may ask, if that is less than its plugin may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
    /// Of a widget: the schema of what may be set of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Value>,
    /// Of a widget: what is set unless somebody sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Of a field: the `format` for which it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// Colours for the whole page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExtensionTheme {
    pub id: String,
    pub title: String,
    /// Whether it is dark.
    pub dark: bool,
    /// Colours, as `#rrggbb`, by name.
    pub tokens: BTreeMap<String, String>,
}
