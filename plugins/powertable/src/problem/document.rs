//! The document of a refusal, as it is sent and as it is described.

use super::Refused;
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

#[derive(Serialize, ToSchema)]
pub struct Problem {
    r#type: &'static str,
    title: &'static str,
    #[schema(example = 400)]
    status: u16,
    #[schema(example = "the column `born` holds integers of 64 bits, not `early`")]
    detail: String,
    /// PostgREST's code, or PostgreSQL's. What the server answers in this plugin's place has none.
    #[schema(example = "22P02", required = false)]
    code: &'static str,
    /// The same as `detail`.
    #[schema(required = false)]
    message: String,
    details: Option<String>,
    hint: Option<String>,
    /// The column that it is about, where it is about one.
    #[schema(example = "born")]
    column: Option<String>,
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Problem {
            r#type: "about:blank",
            title: refused.status.canonical_reason().unwrap_or_default(),
            status: refused.status.as_u16(),
            detail: refused.message.clone(),
            code: refused.code,
            message: refused.message,
            details: refused.details,
            hint: refused.hint,
            column: refused.column,
        }
    }
}

/// How a question about tables is refused.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it only describes")]
pub enum NotFound {
    /// It makes no sense.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(Problem),
    /// There is nothing of that name.
    #[response(status = 404, content_type = "application/problem+json")]
    Nothing(Problem),
    /// The database cannot be reached, or took too long.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

/// How a question about rows is refused.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it only describes")]
pub enum NotRead {
    /// It makes no sense.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(Problem),
    /// There is no such table.
    #[response(status = 404, content_type = "application/problem+json")]
    Nothing(Problem),
    /// One row was wanted, and there are none or several; or no format is known that would be accepted.
    #[response(status = 406, content_type = "application/problem+json")]
    NotAcceptable(Problem),
    /// There are not so many rows.
    #[response(status = 416, content_type = "application/problem+json")]
    BeyondTheEnd(Problem),
    /// The database cannot be reached, or took too long.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

/// How what was sent is refused.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it only describes")]
pub enum NotWritten {
    /// It makes no sense, or holds a value that is none of its column's type.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(Problem),
    /// There is no such table.
    #[response(status = 404, content_type = "application/problem+json")]
    Nothing(Problem),
    /// One row was wanted, and there are none or several; or no format is known that would be accepted.
    #[response(status = 406, content_type = "application/problem+json")]
    NotAcceptable(Problem),
    /// It does not go with what is there.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// It is too much at once.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// `Content-Type` is of none of the formats that are read.
    #[response(status = 415, content_type = "application/problem+json")]
    NotKnown(Problem),
    /// It can be read, but is no definition of a table.
    #[response(status = 422, content_type = "application/problem+json")]
    Unfit(Problem),
    /// The database cannot be reached, or took too long.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}
