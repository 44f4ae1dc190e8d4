//! W3C trace context: the trace id of a request, the client's or a new one; and how a request's ids are told of.

use camlock_policy::RequestId;
use http::{HeaderMap, HeaderValue};
use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

pub(crate) const TRACEPARENT: &str = "traceparent";

/// The trace id of a request, whose `traceparent` may have been sent.
pub(crate) fn trace_id(sent: Option<&HeaderValue>) -> [u8; 16] {
    sent.and_then(|value| parse(value.as_bytes())).unwrap_or_else(fresh)
}

/// `00-<32 hex digits>-<16 hex digits>-<2 hex digits>`; a later version may have more behind it.
fn parse(value: &[u8]) -> Option<[u8; 16]> {
    let text = std::str::from_utf8(value).ok()?;
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let good = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
    let closed = version != "00" || parts.next().is_none();
    let id = u128::from_str_radix(trace, 16).ok().filter(|id| good && closed && *id != 0)?;
    Some(id.to_be_bytes())
}

/// The trace id that a request's `traceparent` has; zeros if it has none that is sound.
pub fn sent_trace(headers: &HeaderMap) -> [u8; 16] {
    headers.get(TRACEPARENT).and_then(|value| parse(value.as_bytes())).unwrap_or_default()
}

/// What is remembered of a request's ids, in case there is something to tell of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ids {
    /// The host's own id; zeros, if the client's is used.
    made: [u8; 16],
    pub(crate) trace: [u8; 16],
}

impl Ids {
    pub(crate) fn new(id: &RequestId, trace: [u8; 16]) -> Self {
        let made = if let RequestId::Made(made) = id { *made } else { [0; 16] };
        Ids { made, trace }
    }

    /// The host's own id, if it was used.
    pub(crate) fn made(&self) -> &str {
        let text = std::str::from_utf8(&self.made).unwrap_or_default();
        if text.starts_with('\0') { "" } else { text }
    }
}

/// A trace id, as it is written.
pub(crate) fn hex(trace: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(trace))
}

static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));

/// A number that this process has not used before, spread over all 64 bits.
pub(crate) fn unique() -> u64 {
    scramble(next())
}

/// A new id: unique, and not to be guessed from another by chance. It is no secret.
fn fresh() -> [u8; 16] {
    let next = next();
    // Both halves are one-to-one scramblings of the counter: no two requests of a process share one.
    let id = u128::from(scramble(next)) << 64 | u128::from(scramble(next ^ *SEED));
    id.max(1).to_be_bytes()
}

fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    SEED.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// A one-to-one mixing of 64 bits (the finaliser of splitmix64).
fn scramble(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_s_id_is_taken_if_it_is_one() {
        let id = |text: &str| parse(text.as_bytes()).map(u128::from_be_bytes);
        assert_eq!(id("00-0000000000000000000000000000002a-00f067aa0ba902b7-01"), Some(42));
        assert_eq!(id("01-0000000000000000000000000000002a-00f067aa0ba902b7-01-more"), Some(42));
        for bad in [
            "",
            "00-0000000000000000000000000000002a-00f067aa0ba902b7-01-more",
            "ff-0000000000000000000000000000002a-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-0000000000000000000000000000002A-00f067aa0ba902b7-01",
            "00-2a-00f067aa0ba902b7-01",
        ] {
            assert_eq!(id(bad), None, "{bad}");
        }
    }

    #[test]
    fn fresh_ids_differ() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| fresh()).collect();
        assert_eq!(ids.len(), 1000);
    }
}
