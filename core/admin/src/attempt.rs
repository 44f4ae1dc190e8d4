//! Endpoints that are tried: the server makes the request, and what comes of it is told as text. What must not live here: who may.
//!
//! The plugin sees a request like any other, without what whoever tries it has shown: no token and no cookie of theirs.

use crate::{
    ask::{NamedPlugin, OfPlugin, bad, read_up_to},
    state::ControlState,
};
use axum::{Json, body::Body, extract::State};
use camlock_http::{Problem, seconds};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::time::timeout;
use tower_service::Service;
use utoipa::ToSchema;

/// So much of an answer is shown.
const SHOWN: usize = 256 << 10;
/// The largest request that is read.
const LARGEST: usize = 1 << 20;
/// A stream is looked at for so long.
const PATIENCE: Duration = Duration::from_secs(35);

/// A request to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AttemptRequest {
    #[serde(default = "get")]
    method: String,
    /// One of the plugin's own, with a query if need be.
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
}

fn get() -> String {
    "GET".to_owned()
}

/// What came of it.
#[derive(Serialize, ToSchema)]
pub(super) struct AttemptView {
    status: u16,
    /// In their order.
    headers: Vec<(String, String)>,
    /// As text: what is no UTF-8 is replaced.
    body: String,
    /// Whether there was more than is shown.
    cut: bool,
    milliseconds: f64,
}

/// Makes a request to a plugin, and tells what comes of it.
#[utoipa::path(post, path = "/api/v1/plugins/{name}/try", tag = "acts", operation_id = "try", request_body = AttemptRequest,
    params(OfPlugin), responses(
    (status = 200, description = "It answered, whatever it said", body = AttemptView),
    (status = 400, description = "The path is not the plugin's, or this is no request"),
    (status = 504, description = "It did not answer in time"),
))]
pub(super) async fn attempt(
    State(control): ControlState,
    NamedPlugin(plugin): NamedPlugin,
    body: Body,
) -> Result<Json<AttemptView>, Problem> {
    let AttemptRequest { method, path, headers, body } = read_up_to(body, LARGEST).await?;
    let below = path.split(['?', '#']).next().unwrap_or_default();
    if !plugin.urls.iter().any(|url| belongs(below, url)) {
        return Err(bad(format!(
            "`{below}` is not a path of `{}`: they begin with {}",
            plugin.name,
            plugin.urls.join(", ")
        )));
    }
    let method: Method = method.parse().map_err(|_| bad(format!("`{method}` is no method")))?;
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().map_err(|error| bad(format!("`{path}` is no path: {error}")))?;
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
    for (name, value) in headers {
        let name: HeaderName = name.parse().map_err(|_| bad(format!("`{name}` is no header's name")))?;
        let value = value.parse().map_err(|_| bad(format!("`{name}` has a value that no header has")))?;
        request.headers_mut().insert(name, value);
    }
    let Some(mut dispatch) = control.options.plugins.as_ref().and_then(|plugins| plugins.upgrade()) else {
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "this server tries no endpoints"));
    };
    let begun = Instant::now();
    let too_late = |_| {
        let detail = format!("no whole answer came within {}", seconds(PATIENCE));
        Problem::of(&plugin.name, StatusCode::GATEWAY_TIMEOUT, detail)
    };
    let Ok(response) = timeout(PATIENCE, Service::call(&mut dispatch, request)).await.map_err(too_late)?;
    let (parts, mut body) = response.into_parts();
    let (mut bytes, mut cut) = (Vec::new(), false);
    // A stream that goes on is shown as far as it came.
    let whole = timeout(Duration::from_secs(3), async {
        while let Some(Ok(frame)) = body.frame().await {
            bytes.extend(frame.data_ref().into_iter().flatten());
            if bytes.len() > SHOWN {
                return false;
            }
        }
        true
    });
    cut |= !whole.await.unwrap_or(false);
    bytes.truncate(SHOWN);
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Ok(Json(AttemptView {
        status: parts.status.as_u16(),
        headers: parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: String::from_utf8_lossy(&bytes).into_owned(),
        cut,
        milliseconds: (begun.elapsed().as_secs_f64() * 1e6).round() / 1e3,
    }))
}

/// Whether a path lies at or below one of a plugin's URLs.
fn belongs(path: &str, url: &str) -> bool {
    let stem = url.trim_end_matches('/');
    path.strip_prefix(stem).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        && !path.split('/').any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use super::belongs;

    #[test]
    fn only_the_plugins_own_paths_are_tried() {
        for (path, url, expected) in [
            ("/api/v1/p/hello/hello", "/api/v1/p/hello/", true),
            ("/api/v1/p/hello", "/api/v1/p/hello/", true),
            ("/api/v1/p/hellos/x", "/api/v1/p/hello/", false),
            ("/api/v1/p/hello/../other/x", "/api/v1/p/hello/", false),
            ("/api/v1/tokens", "/api/v1/p/hello/", false),
            ("/hello", "/hello", true),
            ("/helloo", "/hello", false),
        ] {
            assert_eq!(belongs(path, url), expected, "{path} {url}");
        }
    }
}
