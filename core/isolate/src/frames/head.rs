//! Heads of requests and answers: method, target, status, headers, and what the host knows of a request beside them.

use super::{BadFrame, Frame, INLINE, SizeBounds, bad, cursor::Cursor};
use bytes::{BufMut, Bytes, BytesMut};
use camlock_policy::{Body, Call, RequestId};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version, uri::Scheme};
use std::net::{IpAddr, SocketAddr};

/// What opens a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RequestKind {
    /// A client's request.
    Call = 1,
    /// What the host brings.
    Delivery,
    /// What the plugin asks of the host.
    Ask,
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct StatusHead {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Bytes of an upgraded connection follow.
    pub(crate) upgraded: bool,
}

const UPGRADE: u8 = 1;
const TELLS_MOUNT: u8 = 2;
/// The highest bit of a value's length: it is not for logs.
const SENSITIVE: u32 = 1 << 31;
const HEADERS: usize = 4096;

pub(super) fn encode_request(
    kind: RequestKind,
    call: &Call,
    hint: SizeBounds,
    into: &mut BytesMut,
) -> Result<(), BadFrame> {
    let request = &call.request;
    into.put_u8(kind as u8);
    into.put_u8(if call.upgrade { UPGRADE } else { 0 } | if call.tells_mount { TELLS_MOUNT } else { 0 });
    into.put_u8(match request.version() {
        Version::HTTP_10 => 10,
        Version::HTTP_2 => 20,
        Version::HTTP_3 => 30,
        _ => 11,
    });
    put_text(request.method().as_str(), into)?;
    put_text(request.uri().authority().map_or("", |authority| authority.as_str()), into)?;
    put_text(request.uri().path_and_query().map_or("/", |target| target.as_str()), into)?;
    into.put_u32_le(call.mount as u32);
    match call.peer.map(|peer| (peer.ip(), peer.port())) {
        None => into.put_u8(0),
        Some((IpAddr::V4(address), port)) => {
            into.put_u8(4);
            into.put_slice(&address.octets());
            into.put_u16_le(port);
        }
        Some((IpAddr::V6(address), port)) => {
            into.put_u8(6);
            into.put_slice(&address.octets());
            into.put_u16_le(port);
        }
    }
    match &call.request_id {
        RequestId::None => into.put_u8(0),
        RequestId::Made(text) => {
            into.put_u8(1);
            into.put_slice(text);
        }
        RequestId::Sent(value) => {
            into.put_u8(2);
            put_value(value, into)?;
        }
    }
    into.put_slice(&call.trace_id);
    put_hint(hint, into);
    encode_headers(request.headers(), into)
}

/// The head of a request, and what came of its body.
pub(super) fn decode_request(payload: Bytes, ends: bool) -> Result<Frame, BadFrame> {
    let mut cursor = Cursor::new(payload);
    let kind = match cursor.byte()? {
        1 => RequestKind::Call,
        2 => RequestKind::Delivery,
        3 => RequestKind::Ask,
        other => return bad(format!("there is no request of kind {other}")),
    };
    let flags = cursor.byte()?;
    if flags & !(UPGRADE | TELLS_MOUNT) != 0 {
        return bad(format!("a request has unknown flags ({flags:#x})"));
    }
    let version = match cursor.byte()? {
        10 => Version::HTTP_10,
        11 => Version::HTTP_11,
        20 => Version::HTTP_2,
        30 => Version::HTTP_3,
        other => return bad(format!("there is no HTTP version {other}")),
    };
    let method = text(&mut cursor)?;
    let Ok(method) = Method::from_bytes(&method) else { return bad("a request's method is none") };
    let (authority, target) = (text(&mut cursor)?, text(&mut cursor)?);
    let target_length = target.len();
    let uri = if authority.is_empty() {
        Uri::from_maybe_shared(target).ok()
    } else {
        let parts = Uri::builder().scheme(Scheme::HTTP).authority(&authority[..]).path_and_query(&target[..]);
        parts.build().ok()
    };
    let Some(uri) = uri else { return bad("a request's target is none") };
    let mount = cursor.number()? as usize;
    if mount > target_length {
        return bad("a request's mount is longer than its target");
    }
    let peer = match cursor.byte()? {
        0 => None,
        4 => Some(IpAddr::from(cursor.array::<4>()?)),
        6 => Some(IpAddr::from(cursor.array::<16>()?)),
        other => return bad(format!("there is no address of kind {other}")),
    };
    let peer = peer.map(|address| Ok(SocketAddr::new(address, cursor.short()?))).transpose()?;
    let request_id = match cursor.byte()? {
        0 => RequestId::None,
        1 => RequestId::Made(cursor.array()?),
        2 => RequestId::Sent(value(&mut cursor)?),
        other => return bad(format!("there is no request id of kind {other}")),
    };
    let trace_id = cursor.array()?;
    let hint = read_hint(&mut cursor)?;
    let headers = headers(&mut cursor)?;
    let body = inline(cursor)?;
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = version;
    *request.headers_mut() = headers;
    let call = Call {
        request,
        mount,
        tells_mount: flags & TELLS_MOUNT != 0,
        peer,
        request_id,
        trace_id,
        upgrade: flags & UPGRADE != 0,
    };
    Ok(Frame::Request { kind, call: Box::new(call), ends, hint })
}

