//! Why a request was refused, and how it is told: `application/problem+json` (RFC 9457).

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{StatusCode, header::CONTENT_TYPE, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::fmt::Display;
use utoipa::{IntoResponses, ToSchema};

/// A refusal: a status, and a sentence for the one who asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    pub status: StatusCode,
    pub detail: String,
}

impl Refused {
    /// The question itself is wrong.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Refused { status: StatusCode::BAD_REQUEST, detail: detail.into() }
    }

    /// There is nothing of that name.
    pub fn nothing(detail: impl Into<String>) -> Self {
        Refused { status: StatusCode::NOT_FOUND, detail: detail.into() }
    }

    /// It would be right, were it not for what is there already.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Refused { status: StatusCode::CONFLICT, detail: detail.into() }
    }

    /// It is JSON, but not what is wanted.
    pub fn unfit(detail: impl Into<String>) -> Self {
        Refused { status: StatusCode::UNPROCESSABLE_ENTITY, detail: detail.into() }
    }
}

/// The document of a refusal.
#[derive(Serialize, ToSchema)]
pub struct Problem {
    r#type: &'static str,
    title: &'static str,
    #[schema(example = 422)]
    status: u16,
    #[schema(example = "column `born` holds integers, not a text")]
    detail: String,
}

/// How a question is refused, for the document.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it only describes")]
pub enum NotFound {
    /// It makes no sense.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(Problem),
    /// There is nothing of that name.
    #[response(status = 404, content_type = "application/problem+json")]
    Nothing(Problem),
}

/// How what was sent is refused, for the document.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it only describes")]
pub enum NotWritten {
    /// It makes no sense, or is no JSON.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(Problem),
    /// There is no such table or row.
    #[response(status = 404, content_type = "application/problem+json")]
    Nothing(Problem),
    /// The name is taken, or there is no room.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// The request is too large.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// `Content-Type` is not JSON's.
    #[response(status = 415, content_type = "application/problem+json")]
    NotJson(Problem),
    /// It is JSON, but does not fit.
    #[response(status = 422, content_type = "application/problem+json")]
    Unfit(Problem),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let problem = Problem {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: self.detail,
        };
        (self.status, [(CONTENT_TYPE, "application/problem+json")], axum::Json(problem)).into_response()
    }
}

/// An extractor of axum's whose own refusal is told like all others.
pub struct Told<E>(pub E);

fn tell(rejection: impl IntoResponse + Display) -> Refused {
    Refused { detail: rejection.to_string(), status: rejection.into_response().status() }
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
