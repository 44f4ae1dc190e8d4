//! The id of a request: the client's, if it sent one that can be shown and logged, or a new one.

use crate::trace_context::unique;
use camlock_policy::RequestId;
use http::HeaderValue;

pub(crate) const X_REQUEST_ID: &str = "x-request-id";

/// The longest id that is taken from a client.
const LONGEST: usize = 64;

/// The id of a request, whose client may have sent one.
pub(crate) fn request_id(sent: Option<&HeaderValue>) -> RequestId {
    match sent.filter(|value| is_fit(value.as_bytes())) {
        Some(value) => RequestId::Sent(value.clone()),
        None => RequestId::Made(digits(unique())),
    }
}

fn is_fit(value: &[u8]) -> bool {
    (1..=LONGEST).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic)
}

/// Sixteen hexadecimal digits. It is no secret.
fn digits(number: u64) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|index| DIGITS[(number >> (60 - 4 * index)) as usize & 0xf])
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
            let sent = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            assert_eq!(matches!(request_id(Some(&sent)), RequestId::Sent(id) if id == value), taken, "{value}");
        }
    }

    #[test]
    fn fresh_ones_differ() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| request_id(None).as_str().to_owned()).collect();
        assert_eq!(ids.len(), 1000);
        assert_eq!(digits(0x0123_4567_89ab_cdef), *b"0123456789abcdef");
    }
}
