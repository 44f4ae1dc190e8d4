//! Heads of requests and responses. They cross as borrowed slices: whoever needs them longer copies them in one piece.

use abi_stable::{
    StableAbi,
    std_types::{RSlice, RStr},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;
use std::net::{IpAddr, SocketAddr};

/// One header line.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct HeaderPair<'a> {
    /// In lower case.
    pub name: RSlice<'a, u8>,
    /// Any bytes that HTTP allows in a value.
    pub value: RSlice<'a, u8>,
    /// Not to be remembered by compression tables, nor logged.
    pub sensitive: bool,
}

/// Something a later minor version adds to a request; readers skip ids that they do not know.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct Extra<'a> {
    /// What it is.
    pub id: u32,
    /// Its value.
    pub value: RSlice<'a, u8>,
}

/// Who sent a request.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// 4 or 6; 0 where there is no network address.
    pub family: u8,
    /// The first 4 bytes of it for family 4.
    pub ip: [u8; 16],
    /// The port.
    pub port: u16,
}

impl From<Option<SocketAddr>> for Peer {
    fn from(address: Option<SocketAddr>) -> Self {
        let mut peer = Peer { family: 0, ip: [0; 16], port: 0 };
        if let Some(address) = address {
            peer.port = address.port();
            match address.ip() {
                IpAddr::V4(ip) => {
                    peer.family = 4;
                    peer.ip[..4].copy_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    peer.family = 6;
                    peer.ip = ip.octets();
                }
            }
        }
        peer
    }
}

impl From<Peer> for Option<SocketAddr> {
    fn from(peer: Peer) -> Self {
        let [a, b, c, d, ..] = peer.ip;
        match peer.family {
            4 => Some(SocketAddr::new(IpAddr::from([a, b, c, d]), peer.port)),
            6 => Some(SocketAddr::new(IpAddr::from(peer.ip), peer.port)),
            _ => None,
        }
    }
}

/// The head of a request.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct RequestHead<'a> {
    /// `GET`, …
    pub method: RStr<'a>,
    /// Path and query as the plugin's router sees them, without the mount.
    pub target: RStr<'a>,
    /// Path and query as the client sent them.
    pub original_target: RStr<'a>,
    /// 10, 11, 20 or 30.
    pub version: u8,
    /// In order, repeated names as often as they came. The values are those of `http::HeaderValue`s of the host, whose bytes
    /// the plugin need not check.
    pub headers: RSlice<'a, HeaderPair<'a>>,
    /// The client.
    pub peer: Peer,
    /// The host's id of this request, or empty.
    pub request_id: RStr<'a>,
    /// The W3C trace id, or zeros.
    pub trace_id: [u8; 16],
    /// See [`Extra`].
    pub extra: RSlice<'a, Extra<'a>>,
}

/// The head of a response.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct ResponseHead<'a> {
    /// 100 to 999.
    pub status: u16,
    /// As in a request.
    pub headers: RSlice<'a, HeaderPair<'a>>,
}

/// Room for the headers of one message, on the stack for all but the unusual.
pub type HeaderList<'a> = SmallVec<[HeaderPair<'a>; 16]>;

/// Lends a header map to one call, in room that the caller provides (so that it is never moved).
pub fn encode_headers<'a>(map: &'a HeaderMap, list: &mut HeaderList<'a>) {
    list.extend(map.iter().map(|(name, value)| HeaderPair {
        name: RSlice::from_slice(name.as_str().as_bytes()),
        value: RSlice::from_slice(value.as_bytes()),
        sensitive: value.is_sensitive(),
    }));
}

/// Why received headers or parts of a head were not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub String);

