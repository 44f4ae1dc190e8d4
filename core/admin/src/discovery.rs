//! Plugins in an organisation's repositories: those that were discovered, a look at all of them, and webhooks, which have one of them
//! looked at. What must not live here: how a forge is asked, and what a manifest must say.

use crate::{
    admit::too_often,
    ask::{bad, parse, raw, read},
    client,
    state::{Control, ControlState},
};
use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use camlock_api::{DiscoveredPlugins, HintOutcome, ScanOutcome};
use camlock_http::Problem;
use camlock_policy::{Discovery, NotDiscovered, NotDiscoveredKind, RepositoryHint, ScanOrder};
use http::{
    HeaderValue, StatusCode,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
    request::Parts,
};
use serde::Deserialize;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use utoipa::{IntoParams, ToSchema};

/// What is said of a release, its notes among it, is far smaller.
const LARGEST: usize = 2 << 20;
/// GitHub gives a webhook up after 10 s.
const PATIENCE: Duration = Duration::from_secs(8);

const EVENT: &str = "x-github-event";
const SIGNATURE: &str = "x-hub-signature-256";
const SECRET: &str = "x-velox-secret";

/// How it is to be scanned.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScanRequest {
    /// Another organisation than the one that is set.
    #[serde(default)]
    organization: Option<String>,
    /// Also if what is known is not too old; true if nothing is said.
    #[serde(default)]
    force: Option<bool>,
    /// What is known is forgotten before.
    #[serde(default)]
    clear: Option<bool>,
}

/// What a forge sends with a webhook, for the document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "it is only described")]
pub(super) struct WebhookHeaders {
    /// What happened; other events than `release` and `repository` change nothing.
    #[param(rename = "x-github-event")]
    event: Option<String>,
    /// `sha256=` and the body's HMAC with the secret, in 64 digits, as GitHub signs.
    #[param(rename = "x-hub-signature-256")]
    signature: Option<String>,
    /// The secret itself.
    #[param(rename = "x-velox-secret")]
    secret: Option<String>,
}

/// What happened to a repository. Only whose it is counts: it is looked at anew.
#[derive(Deserialize, ToSchema)]
pub(super) struct RepositoryWebhook {
    #[serde(default)]
    repository: Option<WebhookRepository>,
}

/// Which repository.
#[derive(Deserialize, ToSchema)]
struct WebhookRepository {
    name: String,
    owner: WebhookOwner,
}

/// Whose it is.
#[derive(Deserialize, ToSchema)]
struct WebhookOwner {
    login: String,
}

/// What was discovered. The first time somebody asks, it is discovered.
#[utoipa::path(get, path = "/api/v1/plugins/discovered", tag = "discovery", operation_id = "discovered", responses(
    (status = 200, description = "By name, and what is no plugin, with the reason", body = DiscoveredPlugins),
    (status = 404, description = "Nothing is discovered here, or there is no such organisation"),
    (status = 502, description = "The forge does not answer as it must"),
    (status = 503, description = "The forge lets nobody ask for now"),
))]
pub(super) async fn list(State(control): ControlState) -> Result<Json<DiscoveredPlugins>, Problem> {
    discovery(&control)?.discovered().await.map(Json).map_err(|why| not_discovered(&why))
}

/// Looks at all repositories now, and waits for what comes of it.
#[utoipa::path(post, path = "/api/v1/plugins/discovery/scan", tag = "discovery", operation_id = "discover",
    request_body = Option<ScanRequest>, responses(
    (status = 200, description = "What was found; one repository that fails does not stop it", body = ScanOutcome),
    (status = 404, description = "Nothing is discovered here, or there is no such organisation"),
    (status = 502, description = "The forge does not answer as it must; what is known stays"),
    (status = 503, description = "The forge lets nobody ask for now; what is known stays"),
))]
pub(super) async fn scan(State(control): ControlState, body: Body) -> Result<Json<ScanOutcome>, Problem> {
    let ScanRequest { organization, force, clear } = read(body).await?;
    let order = ScanOrder { organization, force: force.unwrap_or(true), clear: clear.unwrap_or(false) };
    discovery(&control)?.scan(order).await.map(Json).map_err(|why| not_discovered(&why))
}

