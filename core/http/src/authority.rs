//! Which host a request is for, and whether it says so soundly. What must not live here: what a host may do.

use crate::server_headers::ServerHeaders;
use http::{Request, Version, header::HOST};
use std::borrow::Cow;

/// What is wrong with what a request says of its host, if something is.
///
/// Two answers to the question, or none, are how a request means one thing to a proxy and another one here.
pub(crate) fn unsound_host<B>(request: &Request<B>, headers: &ServerHeaders<'_>) -> Option<&'static str> {
    if headers.hosts > 1 {
        return Some("the request has more than one `Host`");
    }
    let authority = request.uri().authority().map(|authority| authority.as_str());
    match (authority, headers.host) {
        (None, None) if request.version() >= Version::HTTP_11 => Some("the request names no host"),
        (None, None) => None,
        (Some(authority), None) => (!is_host(authority.as_bytes())).then_some(NO_HOST),
        (authority, Some(host)) if is_host(host.as_bytes()) => {
            let differ = authority.is_some_and(|authority| !authority.as_bytes().eq_ignore_ascii_case(host.as_bytes()));
            differ.then_some("the request names one host in its target and another one in its `Host`")
        }
        _ => Some(NO_HOST),
    }
}

const NO_HOST: &str = "what the request names is no host";

/// A name or an address, perhaps with a port: nothing that could be taken for more than that.
fn is_host(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| MAY_NAME_A_HOST[usize::from(*byte)])
}

/// By byte: every request is looked at.
static MAY_NAME_A_HOST: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        allowed[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let (others, mut at) = (b"-._~!$&'()*+,;=%:[]", 0);
    while at < others.len() {
        allowed[others[at] as usize] = true;
        at += 1;
    }
    allowed
};

/// The name of the host that a request is for: in lower case, without its port.
pub(crate) fn host_name<B>(request: &Request<B>) -> Option<Cow<'_, str>> {
    let named = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => request.headers().get(HOST)?.to_str().ok()?,
    };
    let name = named.split_once(':').map_or(named, |(name, _)| name);
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_lower = !name.bytes().any(|byte| byte.is_ascii_uppercase());
    Some(if is_lower { name.into() } else { name.to_ascii_lowercase().into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, target: &str, hosts: &[&str]) -> Request<()> {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn a_request_names_one_host() {
        let (one, two, old) = (Version::HTTP_11, Version::HTTP_2, Version::HTTP_10);
        for (version, target, hosts, sound) in [
            (one, "/", &["a.example"][..], true),
            (one, "/", &["a.example:8080"], true),
            (one, "/", &["[::1]:8080"], true),
            (one, "/", &[], false),
            (one, "/", &[""], false),
            (one, "/", &["a.example", "a.example"], false),
            (one, "/", &["a.example/x"], false),
            (one, "/", &["a@b.example"], false),
            (one, "/", &["a.example, b.example b"], false),
            (one, "http://a.example/", &["A.example"], true),
            (one, "http://a.example/", &["b.example"], false),
            (one, "http://a.example/", &[], true),
            (two, "http://a.example/", &[], true),
            (two, "http://a.example/", &["a.example"], true),
            (two, "http://a.example/", &["b.example"], false),
            (two, "/", &["a.example"], true),
            (two, "/", &[], false),
            // From before there was such a header.
            (old, "/", &[], true),
            (old, "/", &["a.example", "b.example"], false),
        ] {
            let request = request(version, target, hosts);
            let unsound = unsound_host(&request, &ServerHeaders::of(request.headers()));
            assert_eq!(unsound.is_none(), sound, "{version:?} {target} {hosts:?}: {unsound:?}");
        }
    }

    #[test]
    fn a_host_has_one_spelling() {
        for (target, host, name) in [
            ("/", "shop.example.com", "shop.example.com"),
            ("/", "Shop.Example.COM:8080", "shop.example.com"),
            ("/", "shop.example.com.", "shop.example.com"),
            ("http://shop.example.com:80/x", "other.example.com", "shop.example.com"),
        ] {
            assert_eq!(
                host_name(&request(Version::HTTP_11, target, &[host])).as_deref(),
                Some(name),
                "{target} {host}"
            );
        }
    }
}
