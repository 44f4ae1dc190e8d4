//! What plugins ask of their host: the port behind which all services lie. What must not live here: any service.

use crate::{Body, BoxFuture, Granted, ReplacedDocument};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use std::{fmt, sync::Arc, time::Duration};

/// The generation that asks, as the host knows it. Nothing in it comes from the plugin.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// Its generation.
    pub generation: u64,
    /// What it may.
    pub granted: Granted,
    /// Where it says anew what it answers.
    pub document: ReplacedDocument,
}

impl Asker {
    /// Fails with the permission's name unless it was granted.
    pub fn may(&self, permission: &str) -> Result<(), AskError> {
        self.granted.require(&self.plugin, permission)
    }
}

/// Answers what plugins ask.
pub trait Services: Send + Sync {
    /// Answers one ask, whose path begins with a service's name and version. Dropping the future takes the ask back. It is polled
    /// on whatever thread the plugin polls it, within the host's runtime.
    fn ask(&self, asker: &Asker, request: Request<Body>) -> BoxFuture<Response<Body>>;
}

/// The header of an answer that says which error it is.
pub const ERROR_CODE: HeaderName = HeaderName::from_static("x-code");

/// What sort of error an ask came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskErrorCode {
    /// The plugin may not.
    Denied,
    /// It is more than is allowed.
    Limit,
    /// Something else happened meanwhile.
    Conflict,
    /// There is no such thing.
    NotFound,
    /// It cannot be done now, or not by this host.
    Unavailable,
    /// What was asked makes no sense.
    Invalid,
}

impl AskErrorCode {
    /// All of them.
    pub const ALL: [AskErrorCode; 6] = [
        AskErrorCode::Denied,
        AskErrorCode::Limit,
        AskErrorCode::Conflict,
        AskErrorCode::NotFound,
        AskErrorCode::Unavailable,
        AskErrorCode::Invalid,
    ];

    /// As it crosses.
    pub fn word(self) -> &'static str {
        match self {
            AskErrorCode::Denied => "denied",
            AskErrorCode::Limit => "limit",
            AskErrorCode::Conflict => "conflict",
            AskErrorCode::NotFound => "not_found",
            AskErrorCode::Unavailable => "unavailable",
            AskErrorCode::Invalid => "invalid",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            AskErrorCode::Denied => StatusCode::FORBIDDEN,
            AskErrorCode::Limit => StatusCode::TOO_MANY_REQUESTS,
            AskErrorCode::Conflict => StatusCode::CONFLICT,
            AskErrorCode::NotFound => StatusCode::NOT_FOUND,
            AskErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            AskErrorCode::Invalid => StatusCode::BAD_REQUEST,
        }
    }
}

/// What was counted of one plugin's asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AskCounts {
    /// All that was asked.
    pub asks: u64,
    /// What came to an error, by `AskErrorCode::ALL`.
    pub errors: [u64; AskErrorCode::ALL.len()],
    /// What was held back, because the plugin had used up its share of a service's time.
    pub slowed: u64,
    /// All of that together so long.
    pub slowed_for: Duration,
}

/// Why an ask was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskError {
    /// Which sort of error.
    pub code: AskErrorCode,
    /// One sentence for people.
    pub message: String,
}

impl AskError {
    /// An error.
    pub fn new(code: AskErrorCode, message: impl Into<String>) -> Self {
        AskError { code, message: message.into() }
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code.word(), self.message)
    }
}

impl std::error::Error for AskError {}

impl From<AskError> for Response<Body> {
    fn from(error: AskError) -> Self {
        let mut response = Response::new(Body::from(error.message));
        *response.status_mut() = error.code.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(ERROR_CODE, HeaderValue::from_static(error.code.word()));
        response
    }
}
