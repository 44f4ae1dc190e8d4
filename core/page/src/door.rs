//! The router of the page's listener: the host is checked first, then what is asked for. The page's files are anybody's; the admin
//! API is reached through a session, by the page's own documents alone. What must not live here: what the checks are.

use crate::{
    assets,
    extensions::{self, ExtensionFiles, TrustedPlugins},
    fences::{comes_from_elsewhere, names_this_server},
    session::PageSessions,
};
use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use camlock_admin::PageEntrance;
use camlock_http::{Problem, nothing_there};
use http::{
    HeaderValue, Method, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, HOST, SET_COOKIE},
    request::Parts,
    uri::Authority,
};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use std::{fmt, sync::Arc, time::SystemTime};
use tower_service::Service;

/// Below this is the admin API, and below the other what plugins serve, which is not here.
const API: &str = "/api/v1/";
const PLUGINS: &str = "/api/v1/p/";
/// What else of the server's own the page asks for.
const HEALTH: &str = "/_/health";
/// No token is longer.
const LARGEST: usize = 16 * 1024;

/// What the page needs of its server.
#[derive(Clone)]
pub struct PageOptions {
    /// The server's own paths.
    pub admin: Router,
    /// Where the page is, and who was let in.
    pub entrance: Arc<PageEntrance>,
    /// The server's own token, from which the key of sessions is derived.
    pub admin_token: String,
    /// Hosts that count as this server beside loopback names and numbers, in small letters.
    pub hosts: Vec<String>,
    /// The port that it is served on.
    pub port: u16,
    /// Whether connections are encrypted here.
    pub secure: bool,
    /// What plugins bring to the page.
    pub extensions: ExtensionFiles,
    /// Which of them bring it into the page itself.
    pub trusted: TrustedPlugins,
}

impl fmt::Debug for PageOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PageOptions").field("port", &self.port).finish_non_exhaustive()
    }
}

/// What answers on the page's listener.
pub fn page_router(options: PageOptions) -> Router {
    let sessions = PageSessions::new(&options.admin_token, options.port, options.secure);
    let PageOptions { admin, entrance, hosts, extensions, trusted, .. } = options;
    let door = Arc::new(PageDoor { admin, entrance, hosts, sessions, extensions, trusted });
    Router::new().fallback(move |request: Request| {
        let door = door.clone();
        async move {
            let mut response = door.answer(request).await;
            assets::protect(&mut response);
            response
        }
    })
}

struct PageDoor {
    admin: Router,
    entrance: Arc<PageEntrance>,
    hosts: Vec<String>,
    sessions: PageSessions,
    extensions: ExtensionFiles,
    trusted: TrustedPlugins,
}

impl PageDoor {
    async fn answer(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        if !names_this_server(&parts, &self.hosts) {
            let detail = "this host is not one of the server's: add it to `server.hosts` if it is";
            return Problem::new(StatusCode::MISDIRECTED_REQUEST, detail).into_response();
        }
        let path = parts.uri.path();
        let looks = matches!(parts.method, Method::GET | Method::HEAD);
        let called = called(&parts);
        match path {
            "/" if looks => return assets::index(&called, &(self.trusted)()),
            _ if looks && extensions::is_extension(path) => {
                return extensions::answer(path, &parts.headers, &called, &self.extensions);
            }
            _ if looks && let Some(file) = assets::file(path, &parts.headers) => return file,
            _ => {}
        }
        let is_api = (path.starts_with(API) && !path.starts_with(PLUGINS)) || path == HEALTH;
        if !is_api && path != "/session" {
            return nothing_there(path).into_response();
        }
        if let Some(why) = comes_from_elsewhere(&parts) {
            return Problem::new(StatusCode::FORBIDDEN, format!("the page alone asks here: {why}")).into_response();
        }
        let request = Request::from_parts(parts, body);
        if is_api { self.pass_on(request).await } else { self.session(request).await }
    }

    /// To the admin API, as whoever the session belongs to.
    async fn pass_on(&self, mut request: Request) -> Response {
        let Some(token) = self.sessions.token(request.headers(), SystemTime::now()) else { return signed_out() };
        let Ok(mut shown) = HeaderValue::from_str(&format!("Bearer {}", *token)) else { return signed_out() };
        shown.set_sensitive(true);
        request.headers_mut().remove(COOKIE);
        request.headers_mut().insert(AUTHORIZATION, shown);
        let Ok(mut response) = self.admin.clone().call(request).await;
        response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        response
    }

    /// Signing in with a token or a code, and out.
    async fn session(&self, request: Request) -> Response {
        match *request.method() {
            Method::POST => self.sign_in(request).await,
            Method::DELETE => with_cookie(&self.sessions.end()),
            _ => Problem::new(StatusCode::METHOD_NOT_ALLOWED, "/session takes POST and DELETE").into_response(),
        }
    }

    async fn sign_in(&self, request: Request) -> Response {
        let (mut parts, body) = request.into_parts();
        let read = Limited::new(body, LARGEST).collect().await.ok();
        let shown = read.and_then(|read| serde_json::from_slice::<SignIn>(&read.to_bytes()).ok());
        let token = match shown {
            Some(SignIn { token: Some(token), code: None }) => token.trim().to_owned(),
            Some(SignIn { token: None, code: Some(code) }) => match self.entrance.redeem(&code) {
                Some(token) => token,
                None => {
                    let detail = "this link was used already, or is older than a minute: `camlock page` makes another";
                    return Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
                }
            },
            _ => return Problem::new(StatusCode::BAD_REQUEST, "a token or a code is asked for").into_response(),
        };
        let Ok(shown) = HeaderValue::from_str(&format!("Bearer {token}")) else {
            return Problem::new(StatusCode::UNAUTHORIZED, "this is no token").into_response();
        };
        // The admin API knows tokens, and counts wrong ones.
        parts.method = Method::GET;
        parts.uri = http::Uri::from_static("/api/v1/whoami");
        parts.headers.clear();
        parts.headers.insert(AUTHORIZATION, shown);
        let Ok(answer) = self.admin.clone().call(Request::from_parts(parts, Body::empty())).await;
        if !answer.status().is_success() {
            return answer;
        }
        match self.sessions.begin(&token, SystemTime::now()) {
            Some(cookie) => with_cookie(&cookie),
            None => Problem::new(StatusCode::BAD_REQUEST, "this is no token").into_response(),
        }
    }
}

/// What a visitor shows: a token, or a code that stands for one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    token: Option<String>,
    code: Option<String>,
}

/// The host and port that a request names, as a policy names them; nothing of a user.
fn called(parts: &Parts) -> String {
    let field = || parts.headers.get(HOST)?.to_str().ok()?.parse::<Authority>().ok();
    let Some(named) = parts.uri.authority().cloned().or_else(field) else { return String::new() };
    named.port().map_or_else(|| named.host().to_owned(), |port| format!("{}:{port}", named.host()))
}

fn signed_out() -> Response {
    Problem::new(StatusCode::UNAUTHORIZED, "there is no session, or it has ended: sign in").into_response()
}

fn with_cookie(cookie: &str) -> Response {
    let headers = [(SET_COOKIE, cookie), (CACHE_CONTROL, "no-store")];
    (StatusCode::NO_CONTENT, headers).into_response()
}
