//! From the head that crossed to the request that axum routes.

use axum::extract::{ConnectInfo, FromRequestParts, OriginalUri};
use bytes::Bytes;
use camlock_abi::{Body as ForeignBody, FailureMessage, Refused, RequestHead, decode_good_headers};
use http::{Method, Request, Uri, Version, request::Parts};
use std::{convert::Infallible, net::SocketAddr};

/// The host's id of a request, as an extension: `Extension<RequestId>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub String);

/// The W3C trace id of the request that is being handled; an extractor. Zeros where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceId(pub [u8; 16]);

impl<S: Sync> FromRequestParts<S> for TraceId {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(TraceId(crate::host::current_trace()))
    }
}

impl std::fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Builds the request; the host is trusted to have parsed HTTP, but nothing here panics if it did not.
pub(crate) fn build(head: &RequestHead<'_>, body: ForeignBody) -> Result<Request<axum::body::Body>, FailureMessage> {
    let told = |Refused(reason)| FailureMessage::error(reason);
    // SAFETY: the host lends the values of the request's own header map (the contract's words on `RequestHead::headers`).
    let headers = unsafe { decode_good_headers(head.headers) }.map_err(told)?;
    let uri = |target: &[u8]| {
        Uri::from_maybe_shared(Bytes::copy_from_slice(target))
            .map_err(|error| FailureMessage::error(format!("bad request target: {error}")))
    };
    let method = Method::from_bytes(head.method.as_bytes())
        .map_err(|_| FailureMessage::error(format!("`{}` is not a method", head.method)))?;
    let body = match body.import(|| ()) {
        Ok(bytes) if bytes.is_empty() => axum::body::Body::empty(),
        Ok(bytes) => axum::body::Body::from(bytes),
        Err(stream) => axum::body::Body::new(stream),
    };
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri(head.target.as_bytes())?;
    *request.headers_mut() = headers;
    *request.version_mut() = match head.version {
        10 => Version::HTTP_10,
        20 => Version::HTTP_2,
        30 => Version::HTTP_3,
        _ => Version::HTTP_11,
    };
    let extensions = request.extensions_mut();
    // Where there is no mount axum's router puts the same value there itself.
    if head.original_target.as_bytes() != head.target.as_bytes() {
        extensions.insert(OriginalUri(uri(head.original_target.as_bytes())?));
    }
    if let Some(peer) = Option::<SocketAddr>::from(head.peer) {
        extensions.insert(ConnectInfo(peer));
    }
    if !head.request_id.is_empty() {
        extensions.insert(RequestId(head.request_id.as_str().to_owned()));
    }
    Ok(request)
}
