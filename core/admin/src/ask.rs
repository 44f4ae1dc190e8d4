//! What a request says, read so that everything that is wrong with it is named: the name in its path, its query, its body, and
//! the condition that it makes.

use crate::state::Control;
use axum::{
    body::Body,
    extract::{FromRequestParts, Path, Query},
};
use bytes::Bytes;
use camlock_api::PluginView;
use camlock_http::{Problem, nothing_there, seconds};
use camlock_policy::LivePlugin;
use http::{HeaderMap, StatusCode, header::IF_MATCH, request::Parts};
use http_body_util::{BodyExt, Limited};
use serde::{Deserialize, de::DeserializeOwned};
use std::{sync::Arc, time::Duration};
use utoipa::IntoParams;

/// The largest body that is read into memory.
const LARGEST: usize = 64 * 1024;
/// How long a client may take to send it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The plugin whose name is in the path.
pub(super) struct NamedPlugin(pub(super) Arc<LivePlugin>);

impl FromRequestParts<Arc<Control>> for NamedPlugin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> Result<Self, Problem> {
        // What is no UTF-8 is no plugin's name.
        let path = Path::<OfPlugin>::from_request_parts(parts, control).await;
        let Path(OfPlugin { name }) = path.map_err(|_| nothing_there(parts.uri.path()))?;
        control.manager.plugin(&name).map(NamedPlugin).ok_or_else(|| unknown(&name))
    }
}

pub(super) fn unknown(name: &str) -> Problem {
    Problem::of(name, StatusCode::NOT_FOUND, format!("there is no plugin `{name}`"))
}

/// Which plugin a path is about, whatever else stands in it.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfPlugin {
    /// The plugin's name.
    name: String,
}

/// The condition that a request may make, for the document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "it is only described")]
pub(super) struct OnCondition {
    /// Only if this is the plugin's revision: its `ETag`.
    #[param(rename = "if-match", pattern = "^([*]|[0-9]{1,19}|\"[0-9]{1,19}\")$")]
    if_match: Option<String>,
}

/// What stands behind the path.
pub(super) struct ValidQuery<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for ValidQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        if !parts.uri.query().is_none_or(is_text) {
            return Err(bad("the query is not understood: it is not UTF-8"));
        }
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(asked)) => Ok(ValidQuery(asked)),
            Err(rejection) => {
                let told = rejection.body_text();
                let why = told.strip_prefix("Failed to deserialize query string: ").unwrap_or(&told);
                Err(bad(format!("the query is not understood: {why}")))
            }
        }
    }
}

/// What is wrong with a request.
pub(super) fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

/// Whether a query is UTF-8 once it is decoded.
fn is_text(query: &str) -> bool {
    let mut bytes = Vec::with_capacity(query.len());
    let mut rest = query.as_bytes();
    while let [first, tail @ ..] = rest {
        let decoded = (*first == b'%').then(|| tail.get(..2)).flatten();
        let decoded = decoded.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() { &tail[2..] } else { tail };
    }
    std::str::from_utf8(&bytes).is_ok()
}

/// The body as JSON. None at all says nothing.
pub(super) async fn read<B: DeserializeOwned + Default>(body: Body) -> Result<B, Problem> {
    let bytes = whole(body, LARGEST).await?;
    if bytes.is_empty() { Ok(B::default()) } else { parse(&bytes) }
}

/// The body as JSON. There must be one.
pub(super) async fn read_some<B: DeserializeOwned>(body: Body) -> Result<B, Problem> {
    read_up_to(body, LARGEST).await
}

/// The same, of a body that may be as large as this.
pub(super) async fn read_up_to<B: DeserializeOwned>(body: Body, largest: usize) -> Result<B, Problem> {
    let bytes = whole(body, largest).await?;
    if bytes.is_empty() {
        return Err(bad("the body is empty, and a JSON object is asked for"));
    }
    parse(&bytes)
}

async fn whole(body: Body, largest: usize) -> Result<Vec<u8>, Problem> {
    Ok(raw(body, largest).await?.trim_ascii().to_vec())
}

/// The body as it came.
pub(super) async fn raw(body: Body, largest: usize) -> Result<Bytes, Problem> {
    let read = tokio::time::timeout(PATIENCE, Limited::new(body, largest).collect()).await.map_err(|_| {
        let detail = format!("the body did not arrive within {}", seconds(PATIENCE));
        Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
    })?;
    let bytes = read.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            let detail = format!("the body is larger than the {largest} bytes that are read");
            return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail);
        }
        bad(format!("the body broke off: {error}"))
    })?;
    Ok(bytes.to_bytes())
}

/// A JSON object.
pub(super) fn parse<B: DeserializeOwned>(bytes: &[u8]) -> Result<B, Problem> {
    // A list would do as well, otherwise: its values would be taken in order.
    if !bytes.starts_with(b"{") {
        return Err(bad("the body is not understood: it is no JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let place = error.path().to_string();
        let error = error.into_inner();
        // What stands in an unknown field, or in no field at all, has no place worth telling.
        if place == "." || place == "?" || error.to_string().contains(&format!("`{place}`")) {
            error.to_string()
        } else {
            format!("{place}: {error}")
        }
    });
    parsed
        .and_then(|parsed| json.end().map(|()| parsed).map_err(|error| error.to_string()))
        .map_err(|why| bad(format!("the body is not understood: {why}")))
}

/// The revision that the plugin must have (`If-Match`), if the request makes a condition. Of several the one that it has
/// counts.
pub(super) fn condition(headers: &HeaderMap, plugin: &PluginView) -> Result<Option<u64>, Problem> {
    let mut revisions = Vec::new();
    for value in headers.get_all(IF_MATCH) {
        for tag in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if tag == b"*" {
                return Ok(None);
            }
            let digits = tag.strip_prefix(b"\"").and_then(|tag| tag.strip_suffix(b"\"")).unwrap_or(tag);
            let number = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            revisions.push(number.and_then(|text| text.parse().ok()).ok_or_else(|| {
                bad(format!("`If-Match: {}` is no revision: send a plugin's `ETag`", String::from_utf8_lossy(tag)))
            })?);
        }
    }
    Ok(revisions.iter().find(|revision| **revision == plugin.revision).or(revisions.first()).copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::tests::view;

    #[test]
    fn a_condition_is_one_revision() {
        // The plugin's is 12.
        for (values, expected) in [
            (&[][..], Ok(None)),
            (&["\"12\""], Ok(Some(12))),
            (&["12"], Ok(Some(12))),
            (&[" \"7\""], Ok(Some(7))),
            (&["*"], Ok(None)),
            (&["\"7\", \"12\""], Ok(Some(12))),
            (&["\"7\"", "\"12\""], Ok(Some(12))),
            (&["\"7\", \"8\""], Ok(Some(7))),
            (&[""], Err(())),
            (&["abc"], Err(())),
            (&["-1"], Err(())),
            (&["+1"], Err(())),
            (&["W/\"12\""], Err(())),
            (&["\"12"], Err(())),
            (&["99999999999999999999"], Err(())),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(values.iter().map(|value| (IF_MATCH, value.parse().unwrap())));
            assert_eq!(condition(&headers, &view()).map_err(|_| ()), expected, "{values:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_seen() {
        for (query, expected) in
            [("q=a%20b", true), ("q=%C3%A4", true), ("q=%ff", false), ("q=%C3", false), ("q=%zz%", true), ("", true)]
        {
            assert_eq!(is_text(query), expected, "{query}");
        }
    }
}
