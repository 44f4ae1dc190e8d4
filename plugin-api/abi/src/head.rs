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
pub struct RefusedHead(pub String);

impl std::fmt::Display for RefusedHead {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// More header lines than this are refused.
const MOST_HEADERS: usize = 4096;

/// Copies received headers, checking every byte: what a plugin sends to the host. Where there are several, one allocation
/// holds all values. What is in `map` goes; its memory is used again.
///
/// A `content-length` of just `known_length` is left out: it costs most of all headers, and says nothing new.
pub fn decode_headers(
    pairs: RSlice<'_, HeaderPair<'_>>,
    map: HeaderMap,
    known_length: Option<u64>,
) -> Result<HeaderMap, RefusedHead> {
    let mut arena = Bytes::new();
    if pairs.len() > FEW {
        let mut joined = Vec::with_capacity(values_len(pairs));
        pairs.iter().for_each(|pair| joined.extend_from_slice(pair.value.as_slice()));
        arena = joined.into();
    }
    decode(pairs, map, known_length, |at, value| {
        if pairs.len() > FEW {
            HeaderValue::from_maybe_shared(arena.slice(at..at + value.len())).ok()
        } else {
            usual(value).or_else(|| HeaderValue::from_bytes(value).ok())
        }
    })
}

/// What the host sends to a plugin: headers whose values are known to be good.
///
/// `arena` begins with a copy of all values, one behind the other (see [`values_len`]), which the headers share. What is in
/// `map` goes; its memory is used again.
///
/// # Safety
/// Every value, and so its copy, must have come out of a `HeaderValue`.
pub unsafe fn decode_good_headers(
    pairs: RSlice<'_, HeaderPair<'_>>,
    arena: Bytes,
    map: HeaderMap,
) -> Result<HeaderMap, RefusedHead> {
    decode(pairs, map, None, |at, value| {
        let copy = arena.slice(at..at + value.len());
        // SAFETY: as the caller promises.
        Some(unsafe { HeaderValue::from_maybe_shared_unchecked(copy) })
    })
}

/// How many bytes all values are together.
pub fn values_len(pairs: RSlice<'_, HeaderPair<'_>>) -> usize {
    pairs.iter().map(|pair| pair.value.len()).sum()
}

/// `make` is given a value, and how many bytes the values before it have.
fn decode(
    pairs: RSlice<'_, HeaderPair<'_>>,
    mut map: HeaderMap,
    known_length: Option<u64>,
    make: impl Fn(usize, &[u8]) -> Option<HeaderValue>,
) -> Result<HeaderMap, RefusedHead> {
    map.clear();
    if pairs.is_empty() {
        return Ok(map);
    }
    if pairs.len() > MOST_HEADERS {
        return Err(RefusedHead(format!("{} header lines, more than the {MOST_HEADERS} that are taken", pairs.len())));
    }
    map.reserve(pairs.len());
    let mut end = 0;
    for pair in pairs.iter() {
        let at = end;
        end += pair.value.len();
        if known_length.is_some_and(|length| is_length(pair, length)) {
            continue;
        }
        let name = match usual_name(pair.name.as_slice()) {
            Some(name) => name,
            None => HeaderName::from_bytes(pair.name.as_slice())
                .map_err(|_| RefusedHead(format!("{} is not a header name", quoted(pair.name.as_slice()))))?,
        };
        let mut value = make(at, pair.value.as_slice())
            .ok_or_else(|| RefusedHead(format!("the value of header `{name}` has a byte that HTTP forbids")))?;
        value.set_sensitive(pair.sensitive);
        map.append(name, value);
    }
    Ok(map)
}

/// Whether this is a `content-length` of so much.
fn is_length(pair: &HeaderPair<'_>, length: u64) -> bool {
    let digits = pair.value.as_slice();
    let add = |number: u64, digit: &u8| {
        let digit = u64::from(digit.wrapping_sub(b'0'));
        (digit < 10).then(|| number.checked_mul(10)?.checked_add(digit)).flatten()
    };
    pair.name.as_slice() == b"content-length" && !digits.is_empty() && digits.iter().try_fold(0, add) == Some(length)
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
        // Nearly every request has it: the host adds it.
        b"x-forwarded-prefix" => const { HeaderName::from_static("x-forwarded-prefix") },
        _ => return None,
    })
}

/// Up to so many headers are copied one by one.
const FEW: usize = 3;

/// Values that most answers carry need neither a copy nor a check.
fn usual(value: &[u8]) -> Option<HeaderValue> {
    macro_rules! among {
        ($($text:literal)*) => {
            $(if value == $text.as_bytes() {
                return Some(const { HeaderValue::from_static($text) });
            })*
        };
    }
    among! {
        "text/plain; charset=utf-8" "text/html; charset=utf-8" "application/json" "application/grpc"
        "text/event-stream" "no-cache"
    }
    None
}

fn quoted(bytes: &[u8]) -> String {
    format!("`{}`", bytes[..bytes.len().min(40)].escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_are_themselves() {
        for name in
            ["accept", "content-type", "host", "set-cookie", "user-agent", "vary", "x-forwarded-prefix", "x-other"]
        {
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
            let copy = decode_headers(RSlice::from_slice(&list), HeaderMap::new(), None).unwrap();
            // What was there before goes.
            let again = decode_headers(RSlice::from_slice(&list), copy.clone(), None).unwrap();
            assert_eq!(again, map);
            assert_eq!(copy, map);
            assert!(copy.iter().zip(map.iter()).all(|(a, b)| a.1.is_sensitive() == b.1.is_sensitive()));
        }
    }

    #[test]
    fn a_length_that_is_known_is_left_out() {
        for (value, known, left_out) in [
            ("20", Some(20), true),
            ("20", Some(21), false),
            ("20", None, false),
            ("", Some(0), false),
            ("2 0", Some(20), false),
            ("99999999999999999999999", Some(u64::MAX), false),
        ] {
            // A few headers, and as many as are copied in one piece.
            for others in [0, 5] {
                let mut map = HeaderMap::new();
                map.insert(http::header::CONTENT_LENGTH, HeaderValue::from_static(value));
                for index in 0..others {
                    map.append("x-other", HeaderValue::from(index));
                }
                let mut list = HeaderList::new();
                encode_headers(&map, &mut list);
                let copy = decode_headers(RSlice::from_slice(&list), HeaderMap::new(), known).unwrap();
                let mut expected = map.clone();
                if left_out {
                    expected.remove(http::header::CONTENT_LENGTH);
                }
                assert_eq!(copy, expected, "{value:?} {known:?}");
            }
        }
    }

    #[test]
    fn bad_headers_are_refused_in_words() {
        let pair = |name: &'static [u8], value: &'static [u8]| HeaderPair {
            name: RSlice::from_slice(name),
            value: RSlice::from_slice(value),
            sensitive: false,
        };
        let refused =
            |pairs: &[HeaderPair<'_>]| decode_headers(RSlice::from_slice(pairs), HeaderMap::new(), None).unwrap_err().0;
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
