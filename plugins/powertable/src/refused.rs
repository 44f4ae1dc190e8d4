//! Why a request was refused, and how it is told: `application/problem+json` (RFC 9457).

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{StatusCode, header::CONTENT_TYPE, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::fmt::Display;
use utoipa::ToSchema;

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
