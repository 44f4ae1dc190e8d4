//! From the head that crossed to the request that axum routes.

use axum::extract::{ConnectInfo, FromRequestParts, OriginalUri};
use bytes::Bytes;
use camlock_abi::{Body as ForeignBody, FailureMessage, Refused, RequestHead, decode_good_headers, values_len};
use http::{Extensions, Method, Request, Uri, Version, request::Parts};
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

/// Empty extensions with room for all that a request usually gets here and in axum. A clone has that room too: filling it
/// costs no growth.
pub(crate) fn room() -> Extensions {
    let mut room = Extensions::new();
    room.insert(0u8);
    room.insert(0u16);
    room.insert(0u32);
    room.insert(0u64);
    room.clear();
    room
}

/// Builds the request; the host is trusted to have parsed HTTP, but nothing here panics if it did not.
pub(crate) fn build(
    head: &RequestHead<'_>,
    body: ForeignBody,
    room: &Extensions,
) -> Result<Request<axum::body::Body>, FailureMessage> {
    // All that is copied of the head lies in one piece of memory: the target as the client sent it, which the target
    // without the mount is the end of, and the values of the headers.
    let (original, target) = (head.original_target.as_bytes(), head.target.as_bytes());
    let ends_with_target = original.ends_with(target);
    let apart = if ends_with_target { 0 } else { target.len() };
    // One byte too many: `Bytes` makes what is going to be shared anyway shared from the first.
    let mut copy = Vec::with_capacity(original.len() + apart + values_len(head.headers) + 1);
    copy.extend_from_slice(original);
    copy.extend_from_slice(&target[..apart]);
    head.headers.iter().for_each(|pair| copy.extend_from_slice(pair.value.as_slice()));
    let mut arena = Bytes::from(copy);
    let original = arena.split_to(original.len());
    let stripped = original.len() > target.len() || !ends_with_target;
    let target = if ends_with_target { original.slice(original.len() - target.len()..) } else { arena.split_to(apart) };
    let told = |Refused(reason)| FailureMessage::error(reason);
    // SAFETY: the host lends the values of the request's own header map (the contract's words on `RequestHead::headers`).
    let headers = unsafe { decode_good_headers(head.headers, arena) }.map_err(told)?;
    let uri = |target: Bytes| {
        Uri::from_maybe_shared(target).map_err(|error| FailureMessage::error(format!("bad request target: {error}")))
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
    *request.uri_mut() = uri(target)?;
    *request.headers_mut() = headers;
    *request.version_mut() = match head.version {
        10 => Version::HTTP_10,
        20 => Version::HTTP_2,
        30 => Version::HTTP_3,
        _ => Version::HTTP_11,
    };
    *request.extensions_mut() = room.clone();
    let extensions = request.extensions_mut();
    // Where there is no mount axum's router puts the same value there itself.
    if stripped {
        extensions.insert(OriginalUri(uri(original)?));
    }
    if let Some(peer) = Option::<SocketAddr>::from(head.peer) {
        extensions.insert(ConnectInfo(peer));
    }
    if !head.request_id.is_empty() {
        extensions.insert(RequestId(head.request_id.as_str().to_owned()));
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlock_abi::{HeaderPair, Peer, RSlice, RStr};

    #[test]
    fn targets_and_headers_are_as_they_were_sent() {
        let room = room();
        let headers = ["localhost", "", "x; y=z"].map(|value| HeaderPair {
            name: RSlice::from_slice(b"x-value"),
            value: RSlice::from_slice(value.as_bytes()),
            sensitive: false,
        });
        for (original, target) in [
            ("/hello", "/hello"),
            ("/api/v1/p/hello/hello?a=b", "/hello?a=b"),
            ("/api/v1/p/hello/", "/"),
            // The mount itself: what the plugin sees is no part of what the client sent.
            ("/api/v1/p/hello", "/"),
            ("/api/v1/p/hello?a=b", "/?a=b"),
        ] {
            let head = RequestHead {
                method: RStr::from_str("GET"),
                target: RStr::from_str(target),
                original_target: RStr::from_str(original),
                version: 11,
                headers: RSlice::from_slice(&headers),
                peer: Peer::from(None),
                request_id: RStr::from_str(""),
                trace_id: [0; 16],
                extra: RSlice::EMPTY,
            };
            let request = build(&head, ForeignBody::empty(), &room).unwrap();
            assert_eq!(request.uri(), target);
            let told = request.extensions().get::<OriginalUri>().map(|uri| uri.0.to_string());
            assert_eq!(told.as_deref(), (original != target).then_some(original));
            let values: Vec<_> = request.headers().get_all("x-value").iter().collect();
            assert_eq!(values, ["localhost", "", "x; y=z"]);
            assert_eq!(request.extensions().get::<u64>(), None, "the room is empty");
        }
    }
}
