//! Values that plugins keep with their host.

use crate::UtcTime;
use serde::{Deserialize, Serialize};

/// A value's key, and what is known of the value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Value))]
pub struct ValueView {
    pub key: String,
    /// The revision at which it was put. It is the `ETag`, and `If-Match` may ask for it.
    pub revision: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Null: it does not expire.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub expires: Option<UtcTime>,
}

/// What became of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ValueChange))]
pub struct ValueChangeView {
    pub key: String,
    /// The revision that this made.
    pub revision: u64,
}
