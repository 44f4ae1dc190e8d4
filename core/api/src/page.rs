//! Lists, in pages.

use crate::PluginView;
use serde::{Deserialize, Serialize};

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// What is in it.
    pub items: Vec<T>,
    /// Where the next one begins: send it as `cursor`. Null if there is none.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// All that there is.
    pub fn whole(items: Vec<T>) -> Self {
        Page { items, next: None }
    }
}

/// A page of plugins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Plugins))]
pub struct PluginPage {
    #[serde(flatten)]
    pub page: Page<PluginView>,
    /// Why the plugins directory cannot be read, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Why the registry cannot be used, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_trouble: Option<String>,
}
