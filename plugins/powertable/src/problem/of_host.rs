//! What the host and its database say, as refusals.

use super::Refused;
use axum::http::StatusCode;
use camlock_plugin::{HostError, HostErrorCode};

/// What stands before the names of tables in the database.
const PREFIX: &str = "p_powertable__t_";

impl From<HostError> for Refused {
    fn from(error: HostError) -> Self {
        let words = error.message.replace(PREFIX, "");
        let small = words.to_lowercase();
        let says = |word: &str| small.contains(word);
        let (status, code, message) = match error.code {
            HostErrorCode::Conflict if says("foreign key") => {
                (StatusCode::CONFLICT, "23503", "a row refers to one that is not there, or is referred to")
            }
            HostErrorCode::Conflict if says("not null") || says("not-null") => {
                (StatusCode::BAD_REQUEST, "23502", "a column that must have a value has none")
            }
            HostErrorCode::Conflict if says("unique") => {
                (StatusCode::CONFLICT, "23505", "there is a row with such a value already, and the column is unique")
            }
            HostErrorCode::Conflict => (StatusCode::CONFLICT, "40001", "something else was changed meanwhile"),
            HostErrorCode::Invalid => (StatusCode::BAD_REQUEST, "42000", "the database refused it"),
            HostErrorCode::Limit => (StatusCode::SERVICE_UNAVAILABLE, "57014", "it is more than can be done at once"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "PGRST000", "the database cannot be used now"),
        };
        Refused::new(status, code, message).with_details(words)
    }
}
