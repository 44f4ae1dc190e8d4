//! The values that a plugin keeps: listed, read, put and deleted by operators.

use crate::{
    admit::Visitor,
    ask::{NamedPlugin, OfPlugin, ValidQuery, bad},
    page::{cursor, length, place},
    state::{Control, ControlState},
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use camlock_api::{Page, ValueChangeView, ValueView};
use camlock_http::{Problem, seconds};
use camlock_policy::{AskError, AskErrorCode, KeptValues, ValueQuery, registry::Happened};
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_TYPE, ETAG, IF_MATCH},
};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::timeout;
use utoipa::IntoParams;

/// What this list's cursors are marked with.
const LIST: &str = "storage";
/// The largest value; what keeps it may take less.
const LARGEST: usize = 1 << 20;
/// How long a client may take to send it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which values are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ValuesQuery {
    /// Only those whose keys begin so.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    prefix: String,
    /// So many at most: from 1 to 500, and 50 if nothing is said.
    #[param(minimum = 1, maximum = 500, value_type = Option<usize>)]
    limit: Option<usize>,
    /// Where to go on: `next` of the page before.
    #[param(pattern = "^([0-9a-f]{2})+$")]
    cursor: Option<String>,
}

/// One value, for the document.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OneValue {
    /// The plugin's name.
    #[allow(dead_code, reason = "it is only described")]
    name: String,
    /// The value's key; a slash in it is `%2F`.
    key: String,
}

/// What a plugin keeps, by key.
#[utoipa::path(get, path = "/api/v1/plugins/{name}/storage", tag = "storage", operation_id = "values",
    params(OfPlugin, ValuesQuery), responses((status = 200, description = "In the order of their keys", body = Page<ValueView>)))]
pub(super) async fn list(
    State(control): ControlState,
    NamedPlugin(plugin): NamedPlugin,
    ValidQuery(wanted): ValidQuery<ValuesQuery>,
) -> Result<Json<Page<ValueView>>, Problem> {
    let after = place(LIST, wanted.cursor.as_deref())?;
    let query = ValueQuery { prefix: wanted.prefix, after, most: length(wanted.limit)? };
    let (entries, more) = kept(&control)?.list(&plugin.name, query).await.map_err(|why| problem(&plugin.name, &why))?;
    let next = entries.last().filter(|_| more).map(|last| cursor(LIST, &last.key));
    let items = entries.into_iter().map(|entry| ValueView {
        key: entry.key,
        revision: entry.revision,
        size: entry.size,
        expires: entry.expires.map(Into::into),
    });
    Ok(Json(Page { items: items.collect(), next }))
}

/// A value's bytes.
#[utoipa::path(get, path = "/api/v1/plugins/{name}/storage/{key}", tag = "storage", operation_id = "value", params(OneValue),
    responses(
    (status = 200, description = "The bytes; the revision is the `ETag`", body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 404, description = "There is no such value"),
))]
pub(super) async fn get(
    State(control): ControlState,
    NamedPlugin(plugin): NamedPlugin,
    Path(OneValue { key, .. }): Path<OneValue>,
) -> Result<Response, Problem> {
    let value = kept(&control)?.get(&plugin.name, &key).await.map_err(|why| problem(&plugin.name, &why))?;
    let (bytes, revision) = value.ok_or_else(|| nothing_kept(&plugin.name, &key))?;
    let headers = [(CONTENT_TYPE, "application/octet-stream".to_owned()), (ETAG, format!("\"{revision}\""))];
    Ok((headers, bytes).into_response())
}

