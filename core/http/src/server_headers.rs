//! What the server itself wants to know of a request's headers, found in one pass: nearly every request has none of it, and to
//! look each up by name costs more than to see what is there.

use crate::{mounted::X_FORWARDED_PREFIX, request_id::X_REQUEST_ID, trace_context::TRACEPARENT};
use http::{HeaderMap, HeaderValue, header};

/// The first header of each kind.
#[derive(Debug, Default)]
pub(crate) struct ServerHeaders<'a> {
    pub(crate) upgrade: Option<&'a HeaderValue>,
    pub(crate) trace_parent: Option<&'a HeaderValue>,
    pub(crate) request_id: Option<&'a HeaderValue>,
    pub(crate) host: Option<&'a HeaderValue>,
    /// How many headers name a host.
    pub(crate) hosts: usize,
    /// The client says that there is more before the path.
    pub(crate) tells_prefix: bool,
    /// It brings cookies.
    pub(crate) brings_cookies: bool,
}

impl<'a> ServerHeaders<'a> {
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let mut observed = ServerHeaders::default();
        for (name, value) in headers {
            let place = match name.as_str() {
                "host" => {
                    observed.hosts += 1;
                    &mut observed.host
                }
                "upgrade" => &mut observed.upgrade,
                TRACEPARENT => &mut observed.trace_parent,
                X_REQUEST_ID => &mut observed.request_id,
                X_FORWARDED_PREFIX => {
                    observed.tells_prefix = true;
                    continue;
                }
                "cookie" => {
                    observed.brings_cookies = true;
                    continue;
                }
                _ => continue,
            };
            place.get_or_insert(value);
        }
        observed
    }

    /// Whether the request, which has these headers, asks for another protocol, in the way HTTP/1.1 does.
    pub(crate) fn asks_for_upgrade(&self, headers: &HeaderMap) -> bool {
        self.upgrade.is_some()
            && headers.get_all(header::CONNECTION).iter().any(|value| {
                value.to_str().is_ok_and(|text| text.split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade")))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_kind_is_noticed() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "localhost"),
            ("x-request-id", "one"),
            ("x-request-id", "two"),
            ("traceparent", "three"),
            ("x-other", "four"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let observed = ServerHeaders::of(&headers);
        assert_eq!((observed.host, observed.hosts), (headers.get("host"), 1));
        assert_eq!(observed.request_id, headers.get("x-request-id"));
        assert_eq!(observed.trace_parent, headers.get("traceparent"));
        assert_eq!((observed.upgrade, observed.asks_for_upgrade(&headers)), (None, false));
    }

    #[test]
    fn an_upgrade_is_asked_for_by_two_headers() {
        for (name, connection, asks) in [
            ("upgrade", "keep-alive, Upgrade", true),
            ("upgrade", "upgrade", true),
            ("upgrade", "keep-alive", false),
            ("x-upgrade", "upgrade", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(name, HeaderValue::from_static("websocket"));
            headers.append(header::CONNECTION, HeaderValue::from_static(connection));
            assert_eq!(ServerHeaders::of(&headers).asks_for_upgrade(&headers), asks, "{name} {connection}");
        }
    }
}
