//! Asking the host: the one way in which all its services are reached. What must not live here: any one service.

use crate::{Host, around};
use axum::body::Body as AxumBody;
use bytes::Bytes;
use camlock_abi::{
    Body, Caught, DirectWaker, ExportedBody, FailureMessage, HeaderList, ImportTask, Peer, RSlice, RStr, RequestHead,
    TaskAnswer, encode_headers,
};
use http::{Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::runtime::Handle;

/// The header of an answer that says which error it is.
pub(crate) const ERROR_CODE: &str = "x-code";

/// Why the host did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostError {
    /// Which sort of error.
    pub code: HostErrorCode,
    /// One sentence for people.
    pub message: String,
}

/// What sort of error an ask came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostErrorCode {
    /// The plugin may not: no operator has granted it.
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

impl HostErrorCode {
    const WORDS: [(&str, HostErrorCode); 6] = [
        ("denied", HostErrorCode::Denied),
        ("limit", HostErrorCode::Limit),
        ("conflict", HostErrorCode::Conflict),
        ("not_found", HostErrorCode::NotFound),
        ("unavailable", HostErrorCode::Unavailable),
        ("invalid", HostErrorCode::Invalid),
    ];

    /// By its word; one that is not known comes of a later host.
    #[doc(hidden)]
    pub fn of_word(word: &str) -> Self {
        let code = Self::WORDS.iter().find(|(known, _)| *known == word);
        code.map_or(HostErrorCode::Unavailable, |(_, code)| *code)
    }
}

impl HostError {
    /// An error, as a host would answer with it: for tests.
    pub fn new(code: HostErrorCode, message: impl Into<String>) -> Self {
        HostError { code, message: message.into() }
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for HostError {}

/// What answers asks in an ordinary program.
#[doc(hidden)]
pub type ProgramServices = Arc<dyn Fn(Request<AxumBody>) -> Answering + Send + Sync>;

/// An answer on its way.
#[doc(hidden)]
pub type Answering = Pin<Box<dyn Future<Output = Result<Response<AxumBody>, HostError>> + Send>>;

impl Host {
    /// Asks a service that this host's program brings of its own. The path begins with the service's name and version:
    /// `/sessions/1/current`. An answer that is none of 2xx is an error.
    pub async fn ask(&self, request: Request<AxumBody>) -> Result<Response<AxumBody>, HostError> {
        let Some(host) = self.reference() else {
            return match self.program_services() {
                Some(services) => services(request).await,
                None => Err(HostError::new(HostErrorCode::Unavailable, "not here: this is an ordinary program")),
            };
        };
        let asked = {
            let (head, body) = request.into_parts();
            let mut list = HeaderList::new();
            encode_headers(&head.headers, &mut list);
            let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
            let head = RequestHead {
                method: RStr::from_str(head.method.as_str()),
                target: RStr::from_str(target),
                original_target: RStr::from_str(target),
                version: 11,
                headers: RSlice::from_slice(&list),
                peer: Peer::from(None),
                request_id: RStr::from_str(""),
                trace_id: crate::host::current_trace(),
                extra: RSlice::EMPTY,
            };
            let body = if body.is_end_stream() {
                Body::empty()
            } else {
                Body::stream(Question::new(self.clone(), body), DirectWaker)
            };
            // SAFETY: the host's record and table are valid while this library is mapped; the head is lent for this call.
            ImportTask::new(unsafe { host.table.ask()(host.context, &head, body) })
        };
        let answer = asked.await.map_err(|failure| HostError::new(HostErrorCode::Unavailable, failure.message))?;
        read(answer).await
    }
}

/// An answer, or the error that it is.
async fn read(answer: TaskAnswer) -> Result<Response<AxumBody>, HostError> {
    let body = match answer.body.import(|| ()) {
        Ok(bytes) => AxumBody::from(bytes),
        Err(stream) => AxumBody::new(stream),
    };
    let status = StatusCode::from_u16(answer.status)
        .map_err(|_| HostError::new(HostErrorCode::Unavailable, format!("the host answered {}", answer.status)))?;
    if status.is_success() {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = answer.headers;
        return Ok(response);
    }
    let word = answer.headers.get(ERROR_CODE).and_then(|code| code.to_str().ok()).unwrap_or_default();
    let code = HostErrorCode::of_word(word);
    let message = axum::body::to_bytes(body, 64 * 1024).await.unwrap_or_default();
    Err(HostError::new(code, String::from_utf8_lossy(&message)))
}

/// The body of a question on its way to the host, which polls it on threads of its own: tokio's functions find the runtime there
/// that they would find where the question was asked.
struct Question {
    /// There until this is dropped.
    body: Option<AxumBody>,
    host: Host,
    runtime: Option<Handle>,
}

impl Question {
    fn new(host: Host, body: AxumBody) -> Self {
        Question { body: Some(body), host, runtime: Handle::try_current().ok() }
    }

    fn within<T>(&mut self, act: impl FnOnce(&mut Option<AxumBody>) -> T) -> T {
        around::passing(&self.host);
        let _entered = self.runtime.as_ref().map(Handle::enter);
        act(&mut self.body)
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.within(|body| drop(body.take()));
    }
}

impl http_body::Body for Question {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.within(|body| match body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, |body| body.size_hint())
    }
}

impl ExportedBody for Question {
    fn describe(error: axum::Error) -> FailureMessage {
        FailureMessage::error(error.to_string())
    }

    fn dropped_badly(caught: &Caught) {
        crate::host::panicked("while dropping what was asked", caught);
    }
}