/// Something happened to a repository: it is looked at, whatever the webhook says of it, and at most once in 5 s.
///
/// Instead of a token it shows the secret, in `X-Velox-Secret`, or signs with it, in `X-Hub-Signature-256`.
#[utoipa::path(post, path = "/api/v1/plugins/discovery/webhook", tag = "discovery", operation_id = "discovery_webhook",
    params(WebhookHeaders), request_body = RepositoryWebhook, responses(
    (status = 200, description = "What came of it", body = HintOutcome),
    (status = 202, description = "It is being looked at", body = HintOutcome),
    (status = 401, description = "It neither shows the secret nor is signed with it"),
    (status = 404, description = "Nothing is discovered here"),
    (status = 429, description = "Too much came from this address that did not know the secret"),
    (status = 502, description = "The forge does not answer as it must"),
    (status = 503, description = "The forge lets nobody ask for now"),
))]
pub(super) async fn webhook(State(control): ControlState, request: Request) -> Result<Response, Problem> {
    let discovery = discovery(&control)?;
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).map(HeaderValue::as_bytes);
    let body = match (header(SIGNATURE), header(SECRET)) {
        // A signature that is there has to hold.
        (Some(signature), _) => {
            let body = raw(body, LARGEST).await?;
            discovery.is_signed(signature, &body).then_some(body)
        }
        (None, Some(secret)) if discovery.is_secret(secret) => Some(raw(body, LARGEST).await?),
        _ => None,
    };
    let Some(body) = body else { return Err(not_known(&control, &parts)) };
    let ignored = |detail: String| HintOutcome { status: "ignored".to_owned(), plugin: None, detail: Some(detail) };
    let RepositoryWebhook { repository } = parse(body.trim_ascii())?;
    match header(EVENT) {
        None | Some(b"release" | b"repository") => {}
        Some(event) => {
            let event = String::from_utf8_lossy(event).escape_debug().to_string();
            return Ok(Json(ignored(format!("`{event}` says nothing of releases"))).into_response());
        }
    }
    let Some(WebhookRepository { name, owner }) = repository else {
        return Ok(Json(ignored("it is about no repository".to_owned())).into_response());
    };
    let looked = discovery.hint(RepositoryHint { owner: owner.login, name });
    match tokio::time::timeout(PATIENCE, looked).await {
        Ok(outcome) => Ok(Json(outcome.map_err(|why| not_discovered(&why))?).into_response()),
        // It goes on.
        Err(_) => {
            let detail = Some("it is being looked at".to_owned());
            let accepted = HintOutcome { status: "accepted".to_owned(), plugin: None, detail };
            Ok((StatusCode::ACCEPTED, Json(accepted)).into_response())
        }
    }
}

fn discovery(control: &Control) -> Result<&Arc<dyn Discovery>, Problem> {
    let none = || {
        let detail = "nothing is discovered here: `discovery.organization` names whose repositories are looked at";
        Problem::new(StatusCode::NOT_FOUND, detail)
    };
    control.options.discovery.as_ref().ok_or_else(none)
}

/// Whoever guesses secrets is held up as whoever guesses tokens.
fn not_known(control: &Control, request: &Parts) -> Problem {
    let from = client::address(request, &control.options.settings);
    if let Some(wait) = from.and_then(|from| control.guesses.wrong(from, Instant::now())) {
        return too_often(wait);
    }
    let detail = "a webhook shows its secret in `X-Velox-Secret`, or is signed with it in `X-Hub-Signature-256`, and this one does \
                  neither: `discovery.webhook_secret` is what both sides know";
    let challenge = HeaderValue::from_static("X-Hub-Signature-256 realm=\"camlock\"");
    Problem::new(StatusCode::UNAUTHORIZED, detail).with_header(WWW_AUTHENTICATE, challenge)
}

/// Why nothing was discovered.
fn not_discovered(why: &NotDiscovered) -> Problem {
    let status = match why.kind {
        NotDiscoveredKind::Invalid => return bad(why.reason.clone()),
        NotDiscoveredKind::Missing => StatusCode::NOT_FOUND,
        NotDiscoveredKind::Forge => StatusCode::BAD_GATEWAY,
        NotDiscoveredKind::Limited => StatusCode::SERVICE_UNAVAILABLE,
    };
    let problem = Problem::new(status, why.reason.clone());
    match why.again {
        Some(again) => problem.with_header(RETRY_AFTER, again.as_secs().max(1).into()),
        None => problem,
    }
}
