//! Why a request was refused, and how it is told: `application/problem+json` (RFC 9457), with the members that PostgREST's clients
//! read beside the standard ones.

mod document;
mod of_host;

pub use document::{NotFound, NotRead, NotWritten, Problem};

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{StatusCode, header::CONTENT_TYPE, request::Parts},
    response::{IntoResponse, Response},
};
use std::fmt::Display;

/// A refusal: a status, and sentences for the one who asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    pub status: StatusCode,
    /// PostgREST's code, or PostgreSQL's.
    pub code: &'static str,
    pub message: String,
    pub details: Option<String>,
    pub hint: Option<String>,
    /// The column that it is about, where it is about one.
    pub column: Option<String>,
}

pub type OrRefused<T> = Result<T, Refused>;

impl Refused {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Refused { status, code, message: message.into(), details: None, hint: None, column: None }
    }

    /// The question cannot be read.
    pub fn malformed(message: impl Into<String>) -> Self {
        Refused::new(StatusCode::BAD_REQUEST, "PGRST100", message)
    }

    /// What was sent cannot be read.
    pub fn unreadable(message: impl Into<String>) -> Self {
        Refused::new(StatusCode::BAD_REQUEST, "PGRST102", message)
    }

    /// There is no such table.
    pub fn no_table(name: &str) -> Self {
        Refused::new(StatusCode::NOT_FOUND, "PGRST205", format!("there is no table `{}`", shortened(name)))
    }

    /// It would be right, were it not for what is there already.
    pub fn conflict(message: impl Into<String>) -> Self {
        Refused::new(StatusCode::CONFLICT, "42P07", message)
    }

    /// It can be read, but is no definition of a table.
    pub fn unfit(message: impl Into<String>) -> Self {
        Refused::new(StatusCode::UNPROCESSABLE_ENTITY, "42P16", message)
    }

    /// A value is none of its column's type.
    pub fn no_value(message: impl Into<String>) -> Self {
        Refused::new(StatusCode::BAD_REQUEST, "22P02", message)
    }

    /// A row was to be one, and was none or several.
    pub fn not_one(rows: &str) -> Self {
        let message = "Cannot coerce the result to a single JSON object";
        let refused = Refused::new(StatusCode::NOT_ACCEPTABLE, "PGRST116", message);
        refused.with_details(format!("The result contains {rows} rows"))
    }

    pub fn with_details(self, details: impl Into<String>) -> Self {
        Refused { details: Some(details.into()), ..self }
    }

    /// The same of a value of this column.
    pub fn of_column(self, name: &str) -> Self {
        Refused { message: format!("`{name}`: {}", self.message), column: Some(name.to_owned()), ..self }
    }

    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Refused { hint: Some(hint.into()), ..self }
    }
}

/// Somebody else's words, cut where they get long.
pub fn shortened(words: &str) -> String {
    words.chars().take(100).collect()
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = self.status;
        (status, [(CONTENT_TYPE, "application/problem+json")], axum::Json(Problem::from(self))).into_response()
    }
}

/// An extractor of axum's whose own refusal is told like all others.
pub struct Told<E>(pub E);

fn tell(rejection: impl IntoResponse + Display) -> Refused {
    let message = rejection.to_string();
    Refused::new(rejection.into_response().status(), "PGRST102", message)
}

impl<S: Sync, E: FromRequestParts<S, Rejection: Display>> FromRequestParts<S> for Told<E> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        E::from_request_parts(parts, state).await.map(Told).map_err(tell)
    }
}

impl<S: Sync, E: FromRequest<S, Rejection: Display>> FromRequest<S> for Told<E> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        E::from_request(request, state).await.map(Told).map_err(tell)
    }
}