impl std::fmt::Display for Refused {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// More header lines than this are refused.
const MOST_HEADERS: usize = 4096;

/// Copies received headers, checking every byte: what a plugin sends to the host.
pub fn decode_headers(pairs: RSlice<'_, HeaderPair<'_>>) -> Result<HeaderMap, Refused> {
    decode(pairs, |value| HeaderValue::from_maybe_shared(value).ok())
}

/// Copies received headers whose values are known to be good: what the host sends to a plugin.
///
/// # Safety
/// Every value must have come out of a `HeaderValue`.
pub unsafe fn decode_good_headers(pairs: RSlice<'_, HeaderPair<'_>>) -> Result<HeaderMap, Refused> {
    // SAFETY: as the caller promises.
    decode(pairs, |value| Some(unsafe { HeaderValue::from_maybe_shared_unchecked(value) }))
}

/// Where there are several headers, one allocation holds all values.
fn decode(
    pairs: RSlice<'_, HeaderPair<'_>>,
    make: impl Fn(Bytes) -> Option<HeaderValue>,
) -> Result<HeaderMap, Refused> {
    if pairs.is_empty() {
        return Ok(HeaderMap::new());
    }
    if pairs.len() > MOST_HEADERS {
        return Err(Refused(format!("{} header lines, more than the {MOST_HEADERS} that are taken", pairs.len())));
    }
    let mut arena = Bytes::new();
    if pairs.len() > FEW {
        let mut joined = Vec::with_capacity(pairs.iter().map(|pair| pair.value.len()).sum());
        pairs.iter().for_each(|pair| joined.extend_from_slice(pair.value.as_slice()));
        arena = joined.into();
    }
    let mut map = HeaderMap::with_capacity(pairs.len());
    for pair in pairs.iter() {
        let name = match usual_name(pair.name.as_slice()) {
            Some(name) => name,
            None => HeaderName::from_bytes(pair.name.as_slice())
                .map_err(|_| Refused(format!("{} is not a header name", quoted(pair.name.as_slice()))))?,
        };
        let value = if pairs.len() > FEW {
            make(arena.split_to(pair.value.len()))
        } else {
            usual(pair.value.as_slice()).or_else(|| make(Bytes::copy_from_slice(pair.value.as_slice())))
        };
        let mut value =
            value.ok_or_else(|| Refused(format!("the value of header `{name}` has a byte that HTTP forbids")))?;
        value.set_sensitive(pair.sensitive);
        map.append(name, value);
    }
    Ok(map)
}

/// The names that most messages carry, found by one comparison instead of a parse.
fn usual_name(name: &[u8]) -> Option<HeaderName> {
    use http::header as h;
    Some(match name {
        b"accept" => h::ACCEPT,
        b"accept-encoding" => h::ACCEPT_ENCODING,
        b"accept-language" => h::ACCEPT_LANGUAGE,
        b"authorization" => h::AUTHORIZATION,
        b"cache-control" => h::CACHE_CONTROL,
        b"connection" => h::CONNECTION,
        b"content-encoding" => h::CONTENT_ENCODING,
        b"content-length" => h::CONTENT_LENGTH,
        b"content-type" => h::CONTENT_TYPE,
        b"cookie" => h::COOKIE,
        b"date" => h::DATE,
        b"etag" => h::ETAG,
        b"host" => h::HOST,
        b"if-none-match" => h::IF_NONE_MATCH,
        b"location" => h::LOCATION,
        b"origin" => h::ORIGIN,
        b"referer" => h::REFERER,
        b"set-cookie" => h::SET_COOKIE,
        b"transfer-encoding" => h::TRANSFER_ENCODING,
        b"user-agent" => h::USER_AGENT,
        b"vary" => h::VARY,
        _ => return None,
    })
}

/// Up to so many headers are copied one by one.
const FEW: usize = 3;

/// Values that most answers carry need no copy at all.
fn usual(value: &[u8]) -> Option<HeaderValue> {
    let value = match value {
        b"text/plain; charset=utf-8" => "text/plain; charset=utf-8",
        b"text/html; charset=utf-8" => "text/html; charset=utf-8",
        b"application/json" => "application/json",
        b"application/grpc" => "application/grpc",
        b"text/event-stream" => "text/event-stream",
        b"no-cache" => "no-cache",
        _ => return None,
    };
    Some(HeaderValue::from_static(value))
}

fn quoted(bytes: &[u8]) -> String {
    format!("`{}`", bytes[..bytes.len().min(40)].escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_are_themselves() {
        for name in ["accept", "content-type", "host", "set-cookie", "user-agent", "vary", "x-other"] {
            let usual = usual_name(name.as_bytes());
            assert!(usual.is_none_or(|usual| usual.as_str() == name), "{name}");
        }
    }

    #[test]
    fn headers_survive_the_crossing() {
        for count in [0, 1, 3, 4, 24, 25, 200] {
            let mut map = HeaderMap::new();
            for index in 0..count {
                let name = HeaderName::from_bytes(format!("x-{}", index / 2).as_bytes()).unwrap();
                let mut value = HeaderValue::from_bytes(&[b'a', 0xff, b'0' + (index % 10) as u8]).unwrap();
                value.set_sensitive(index % 3 == 0);
                map.append(name, value);
            }
            let mut list = HeaderList::new();
            encode_headers(&map, &mut list);
            let copy = decode_headers(RSlice::from_slice(&list)).unwrap();
            assert_eq!(copy, map);
            assert!(copy.iter().zip(map.iter()).all(|(a, b)| a.1.is_sensitive() == b.1.is_sensitive()));
        }
    }

    #[test]
    fn bad_headers_are_refused_in_words() {
        let pair = |name: &'static [u8], value: &'static [u8]| HeaderPair {
            name: RSlice::from_slice(name),
            value: RSlice::from_slice(value),
            sensitive: false,
        };
        let refused = |pairs: &[HeaderPair<'_>]| decode_headers(RSlice::from_slice(pairs)).unwrap_err().0;
        assert_eq!(refused(&[pair(b"a b\n", b"")]), "`a b\\n` is not a header name");
        assert_eq!(refused(&[pair(b"x-y", b"1\r\n2")]), "the value of header `x-y` has a byte that HTTP forbids");
        assert_eq!(refused(&vec![pair(b"a", b""); 5000]), "5000 header lines, more than the 4096 that are taken");
    }

    #[test]
    fn peers_survive_the_crossing() {
        for peer in [None, Some("127.0.0.1:80"), Some("[::1]:65535")] {
            let address: Option<SocketAddr> = peer.map(|text| text.parse().unwrap());
            assert_eq!(Option::<SocketAddr>::from(Peer::from(address)), address);
        }
    }
}
