//! The log over HTTP: whether it is whole, for everybody; what stands in it, for who shows the token. What must not live here: how it
//! is kept.

use crate::{
    format::{CSV_HEAD, as_csv, as_json},
    query::EntryQuery,
    settings::SharedSettings,
    store::{AuditStore, Entries, VerifiedLog},
};
use axum::{
    body::Body,
    extract::{FromRequestParts, Request},
    http::{HeaderMap, header, request::Parts},
    middleware::{Next, from_fn_with_state},
};
use camlock_plugin::{HostError, HostErrorCode, prelude::*};
use futures_util::stream::unfold;
use serde::Deserialize;
use serde_json::json;

/// So many entries are on a page, if nothing is said; and at most.
const USUAL: usize = 100;
const MOST: usize = 1_000;

pub(crate) fn routes(store: AuditStore, settings: SharedSettings) -> Router {
    let guarded = Router::new()
        .route("/events", get(page))
        .route("/events.jsonl", get(lines))
        .route("/events.csv", get(csv))
        .layer(from_fn_with_state(settings, admit));
    guarded.route("/verify", get(verify)).with_state(store)
}

/// An error as `application/problem+json`.
pub(crate) struct AuditProblem(StatusCode, String);

impl IntoResponse for AuditProblem {
    fn into_response(self) -> Response {
        let document = json!({
            "type": "about:blank", "title": self.0.canonical_reason().unwrap_or_default(), "status": self.0.as_u16(),
            "detail": self.1,
        });
        (self.0, [(header::CONTENT_TYPE, "application/problem+json")], document.to_string()).into_response()
    }
}

impl From<HostError> for AuditProblem {
    fn from(error: HostError) -> Self {
        let status = match error.code {
            HostErrorCode::Denied => StatusCode::FORBIDDEN,
            HostErrorCode::Limit => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        AuditProblem(status, error.message)
    }
}

/// What is asked for, or what is wrong with it.
struct AskedQuery<T>(T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> FromRequestParts<S> for AskedQuery<T> {
    type Rejection = AuditProblem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AuditProblem> {
        let asked = Query::<T>::try_from_uri(&parts.uri);
        asked
            .map(|Query(asked)| AskedQuery(asked))
            .map_err(|rejection| AuditProblem(StatusCode::BAD_REQUEST, rejection.body_text()))
    }
}

/// Lets through who shows the token.
async fn admit(State(settings): State<SharedSettings>, headers: HeaderMap, request: Request, next: Next) -> Response {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    match settings.is_token(shown) {
        Some(true) => next.run(request).await,
        Some(false) => {
            let told = "what happened is shown to who sends `Authorization: Bearer TOKEN`, with the plugin's token";
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
            (challenge, AuditProblem(StatusCode::UNAUTHORIZED, told.to_owned())).into_response()
        }
        None => {
            let told = "nobody may read what happened before there is a token: `camlock config audit-log set token=…`";
            AuditProblem(StatusCode::FORBIDDEN, told.to_owned()).into_response()
        }
    }
}

/// An entry that somebody knows from before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownEntry {
    number: Option<i64>,
    hash: Option<String>,
}

async fn verify(
    State(store): State<AuditStore>,
    AskedQuery(known): AskedQuery<KnownEntry>,
) -> Result<Json<VerifiedLog>, AuditProblem> {
    let known = match (known.number, &known.hash) {
        (Some(number), Some(hash)) => Some((number, hash.as_str())),
        (None, None) => None,
        _ => return Err(AuditProblem(StatusCode::BAD_REQUEST, "`number` and `hash` are sent together".to_owned())),
    };
    Ok(Json(store.verify(known).await?))
}

async fn page(
    State(store): State<AuditStore>,
    AskedQuery(query): AskedQuery<EntryQuery>,
) -> Result<Json<serde_json::Value>, AuditProblem> {
    let most = query.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&most) {
        return Err(AuditProblem(StatusCode::BAD_REQUEST, format!("`limit` is from 1 to {MOST}")));
    }
    let mut entries = store.read(&query).await?;
    let (mut items, mut next) = (Vec::new(), None);
    while let Some(entry) = entries.next().await? {
        if items.len() == most {
            next = items.last().map(|last: &serde_json::Value| last["number"].clone());
            break;
        }
        items.push(as_json(&entry));
    }
    Ok(Json(json!({ "items": items, "next": next })))
}

async fn lines(
    State(store): State<AuditStore>,
    AskedQuery(query): AskedQuery<EntryQuery>,
) -> Result<Response, AuditProblem> {
    let entries = store.read(&query).await?;
    let body = written(entries, String::new(), |entry| format!("{}\n", as_json(entry)));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

async fn csv(
    State(store): State<AuditStore>,
    AskedQuery(query): AskedQuery<EntryQuery>,
) -> Result<Response, AuditProblem> {
    let entries = store.read(&query).await?;
    let body = written(entries, CSV_HEAD.to_owned(), as_csv);
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], body).into_response())
}

/// As entries are read, and no faster than somebody takes them. What breaks off is no whole answer.
fn written(entries: Entries, head: String, write: impl Fn(&crate::chain::Entry) -> String + Send + 'static) -> Body {
    let state = (entries, Some(head), write);
    Body::from_stream(unfold(Some(state), |state| async move {
        let (mut entries, head, write) = state?;
        if let Some(head) = head.filter(|head| !head.is_empty()) {
            return Some((Ok::<_, HostError>(head), Some((entries, None, write))));
        }
        match entries.next().await {
            Ok(Some(entry)) => Some((Ok(write(&entry)), Some((entries, None, write)))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    }))
}
