//! Where a request comes from: the client's address, and whether it sits at this machine. Pure.
//!
//! Headers that proxies add are believed only if a proxy that the operator named has sent them. Whoever else sends them gains
//! nothing by it: they may only take rights away.

use crate::settings::AdminSettings;
use axum::extract::ConnectInfo;
use http::{
    HeaderMap,
    header::{FORWARDED, HOST, VIA},
    request::Parts,
    uri::Authority,
};
use std::net::{IpAddr, SocketAddr};

const FORWARDED_FOR: &str = "x-forwarded-for";
/// What proxies add. A request that has one of them comes from somewhere else, whoever brought it.
const FORWARDING: [&str; 5] = [FORWARDED_FOR, "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-real-ip"];

/// The address of whoever asks: the connection's, or the one that a proxy in between tells of.
pub(super) fn address(request: &Parts, settings: &AdminSettings) -> Option<IpAddr> {
    let peer = peer(request)?;
    let is_proxy = |address: IpAddr| settings.proxies.iter().any(|proxy| proxy.contains(address));
    if !is_proxy(peer) {
        return Some(peer);
    }
    // Each proxy adds whom it was asked by at the end: the last one that is no proxy is the client. What stands before that
    // anybody may have written.
    let told = request.headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let told: Vec<Option<IpAddr>> = told.flat_map(|value| value.split(',')).map(hop).collect();
    let client = told.iter().rev().find(|hop| hop.is_none_or(|hop| !is_proxy(hop)));
    Some(client.copied().flatten().unwrap_or(peer))
}

/// An address as proxies write it: perhaps with a port.
fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address =
        text.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| text.trim_matches(['[', ']']).parse());
    address.ok().map(|address: IpAddr| address.to_canonical())
}

/// Whether whoever asks sits at this machine and knows whom they ask: the connection is a local one, no proxy stands in between,
/// and the request names a host that is this server. A page of somebody else's whose name was made to lead here does not.
pub(super) fn is_on_this_machine(request: &Parts, settings: &AdminSettings) -> bool {
    let Some(peer) = peer(request) else { return false };
    peer.is_loopback()
        && !settings.proxies.iter().any(|proxy| proxy.contains(peer))
        && !is_forwarded(&request.headers)
        && names_this_server(request, settings)
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(FORWARDED)
        || headers.contains_key(VIA)
        || FORWARDING.iter().any(|name| headers.contains_key(*name))
}

/// Every place that names a host names one of this server's, and one does.
fn names_this_server(request: &Parts, settings: &AdminSettings) -> bool {
    let fields = request.headers.get_all(HOST).iter();
    let fields = fields.map(|value| value.to_str().ok().and_then(|text| text.parse::<Authority>().ok()));
    let mut named = request.uri.authority().cloned().map(Some).into_iter().chain(fields).peekable();
    named.peek().is_some()
        && named.all(|authority| authority.is_some_and(|authority| is_this_server(authority.host(), settings)))
}

fn is_this_server(host: &str, settings: &AdminSettings) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    host == "localhost"
        || host.ends_with(".localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
        || settings.hosts.contains(&host)
}

fn peer(request: &Parts) -> Option<IpAddr> {
    request.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn request(peer: Option<&str>, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer.parse().unwrap()));
        }
        request.into_parts().0
    }

    fn settings(hosts: &[&str], proxies: &[&str]) -> AdminSettings {
        AdminSettings {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            proxies: proxies.iter().map(|proxy| proxy.parse().unwrap()).collect(),
            ..AdminSettings::default()
        }
    }

    #[test]
    fn who_is_on_this_machine() {
        let local = ("host", "localhost:8080");
        for (peer, headers, expected) in [
            (Some("127.0.0.1:1"), &[local][..], true),
            (Some("127.8.8.8:1"), &[local], true),
            (Some("[::1]:1"), &[local], true),
            (Some("[::ffff:127.0.0.1]:1"), &[local], true),
            (Some("192.0.2.1:1"), &[local], false),
            (None, &[local], false),
            (Some("127.0.0.1:1"), &[local, ("x-forwarded-for", "127.0.0.1")], false),
            (Some("127.0.0.1:1"), &[local, ("forwarded", "for=127.0.0.1")], false),
            (Some("127.0.0.1:1"), &[local, ("x-real-ip", "127.0.0.1")], false),
            (Some("127.0.0.1:1"), &[local, ("via", "1.1 x")], false),
            (Some("127.0.0.1:1"), &[local, ("x-other", "y")], true),
        ] {
            let request = request(peer, "/", headers);
            assert_eq!(is_on_this_machine(&request, &settings(&[], &[])), expected, "{peer:?} {headers:?}");
        }
        let proxy = request(Some("127.0.0.1:1"), "/", &[local]);
        assert!(!is_on_this_machine(&proxy, &settings(&[], &["127.0.0.1"])), "whom it speaks for is not known");
    }

    #[test]
    fn a_name_that_was_made_to_lead_here_is_not_this_server() {
        let settings = settings(&["plugins.example.com"], &[]);
        for (uri, hosts, expected) in [
            ("/", &["localhost"][..], true),
            ("/", &["LOCALHOST.:1"], true),
            ("/", &["me.localhost"], true),
            ("/", &["127.0.0.1:8080"], true),
            ("/", &["[::1]:8080"], true),
            ("/", &["plugins.example.com:8080"], true),
            ("/", &["Plugins.Example.com"], true),
            ("/", &["evil.example"], false),
            ("/", &["localhost.evil.example"], false),
            ("/", &["127.0.0.1.evil.example"], false),
            ("/", &["192.0.2.1"], false),
            ("/", &["a b"], false),
            ("/", &[], false),
            ("/", &["localhost", "evil.example"], false),
            ("http://localhost/", &[], true),
            ("http://evil.example/", &["localhost"], false),
            ("http://localhost/", &["evil.example"], false),
        ] {
            let headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            let request = request(Some("127.0.0.1:1"), uri, &headers);
            assert_eq!(is_on_this_machine(&request, &settings), expected, "{uri} {hosts:?}");
        }
    }

    #[test]
    fn clients_are_known_by_what_proxies_say_and_nobody_else() {
        let settings = settings(&[], &["10.0.0.0/8"]);
        for (peer, headers, expected) in [
            ("192.0.2.1:1", &["198.51.100.7"][..], "192.0.2.1"),
            ("10.0.0.1:1", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1:1", &["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1:1", &["203.0.113.9", "198.51.100.7:4711, 10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1:1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.0.0.1:1", &["198.51.100.7, nonsense"], "10.0.0.1"),
            ("10.0.0.1:1", &[], "10.0.0.1"),
        ] {
            let headers: Vec<_> = headers.iter().map(|value| (FORWARDED_FOR, *value)).collect();
            let address = address(&request(Some(peer), "/", &headers), &settings);
            assert_eq!(address, Some(expected.parse().unwrap()), "{peer} {headers:?}");
        }
    }
}
