//! Who may do and see what: by the role of the token that is shown, and clients on this machine.

use super::{
    Control,
    keys::{Shown, shown},
};
use crate::socket::Local;
use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use camlock_http::{Problem, seconds};
use camlock_policy::{
    registry::{Actor, Role},
    routes::MOUNTS,
};
use http::{
    Extensions, HeaderMap, HeaderValue, Method, StatusCode,
    header::{FORWARDED, RETRY_AFTER, VIA, WWW_AUTHENTICATE},
    request::Parts,
};
use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// What is below this asks for a token, except what plugins serve.
const GUARDED: &str = "/api/v1/";
/// What proxies add. A request that has one of them comes from somewhere else, whoever brought it.
const FORWARDING: [&str; 5] =
    ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-real-ip"];

/// The least role that a request needs; none if it is open to all. The path need not be one that there is.
pub(super) fn least(method: &Method, path: &str) -> Option<Role> {
    let below = path.strip_prefix(GUARDED).filter(|_| !path.starts_with(MOUNTS))?;
    let looks = matches!(*method, Method::GET | Method::HEAD);
    Some(match below.split('/').next() {
        Some("tokens") => Role::Admin,
        _ if looks => Role::Viewer,
        _ if below == "plugins" || *method == Method::DELETE => Role::Admin,
        _ => Role::Operator,
    })
}

/// Whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Visitor {
    /// What they may do and see; nothing but what anybody may, without.
    pub(super) role: Option<Role>,
    /// Who they are, for the journal.
    pub(super) by: Actor,
}

impl Default for Visitor {
    /// Somebody who shows nothing: no act gets as far as its actor.
    fn default() -> Self {
        Visitor { role: None, by: Actor::Token(String::new()) }
    }
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Visitor>().cloned().unwrap_or_default())
    }
}

/// Comes before the path is routed and the body looked at.
pub(super) async fn admit(State(control): State<Arc<Control>>, mut request: Request, next: Next) -> Response {
    let least = least(request.method(), request.uri().path());
    let visitor = match (visitor(&control, &request), least) {
        (Ok(visitor), Some(least)) => match visitor.role {
            Some(role) if role >= least => visitor,
            Some(role) => return too_low(&visitor.by, role, least).into_response(),
            None => return nothing_shown(least).into_response(),
        },
        (Ok(visitor), None) => Visitor { role: visitor.role.or_else(|| insider(&request)), ..visitor },
        (Err(refused), Some(_)) => return refused.into_response(),
        (Err(_), None) => Visitor { role: insider(&request), ..Visitor::default() },
    };
    request.extensions_mut().insert(visitor);
    next.run(request).await
}

/// Who shows something that holds, or nothing at all.
fn visitor(control: &Control, request: &Request) -> Result<Visitor, Problem> {
    if request.extensions().get::<Local>().is_some() {
        return Ok(Visitor { role: Some(Role::Admin), by: Actor::Admin });
    }
    let options = &control.options;
    match shown(request.headers(), &options.token, &*options.tokens, SystemTime::now()) {
        Shown::Nothing => Ok(Visitor::default()),
        Shown::Known(by, role) => Ok(Visitor { role: Some(role), by }),
        Shown::Expired(name) => Err(invalid(format!("the token `{name}` has expired: make another"))),
        Shown::Revoked(name) => Err(invalid(format!("the token `{name}` was revoked"))),
        Shown::Wrong => {
            let wait = peer(request.extensions()).and_then(|peer| control.guesses.wrong(peer, Instant::now()));
            Err(match wait {
                None => invalid("nobody knows this token: send `Authorization: Bearer TOKEN`"),
                Some(wait) => too_often(wait),
            })
        }
    }
}

/// On the same machine one may see what viewers see, but where a token is asked for.
fn insider(request: &Request) -> Option<Role> {
    is_on_this_machine(request.headers(), request.extensions()).then_some(Role::Viewer)
}

fn nothing_shown(least: Role) -> Problem {
    let role = least.word();
    let detail = format!("this asks for a token with the role `{role}`: send `Authorization: Bearer TOKEN`");
    let problem = Problem::new(StatusCode::UNAUTHORIZED, detail);
    problem.with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"camlock\""))
}

fn invalid(detail: impl Into<String>) -> Problem {
    let challenge = HeaderValue::from_static("Bearer realm=\"camlock\", error=\"invalid_token\"");
    Problem::new(StatusCode::UNAUTHORIZED, detail).with_header(WWW_AUTHENTICATE, challenge)
}

fn too_low(by: &Actor, role: Role, least: Role) -> Problem {
    let (role, least) = (role.word(), least.word());
    let detail = format!("this asks for the role `{least}`, and the token `{by}` has `{role}`");
    let challenge = HeaderValue::from_static("Bearer realm=\"camlock\", error=\"insufficient_scope\"");
    Problem::new(StatusCode::FORBIDDEN, detail).with_header(WWW_AUTHENTICATE, challenge)
}

fn too_often(wait: Duration) -> Problem {
    let wait = Duration::from_secs(wait.as_secs() + 1);
    let detail = format!("too many wrong tokens came from this address: try again in {}", seconds(wait));
    Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).with_header(RETRY_AFTER, wait.as_secs().into())
}

fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip())
}

fn is_on_this_machine(headers: &HeaderMap, extensions: &Extensions) -> bool {
    peer(extensions).is_some_and(|peer| peer.to_canonical().is_loopback())
        && !headers.contains_key(FORWARDED)
        && !headers.contains_key(VIA)
        && !FORWARDING.iter().any(|name| headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_a_least_role() {
        for (method, path, expected) in [
            ("GET", "/plugins", None),
            ("GET", "/plugins/hello", None),
            ("DELETE", "/plugins/hello", None),
            ("GET", "/metrics", None),
            ("GET", "/api/v1/p/hello/x", None),
            ("POST", "/api/v1/p/tokens", None),
            ("GET", "/api/v1/p", Some(Role::Viewer)),
            ("GET", "/api/v1/", Some(Role::Viewer)),
            ("GET", "/api/v1/nothing", Some(Role::Viewer)),
            ("HEAD", "/api/v1/plugins", Some(Role::Viewer)),
            ("GET", "/api/v1/plugins/tokens", Some(Role::Viewer)),
            ("PUT", "/api/v1/plugins/hello", Some(Role::Operator)),
            ("POST", "/api/v1/plugins/hello/reload", Some(Role::Operator)),
            ("PATCH", "/api/v1/plugins/hello", Some(Role::Operator)),
            ("POST", "/api/v1/reload", Some(Role::Operator)),
            ("POST", "/api/v1/plugins", Some(Role::Admin)),
            ("DELETE", "/api/v1/plugins/hello", Some(Role::Admin)),
            ("GET", "/api/v1/tokens", Some(Role::Admin)),
            ("POST", "/api/v1/tokens", Some(Role::Admin)),
            ("DELETE", "/api/v1/tokens/7", Some(Role::Admin)),
        ] {
            assert_eq!(least(&method.parse().unwrap(), path), expected, "{method} {path}");
        }
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
