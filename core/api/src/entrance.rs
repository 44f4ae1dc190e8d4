//! The way onto the page.

use crate::Role;
use serde::{Deserialize, Serialize};

/// A link to the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PageAddress {
    /// With a code that lets in once.
    pub url: String,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Whoami {
    /// What the token is called in the journal.
    pub name: String,
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub role: Role,
}