/// Puts a value: the body's bytes.
#[utoipa::path(put, path = "/api/v1/plugins/{name}/storage/{key}", tag = "storage", operation_id = "put_value", params(OneValue),
    request_body(content = Option<Vec<u8>>, content_type = "application/octet-stream"), responses(
    (status = 200, description = "It is kept", body = ValueChangeView),
    (status = 412, description = "It has another revision by now"),
    (status = 413, description = "It is too large, or the plugin keeps as much as it may"),
))]
pub(super) async fn put(
    State(control): ControlState,
    visitor: Visitor,
    NamedPlugin(plugin): NamedPlugin,
    Path(OneValue { key, .. }): Path<OneValue>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ValueChangeView>, Problem> {
    let read = timeout(PATIENCE, Limited::new(body, LARGEST).collect()).await.map_err(|_| {
        let detail = format!("the body did not arrive within {}", seconds(PATIENCE));
        Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
    })?;
    let value = read.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            let detail = format!("the value is larger than the {LARGEST} bytes that are kept");
            return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail);
        }
        bad(format!("the body broke off: {error}"))
    })?;
    let condition = condition(&headers)?;
    let values = kept(&control)?;
    let put = values.set(&plugin.name, &key, Some(value.to_bytes()), condition).await;
    let revision = put.map_err(|why| problem(&plugin.name, &why))?;
    note(&control, &visitor, &plugin.name, "value-put", &key);
    Ok(Json(ValueChangeView { key, revision }))
}

/// Deletes a value.
#[utoipa::path(delete, path = "/api/v1/plugins/{name}/storage/{key}", tag = "storage", operation_id = "delete_value",
    params(OneValue), responses(
    (status = 200, description = "It is gone", body = ValueChangeView),
    (status = 404, description = "There is no such value"),
    (status = 412, description = "It has another revision by now"),
))]
pub(super) async fn delete(
    State(control): ControlState,
    visitor: Visitor,
    NamedPlugin(plugin): NamedPlugin,
    Path(OneValue { key, .. }): Path<OneValue>,
    headers: HeaderMap,
) -> Result<Json<ValueChangeView>, Problem> {
    let condition = condition(&headers)?;
    let deleted = kept(&control)?.set(&plugin.name, &key, None, condition).await;
    match deleted.map_err(|why| problem(&plugin.name, &why))? {
        0 => Err(nothing_kept(&plugin.name, &key)),
        revision => {
            note(&control, &visitor, &plugin.name, "value-deleted", &key);
            Ok(Json(ValueChangeView { key, revision }))
        }
    }
}

fn kept(control: &Control) -> Result<&Arc<dyn KeptValues>, Problem> {
    let none = || Problem::new(StatusCode::NOT_IMPLEMENTED, "this server keeps no values for plugins");
    control.options.values.as_ref().ok_or_else(none)
}

/// The revision that the value must have, if the request makes a condition.
fn condition(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(tag) = headers.get(IF_MATCH) else { return Ok(None) };
    let digits = tag.to_str().unwrap_or_default().trim();
    let digits = digits.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(digits);
    let told = || bad(format!("`If-Match: {digits}` is no revision: send a value's `ETag`"));
    digits.parse().map(Some).map_err(|_| told())
}

fn nothing_kept(name: &str, key: &str) -> Problem {
    Problem::of(name, StatusCode::NOT_FOUND, format!("`{name}` keeps nothing under {key:?}"))
}

/// What an error of what keeps something is for whoever asks over HTTP.
pub(super) fn problem(name: &str, error: &AskError) -> Problem {
    let status = match error.code {
        AskErrorCode::Denied => StatusCode::FORBIDDEN,
        AskErrorCode::Limit => StatusCode::PAYLOAD_TOO_LARGE,
        AskErrorCode::Conflict => StatusCode::PRECONDITION_FAILED,
        AskErrorCode::NotFound => StatusCode::NOT_FOUND,
        AskErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        AskErrorCode::Invalid => StatusCode::BAD_REQUEST,
    };
    let problem = Problem::of(name, status, error.message.as_str());
    if status == StatusCode::SERVICE_UNAVAILABLE { problem.passing() } else { problem }
}

fn note(control: &Control, visitor: &Visitor, plugin: &str, what: &'static str, key: &str) {
    (control.options.note)(Happened {
        plugin: Some(plugin.to_owned()),
        generation: None,
        what,
        by: visitor.by.clone(),
        detail: serde_json::json!({ "key": key }),
        at: SystemTime::now(),
    });
}
