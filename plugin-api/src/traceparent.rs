//! W3C trace context, as a plugin sends it on: `traceparent` for requests of its own.

use crate::host::current_trace;
use axum::extract::FromRequestParts;
use http::request::Parts;
use std::{
    convert::Infallible,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// What to send as `traceparent` with requests that are made for the one that is being handled; an extractor. As text it is the
/// header's value.
///
/// The trace is the request's ([`TraceId`](crate::TraceId)), and so is whether it is recorded. The parent is this handling of
/// it. A `tracestate` of the request is sent on as it came.
///
/// ```
/// # use camlock_plugin::{Traceparent, prelude::*};
/// async fn handler(trace: Traceparent) -> String {
///     // client.get(url).header("traceparent", trace.to_string())
///     trace.to_string()
/// }
/// # let _: Router = Router::new().route("/", get(handler));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traceparent {
    trace: [u8; 16],
    parent: u64,
    recorded: bool,
}

impl<S: Sync> FromRequestParts<S> for Traceparent {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let came = parts.headers.get("traceparent").and_then(|value| parse(value.to_str().ok()?));
        Ok(Traceparent::of(current_trace(), came))
    }
}

impl Traceparent {
    /// The trace that the host says this is, and what came with the request.
    fn of(host: [u8; 16], came: Option<([u8; 16], bool)>) -> Self {
        let trace = match (host, came) {
            // Outside of a host.
            ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Some((trace, _))) => trace,
            ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], None) => {
                (u128::from(fresh()) << 64 | u128::from(fresh())).to_be_bytes()
            }
            (trace, _) => trace,
        };
        // What was begun here is recorded by nobody yet.
        let recorded = came.is_some_and(|(theirs, recorded)| theirs == trace && recorded);
        Traceparent { trace, parent: fresh(), recorded }
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, flags) = (u128::from_be_bytes(self.trace), u8::from(self.recorded));
        write!(formatter, "00-{trace:032x}-{:016x}-{flags:02x}", self.parent)
    }
}

/// A number that is not zero, and not likely to be anybody else's.
fn fresh() -> u64 {
    static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static NEXT: AtomicU64 = AtomicU64::new(0);
    SEED.hash_one(NEXT.fetch_add(1, Ordering::Relaxed)).max(1)
}

/// The trace, and whether it is recorded.
fn parse(value: &str) -> Option<([u8; 16], bool)> {
    let mut parts = value.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let good = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    let closed = version != "00" || parts.next().is_none();
    let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| good && closed && *trace != 0)?;
    let flags = u8::from_str_radix(flags, 16).ok()?;
    Some((trace.to_be_bytes(), flags & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_is_kept_and_the_parent_is_new() {
        let came = "00-0000000000000000000000000000002a-00f067aa0ba902b7-01";
        let trace = 42_u128.to_be_bytes();
        for host in [trace, [0; 16]] {
            let told = Traceparent::of(host, parse(came)).to_string();
            assert!(told.starts_with("00-0000000000000000000000000000002a-") && told.ends_with("-01"), "{told}");
            assert!(parse(&told).is_some() && !told.contains("00f067aa0ba902b7"), "{told}");
        }
        // The host did not take it: it is another trace, which nobody records.
        let told = Traceparent::of(trace, parse("00-00000000000000000000000000000007-00f067aa0ba902b7-01")).to_string();
        assert!(told.starts_with("00-0000000000000000000000000000002a-") && told.ends_with("-00"), "{told}");
        let (one, other) = (Traceparent::of([0; 16], None), Traceparent::of([0; 16], None));
        assert!(one.trace != other.trace && one.parent != other.parent && !one.recorded);
        assert!(parse(&one.to_string()).is_some(), "{one}");
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        for bad in ["", "00-2a-00f067aa0ba902b7-01", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
