//! Which requests are the page's own: those to a host that is this server, and from a document that this server sent. Pure.
//!
//! A name that was made to lead here (DNS rebinding), a page of another origin, and a page on another port of this host are told
//! from it. What must not live here: who a visitor is.

use http::{
    HeaderMap, Method,
    header::{HOST, ORIGIN},
    request::Parts,
    uri::Authority,
};
use std::net::IpAddr;

const FETCH_SITE: &str = "sec-fetch-site";

/// Whether every place of a request that names a host names this server. A number cannot be made to lead elsewhere, a name can.
pub(crate) fn names_this_server(request: &Parts, hosts: &[String]) -> bool {
    let fields = request.headers.get_all(HOST).iter();
    let fields = fields.map(|value| value.to_str().ok().and_then(|text| text.parse::<Authority>().ok()));
    let mut named = request.uri.authority().cloned().map(Some).into_iter().chain(fields).peekable();
    named.peek().is_some() && named.all(|named| named.is_some_and(|named| is_this_server(named.host(), hosts)))
}

fn is_this_server(host: &str, hosts: &[String]) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    host == "localhost" || host.ends_with(".localhost") || bare.parse::<IpAddr>().is_ok() || hosts.contains(&host)
}

/// Why a request is not one of the page's own, if it is not.
pub(crate) fn comes_from_elsewhere(request: &Parts) -> Option<&'static str> {
    let headers = &request.headers;
    // Where browsers say it they say it truly. Without TLS, beyond this machine, they do not.
    if headers.get(FETCH_SITE).is_some_and(|site| site != "same-origin") {
        return Some("it comes from another site, or another port of this host");
    }
    let origins: Vec<_> = headers.get_all(ORIGIN).iter().collect();
    match origins[..] {
        [] if looks(&request.method) => None,
        [] => Some("it does not say which page it comes from (`Origin`)"),
        [origin] if is_own(origin.as_bytes(), own_host(request, headers)) => None,
        _ => Some("it comes from a page of another origin"),
    }
}

fn own_host<'a>(request: &'a Parts, headers: &'a HeaderMap) -> Option<&'a str> {
    match request.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(HOST)?.to_str().ok(),
    }
}

/// Whether an origin is that of what this host sends. A proxy in front may have seen to encryption, so either scheme will do.
fn is_own(origin: &[u8], host: Option<&str>) -> bool {
    let Some(host) = host else { return false };
    let text = std::str::from_utf8(origin).unwrap_or_default();
    let named = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    named.is_some_and(|named| named.eq_ignore_ascii_case(host))
}

fn looks(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn request(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/session");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn names_that_were_made_to_lead_here_are_refused() {
        let hosts = ["page.example.com".to_owned()];
        for (host, expected) in [
            ("127.0.0.1:8081", true),
            ("localhost:8081", true),
            ("me.localhost", true),
            ("[::1]:8081", true),
            ("192.0.2.7:8081", true),
            ("Page.Example.com:8081", true),
            ("evil.example", false),
            ("127.0.0.1.evil.example:8081", false),
            ("localhost.evil.example", false),
        ] {
            assert_eq!(names_this_server(&request("GET", &[("host", host)]), &hosts), expected, "{host}");
        }
        assert!(!names_this_server(&request("GET", &[]), &hosts));
        assert!(!names_this_server(&request("GET", &[("host", "localhost"), ("host", "evil.example")]), &hosts));
    }

    #[test]
    fn only_the_pages_own_documents_ask() {
        let host = ("host", "127.0.0.1:8081");
        for (method, headers, expected) in [
            ("GET", &[][..], true),
            ("GET", &[("sec-fetch-site", "same-origin")], true),
            ("GET", &[("sec-fetch-site", "same-site")], false),
            ("GET", &[("sec-fetch-site", "cross-site")], false),
            ("GET", &[("sec-fetch-site", "none")], false),
            ("GET", &[("origin", "http://127.0.0.1:8080")], false),
            ("POST", &[], false),
            ("POST", &[("origin", "http://127.0.0.1:8081")], true),
            ("POST", &[("origin", "https://127.0.0.1:8081")], true),
            ("POST", &[("origin", "http://127.0.0.1:8080")], false),
            ("POST", &[("origin", "http://127.0.0.1")], false),
            ("POST", &[("origin", "null")], false),
            ("POST", &[("origin", "http://evil.example")], false),
            ("POST", &[("origin", "http://127.0.0.1:8081"), ("sec-fetch-site", "same-site")], false),
            ("POST", &[("origin", "http://127.0.0.1:8081"), ("origin", "http://evil.example")], false),
            ("DELETE", &[("origin", "http://evil.example")], false),
        ] {
            let mut all = vec![host];
            all.extend(headers);
            let parts = request(method, &all);
            assert_eq!(comes_from_elsewhere(&parts).is_none(), expected, "{method} {headers:?}");
        }
    }
}
