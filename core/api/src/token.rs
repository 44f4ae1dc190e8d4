//! Tokens of the API, and what they allow.

use crate::UtcTime;
use serde::{Deserialize, Serialize};

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Role {
    /// To look.
    Viewer,
    /// To decide about plugins that are there.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Token))]
pub struct TokenStatus {
    /// Its number.
    pub id: u64,
    /// What it is called in the journal.
    pub name: String,
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub role: Role,
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created: UtcTime,
    /// Null: it holds until it is revoked.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub expires: Option<UtcTime>,
    /// Since when it lets nobody in any more.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub revoked: Option<UtcTime>,
    /// Whether it lets somebody in.
    pub holds: bool,
}

/// A token that was just made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Made))]
pub struct CreatedToken {
    #[serde(flatten)]
    pub about: TokenStatus,
    /// Its secret. It is shown now, and never again.
    pub token: String,
}
