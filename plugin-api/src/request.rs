//! From the head that crossed to the request that axum routes.

use crate::spare::Spares;
use axum::extract::{ConnectInfo, FromRequestParts, OriginalUri};
use camlock_abi::{
    Body as ForeignBody, FailureMessage, Peer, RefusedHead, RequestHead, decode_good_headers, values_len,
};
use http::{Extensions, Method, Request, Uri, Version, request::Parts, uri::PathAndQuery};
use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
};

/// The host's id of a request, as an extension: `Extension<RequestId>`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    length: u8,
    bytes: [u8; RequestId::LONGEST],
}

impl RequestId {
    /// No id is longer, for none that a client sends is taken if it is.
    const LONGEST: usize = 64;

    /// An id as a host gives them, for tests. It has 64 bytes at most; what is longer is cut off there.
    pub fn new(id: &str) -> Self {
        let mut length = id.len().min(Self::LONGEST);
        while !id.is_char_boundary(length) {
            length -= 1;
        }
        let mut bytes = [0; Self::LONGEST];
        bytes[..length].copy_from_slice(&id.as_bytes()[..length]);
        RequestId { length: length as u8, bytes }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // It was made of a text; were it none, it would have no id.
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl std::fmt::Debug for RequestId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("RequestId").field(&self.as_str()).finish()
    }
}

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
#[cfg(feature = "upgrade")]
pub(crate) fn build(
    head: &RequestHead<'_>,
    mut body: ForeignBody,
    room: &Extensions,
    spares: &Spares,
) -> Result<Request<axum::body::Body>, FailureMessage> {
    let mut request = Request::default();
    fill(&mut request, head, &mut body, room, spares)?;
    Ok(request)
}

/// Makes a request of an empty one, in place: moving it about costs more than most of what is done here. The body is taken.
pub(crate) fn fill(
    request: &mut Request<axum::body::Body>,
    head: &RequestHead<'_>,
    body: &mut ForeignBody,
    room: &Extensions,
    spares: &Spares,
) -> Result<(), FailureMessage> {
    // All that is copied of the head lies in one piece of memory: the target as the client sent it, which the target
    // without the mount is the end of, and the values of the headers.
    let (original, target) = (head.original_target.as_bytes(), head.target.as_bytes());
    let ends_with_target = original.ends_with(target);
    let apart = if ends_with_target { 0 } else { target.len() };
    let len = original.len() + apart + values_len(head.headers);
    let (mut arena, room_for_headers) = spares.head(len, |copy| {
        copy.extend_from_slice(original);
        copy.extend_from_slice(&target[..apart]);
        head.headers.iter().for_each(|pair| copy.extend_from_slice(pair.value.as_slice()));
    });
    let original = arena.split_to(original.len());
    let stripped = original.len() > target.len() || !ends_with_target;
    let target = if ends_with_target { original.slice(original.len() - target.len()..) } else { arena.split_to(apart) };
    // SAFETY: the host lends the values of the request's own header map (the contract's words on `RequestHead::headers`).
    let headers = unsafe { decode_good_headers(head.headers, arena, room_for_headers) };
    match headers {
        Ok(headers) => put(request.headers_mut(), headers),
        Err(RefusedHead(reason)) => return Err(FailureMessage::error(reason)),
    }
    match PathAndQuery::from_maybe_shared(target) {
        Ok(path) => put(request.uri_mut(), Uri::from(path)),
        Err(error) => return Err(bad_target(&error)),
    }
    // An empty request asks to GET.
    if head.method.as_bytes() != b"GET" {
        *request.method_mut() = Method::from_bytes(head.method.as_bytes())
            .map_err(|_| FailureMessage::error(format!("`{}` is not a method", head.method)))?;
    }
    *request.version_mut() = match head.version {
        10 => Version::HTTP_10,
        20 => Version::HTTP_2,
        30 => Version::HTTP_3,
        _ => Version::HTTP_11,
    };
    if !body.is_empty() {
        *request.body_mut() = match std::mem::replace(body, ForeignBody::empty()).import(|| ()) {
            Ok(bytes) => axum::body::Body::from(bytes),
            Err(stream) => axum::body::Body::new(stream),
        };
    }
    put(request.extensions_mut(), room.clone());
    let extensions = request.extensions_mut();
    // Where there is no mount axum's router puts the same value there itself.
    if stripped {
        match PathAndQuery::from_maybe_shared(original) {
            Ok(path) => drop(extensions.insert(OriginalUri(Uri::from(path)))),
            Err(error) => return Err(bad_target(&error)),
        }
    }
    let Peer { family, ip, port } = head.peer;
    match family {
        4 => {
            let [a, b, c, d, ..] = ip;
            extensions.insert(ConnectInfo(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port))));
        }
        6 => {
            extensions.insert(ConnectInfo(SocketAddr::V6(SocketAddrV6::new(ip.into(), port, 0, 0))));
        }
        _ => {}
    }
    if !head.request_id.is_empty() {
        extensions.insert(RequestId::new(head.request_id.as_str()));
    }
    Ok(())
}

#[cold]
fn bad_target(error: &http::uri::InvalidUri) -> FailureMessage {
    FailureMessage::error(format!("bad request target: {error}"))
}

/// Puts something in the place of an empty thing, which is not dropped: it holds nothing.
fn put<T>(place: &mut T, value: T) {
    // SAFETY: the place is there, and what was in it is only forgotten.
    unsafe { std::ptr::write(place, value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlock_abi::{HeaderPair, RSlice, RStr};

    #[test]
    fn targets_and_headers_are_as_they_were_sent() {
        let (room, spares) = (room(), Spares::default());
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
            let mut request = Request::default();
            fill(&mut request, &head, &mut ForeignBody::empty(), &room, &spares).unwrap();
            assert_eq!(request.uri(), target);
            let told = request.extensions().get::<OriginalUri>().map(|uri| uri.0.to_string());
            assert_eq!(told.as_deref(), (original != target).then_some(original));
            let values: Vec<_> = request.headers().get_all("x-value").iter().collect();
            assert_eq!(values, ["localhost", "", "x; y=z"]);
            assert_eq!(request.extensions().get::<u64>(), None, "the room is empty");
        }
    }
}
