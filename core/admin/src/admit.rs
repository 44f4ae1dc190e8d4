//! Who may do and see what: by the role of the token that is shown, and clients on this machine.

use crate::socket::Local;
use crate::{
    access::least,
    client::{self, is_on_this_machine},
    keys::{Shown, shown},
    state::Control,
};
use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use camlock_http::{Problem, seconds};
use camlock_policy::registry::{Actor, Role};
use http::{
    HeaderValue, StatusCode,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
    request::Parts,
};
use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

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
pub(super) async fn admit(State(control): State<Arc<Control>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let least = least(&parts.method, parts.uri.path());
    // On the same machine one may see what viewers see, but where a token is asked for.
    let insider = || is_on_this_machine(&parts, &control.options.settings).then_some(Role::Viewer);
    let visitor = match (visitor(&control, &parts), least) {
        (Ok(visitor), Some(least)) => match visitor.role {
            Some(role) if role >= least => visitor,
            Some(role) => return too_low(&visitor.by, role, least).into_response(),
            None => return nothing_shown(least).into_response(),
        },
        (Ok(visitor), None) => Visitor { role: visitor.role.or_else(insider), ..visitor },
        (Err(refused), Some(_)) => return refused.into_response(),
        (Err(_), None) => Visitor { role: insider(), ..Visitor::default() },
    };
    let mut request = Request::from_parts(parts, body);
    request.extensions_mut().insert(visitor);
    next.run(request).await
}

/// Who shows something that holds, or nothing at all.
fn visitor(control: &Control, request: &Parts) -> Result<Visitor, Problem> {
    if request.extensions.get::<Local>().is_some() {
        return Ok(Visitor { role: Some(Role::Admin), by: Actor::Admin });
    }
    let options = &control.options;
    match shown(&request.headers, &options.token, &*options.tokens, SystemTime::now()) {
        Shown::Nothing => Ok(Visitor::default()),
        Shown::Known(by, role) => Ok(Visitor { role: Some(role), by }),
        Shown::Expired(name) => Err(invalid(format!("the token `{name}` has expired: make another"))),
        Shown::Revoked(name) => Err(invalid(format!("the token `{name}` was revoked"))),
        Shown::Wrong => {
            let from = client::address(request, &options.settings);
            let wait = from.and_then(|from| control.guesses.wrong(from, Instant::now()));
            Err(match wait {
                None => invalid("nobody knows this token: send `Authorization: Bearer TOKEN`"),
                Some(wait) => too_often(wait),
            })
        }
    }
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

pub(super) fn too_often(wait: Duration) -> Problem {
    let wait = Duration::from_secs(wait.as_secs() + 1);
    let detail = format!("too many wrong tokens came from this address: try again in {}", seconds(wait));
    Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).with_header(RETRY_AFTER, wait.as_secs().into())
}
