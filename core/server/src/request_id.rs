//! The id of a request: the client's, if it sent one that can be shown and logged, or a new one.

use crate::trace_context::unique;
use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a client.
const LONGEST: usize = 64;

/// What a client sent, if it is fit to be used.
pub(crate) fn sent(headers: &HeaderMap) -> Option<&HeaderValue> {
    let value = headers.get(&X_REQUEST_ID)?;
    let fit = (1..=LONGEST).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
    fit.then_some(value)
}

/// A new one: sixteen hexadecimal digits. It is no secret.
pub(crate) fn fresh() -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 16];
    for (pair, byte) in text.chunks_exact_mut(2).zip(unique().to_be_bytes()) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 0xf)];
    }
    std::str::from_utf8(&text).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_s_id_is_taken_if_it_is_fit() {
        let long = "x".repeat(64);
        for (value, taken) in [
            ("abc-123", true),
            ("!~", true),
            (&long, true),
            (&format!("{long}x"), false),
            ("", false),
            ("a b", false),
            ("a\tb", false),
            ("ä", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(&X_REQUEST_ID, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            assert_eq!(sent(&headers).is_some(), taken, "{value}");
        }
        assert_eq!(sent(&HeaderMap::new()), None);
    }

    #[test]
    fn fresh_ones_differ() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| fresh()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 16 && u64::from_str_radix(id, 16).is_ok()));
    }
}
