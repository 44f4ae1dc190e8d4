//! The way onto the page: where it is, and codes that let one visitor in, once. What must not live here: the page, and what a
//! visitor who is in may do.

use crate::{admit::Visitor, ask::bad, state::ControlState, tokens};
use axum::{Json, body::Body, extract::State};
use camlock_api::{PageAddress, Whoami};
use camlock_http::Problem;
use camlock_policy::{Digest, registry::Role};
use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a code may be used.
const HOLDS: Duration = Duration::from_secs(60);
/// So many codes wait to be used, at most.
const MOST: usize = 64;

/// Where the page is, and the codes that wait to be used there.
pub struct PageEntrance {
    url: String,
    /// What a visitor from the control socket shows from then on.
    own: String,
    codes: Mutex<HashMap<Digest, WaitingCode>>,
}

/// What a code stands for.
struct WaitingCode {
    token: String,
    made: Instant,
}

impl PageEntrance {
    /// The page at this URL, on a server with this token of its own.
    pub fn new(url: impl Into<String>, own_token: impl Into<String>) -> Self {
        PageEntrance { url: url.into(), own: own_token.into(), codes: Mutex::default() }
    }

    /// Where the page is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A code that stands for this token, or for the server's own. None if too many wait already.
    fn code(&self, token: Option<&str>, code: &str, now: Instant) -> bool {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|_, waiting| now.saturating_duration_since(waiting.made) < HOLDS);
        if codes.len() >= MOST {
            return false;
        }
        let token = token.unwrap_or(&self.own).to_owned();
        codes.insert(Digest::of(code.as_bytes()), WaitingCode { token, made: now });
        true
    }

    /// The token that a code stands for. It stands for nothing from then on.
    pub fn redeem(&self, code: &str) -> Option<String> {
        self.redeem_at(code, Instant::now())
    }

    fn redeem_at(&self, code: &str, now: Instant) -> Option<String> {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = codes.remove(&Digest::of(code.as_bytes()))?;
        (now.saturating_duration_since(waiting.made) < HOLDS).then_some(waiting.token)
    }
}

impl fmt::Debug for PageEntrance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PageEntrance").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Makes a link to the page that lets whoever follows it in as whoever asks: once, within a minute.
#[utoipa::path(post, path = "/api/v1/page/codes", tag = "tokens", operation_id = "create_page_code", responses(
    (status = 200, description = "The link", body = PageAddress),
    (status = 404, description = "This server has no page"),
    (status = 503, description = "Too many links wait to be followed"),
))]
pub(super) async fn create_code(
    State(control): ControlState,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<PageAddress>, Problem> {
    drop(body);
    let Some(entrance) = &control.options.page else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "this server has no page: `page.listen` is \"off\""));
    };
    let shown = headers.get(AUTHORIZATION).map(|value| value.to_str().map_err(|_| bad("the token is no text")));
    let token = shown.transpose()?.and_then(|value| value.split_once(' ')).map(|(_, token)| token.trim());
    let code = tokens::secret().map_err(|error| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the system gives no random numbers: {error}"))
    })?;
    if !entrance.code(token, &code, Instant::now()) {
        let detail = "too many links to the page wait to be followed: try again in a minute";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).passing());
    }
    Ok(Json(PageAddress { url: format!("{}/#code={code}", entrance.url) }))
}

/// Who asks: what the token is called, and its role.
#[utoipa::path(get, path = "/api/v1/whoami", tag = "tokens", operation_id = "whoami", responses(
    (status = 200, description = "What the token is called, and its role", body = Whoami),
))]
pub(super) async fn whoami(visitor: Visitor) -> Json<Whoami> {
    let role = match visitor.role {
        Some(Role::Admin) => camlock_api::Role::Admin,
        Some(Role::Operator) => camlock_api::Role::Operator,
        Some(Role::Viewer) | None => camlock_api::Role::Viewer,
    };
    Json(Whoami { name: visitor.by.to_string(), role })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_lets_in_once_and_not_for_long() {
        let entrance = PageEntrance::new("http://127.0.0.1:8081", "own");
        let now = Instant::now();
        assert!(entrance.code(None, "a", now) && entrance.code(Some("viewer's"), "b", now));
        assert_eq!(entrance.redeem_at("a", now).as_deref(), Some("own"));
        assert_eq!(entrance.redeem_at("a", now), None);
        assert_eq!(entrance.redeem_at("b", now + HOLDS), None);
        assert_eq!(entrance.redeem_at("c", now), None);
        for number in 0..MOST {
            assert!(entrance.code(None, &number.to_string(), now));
        }
        assert!(!entrance.code(None, "one more", now));
        assert!(entrance.code(None, "later", now + HOLDS));
        assert!(!format!("{entrance:?}").contains("own"));
    }
}