pub(super) fn encode_response(head: &StatusHead, hint: SizeBounds, into: &mut BytesMut) -> Result<(), BadFrame> {
    into.put_u16_le(head.status.as_u16());
    into.put_u8(u8::from(head.upgraded));
    put_hint(hint, into);
    encode_headers(&head.headers, into)
}

pub(super) fn decode_response(payload: Bytes, ends: bool) -> Result<Frame, BadFrame> {
    let mut cursor = Cursor::new(payload);
    let number = cursor.short()?;
    let Ok(status) = StatusCode::from_u16(number) else { return bad(format!("there is no status {number}")) };
    let upgraded = match cursor.byte()? {
        0 => false,
        1 => true,
        other => return bad(format!("an answer has unknown flags ({other:#x})")),
    };
    let hint = read_hint(&mut cursor)?;
    let headers = headers(&mut cursor)?;
    let body = inline(cursor)?;
    Ok(Frame::Response { head: StatusHead { status, headers, upgraded }, body, ends, hint })
}

pub(super) fn encode_headers(headers: &HeaderMap, into: &mut BytesMut) -> Result<(), BadFrame> {
    if headers.len() > HEADERS {
        return bad(format!("{} headers are more than the {HEADERS} that can be sent", headers.len()));
    }
    into.put_u16_le(headers.len() as u16);
    for (name, value) in headers {
        put_text(name.as_str(), into)?;
        put_value(value, into)?;
    }
    Ok(())
}

/// Headers, of which each name and value is one.
pub(super) fn headers(cursor: &mut Cursor) -> Result<HeaderMap, BadFrame> {
    let count = usize::from(cursor.short()?);
    if count > HEADERS {
        return bad(format!("{count} headers are more than the {HEADERS} that are taken"));
    }
    let mut headers = HeaderMap::with_capacity(count);
    for _ in 0..count {
        let name = text(cursor)?;
        let Ok(name) = HeaderName::from_bytes(&name) else { return bad("a header's name is none") };
        headers.append(name, value(cursor)?);
    }
    Ok(headers)
}

fn inline(cursor: Cursor) -> Result<Bytes, BadFrame> {
    let body = cursor.rest();
    if body.len() > INLINE { bad(format!("{} bytes of a body came with its head", body.len())) } else { Ok(body) }
}

fn put_hint(SizeBounds { lower, upper }: SizeBounds, into: &mut BytesMut) {
    into.put_u64_le(lower);
    into.put_u64_le(upper.unwrap_or(u64::MAX));
}

fn read_hint(cursor: &mut Cursor) -> Result<SizeBounds, BadFrame> {
    let (lower, upper) = (cursor.long()?, cursor.long()?);
    let upper = (upper != u64::MAX).then_some(upper);
    if upper.is_some_and(|upper| upper < lower) {
        return bad("a body is to be longer than it can be");
    }
    Ok(SizeBounds { lower, upper })
}

fn put_text(text: &str, into: &mut BytesMut) -> Result<(), BadFrame> {
    let Ok(length) = u16::try_from(text.len()) else {
        return bad(format!("a text of {} bytes is too long for a head", text.len()));
    };
    into.put_u16_le(length);
    into.put_slice(text.as_bytes());
    Ok(())
}

fn text(cursor: &mut Cursor) -> Result<Bytes, BadFrame> {
    let length = cursor.short()?;
    cursor.bytes(usize::from(length))
}

fn put_value(value: &HeaderValue, into: &mut BytesMut) -> Result<(), BadFrame> {
    if value.len() > super::LARGEST_HEAD {
        return bad(format!("a header of {} bytes is too long", value.len()));
    }
    into.put_u32_le(value.len() as u32 | if value.is_sensitive() { SENSITIVE } else { 0 });
    into.put_slice(value.as_bytes());
    Ok(())
}

fn value(cursor: &mut Cursor) -> Result<HeaderValue, BadFrame> {
    let length = cursor.number()?;
    let bytes = cursor.bytes((length & !SENSITIVE) as usize)?;
    let Ok(mut value) = HeaderValue::from_maybe_shared(bytes) else { return bad("a header's value is none") };
    value.set_sensitive(length & SENSITIVE != 0);
    Ok(value)
}
