//! Who may do and see what: the admin token, and clients on this machine.

use super::Control;
use crate::problem::Problem;
use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State},
    middleware::Next,
    response::Response,
};
use camlock_core::routes::MOUNTS;
use http::{
    Extensions, HeaderMap, HeaderValue, StatusCode,
    header::{AUTHORIZATION, FORWARDED, VIA, WWW_AUTHENTICATE},
    request::Parts,
};
use std::{convert::Infallible, fmt, hint::black_box, net::SocketAddr, sync::Arc};

/// What is below this asks for the token, except what plugins serve.
const GUARDED: &str = "/api/v1/";
/// What proxies add. A request that has one of them comes from somewhere else, whoever brought it.
const FORWARDING: [&str; 5] =
    ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-real-ip"];

/// A secret that operators show. It is not printed.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// This secret. An empty one lets nobody in.
    pub fn new(secret: impl Into<String>) -> Self {
        Token(secret.into())
    }

    /// Whether this is the secret. How long it takes tells nothing but the length.
    fn is(&self, shown: &[u8]) -> bool {
        let secret = self.0.as_bytes();
        if secret.is_empty() || secret.len() != shown.len() {
            return false;
        }
        let differences = secret.iter().zip(shown).fold(0, |all, (one, other)| black_box(all | (one ^ other)));
        differences == 0
    }

    /// Whether a request shows it.
    fn is_in(&self, headers: &HeaderMap) -> bool {
        headers.get(AUTHORIZATION).is_some_and(|value| bearer(value.as_bytes()).is_some_and(|shown| self.is(shown)))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

/// What stands behind `Bearer`, which may be written as one likes.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, shown) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| shown.trim_ascii())
}

/// How much a client is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Eyes {
    /// What anybody may see.
    Public,
    /// Also paths, and what compilers said.
    Operator,
}

impl<S: Sync> FromRequestParts<S> for Eyes {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Eyes>().copied().unwrap_or(Eyes::Public))
    }
}

/// Comes before the path is routed and the body looked at.
pub(super) async fn admit(State(control): State<Arc<Control>>, mut request: Request, next: Next) -> Response {
    let token = control.options.token.is_in(request.headers());
    let path = request.uri().path();
    if path.starts_with(GUARDED) && !path.starts_with(MOUNTS) && !token {
        return refused(request.headers().contains_key(AUTHORIZATION));
    }
    let operator = token || is_on_this_machine(request.headers(), request.extensions());
    request.extensions_mut().insert(if operator { Eyes::Operator } else { Eyes::Public });
    next.run(request).await
}

fn refused(showed_something: bool) -> Response {
    let (detail, challenge) = if showed_something {
        ("this token is not the admin token", "Bearer realm=\"camlock\", error=\"invalid_token\"")
    } else {
        ("this asks for the admin token: send `Authorization: Bearer TOKEN`", "Bearer realm=\"camlock\"")
    };
    let problem = Problem::new(StatusCode::UNAUTHORIZED, detail);
    problem.with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge)).response()
}

fn is_on_this_machine(headers: &HeaderMap, extensions: &Extensions) -> bool {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback())
        && !headers.contains_key(FORWARDED)
        && !headers.contains_key(VIA)
        && !FORWARDING.iter().any(|name| headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_is_the_token() {
        for (secret, header, expected) in [
            ("abc", Some("Bearer abc"), true),
            ("abc", Some("bearer  abc"), true),
            ("abc", Some("Bearer abd"), false),
            ("abc", Some("Bearer ab"), false),
            ("abc", Some("Bearer abcd"), false),
            ("abc", Some("Basic abc"), false),
            ("abc", Some("abc"), false),
            ("abc", Some(""), false),
            ("abc", None, false),
            ("", Some("Bearer "), false),
            ("", None, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(header.map(|value| (AUTHORIZATION, value.parse().unwrap())));
            assert_eq!(Token::new(secret).is_in(&headers), expected, "{secret} {header:?}");
        }
        assert_eq!(format!("{:?}", Token::new("secret")), "Token(…)");
    }

    #[test]
    fn who_is_on_this_machine() {
        for (peer, header, expected) in [
            (Some("127.0.0.1:1"), None, true),
            (Some("127.8.8.8:1"), None, true),
            (Some("[::1]:1"), None, true),
            (Some("[::ffff:127.0.0.1]:1"), None, true),
            (Some("192.0.2.1:1"), None, false),
            (None, None, false),
            (Some("127.0.0.1:1"), Some("x-forwarded-for"), false),
            (Some("127.0.0.1:1"), Some("forwarded"), false),
            (Some("127.0.0.1:1"), Some("x-real-ip"), false),
            (Some("127.0.0.1:1"), Some("via"), false),
            (Some("127.0.0.1:1"), Some("x-other"), true),
        ] {
            let mut extensions = Extensions::new();
            if let Some(peer) = peer {
                extensions.insert(ConnectInfo::<SocketAddr>(peer.parse().unwrap()));
            }
            let mut headers = HeaderMap::new();
            if let Some(name) = header {
                headers.insert(name, "192.0.2.7".parse().unwrap());
            }
            assert_eq!(is_on_this_machine(&headers, &extensions), expected, "{peer:?} {header:?}");
        }
    }
}
