//! What plugins bring to the page: their files, and the documents of the frames in which their modules run. What must not live here:
//! which plugins bring what.
//!
//! A frame has no origin: it reaches neither the page's document nor its session, and fetches nothing. A file of a plugin's opened as a
//! document of its own would have the page's origin, so it is sent to nobody who opens it as one, and with a policy that takes its origin away.

use crate::assets::tree;
use axum::response::{IntoResponse, Response};
use camlock_http::{Problem, nothing_there};
use camlock_policy::UiFile;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
};
use std::sync::Arc;

/// The files of a plugin whose code with that digest serves.
pub type ExtensionFiles = Arc<dyn Fn(&str, &str) -> Option<Arc<[UiFile]>> + Send + Sync>;

/// The plugins whose modules run in the page itself.
pub type TrustedPlugins = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// Below this are files, and below the other frames' documents.
pub(crate) const FILES: &str = "/ext/";
const FRAMES: &str = "/frame/";
const FRAME: &str = include_str!("../web/frame.html");
const DESTINATION: &str = "sec-fetch-dest";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Whether a path is one of these.
pub(crate) fn is_extension(path: &str) -> bool {
    path.starts_with(FILES) || path.starts_with(FRAMES)
}

/// A file or a frame's document. `host`: what this server was called, and on which port.
pub(crate) fn answer(path: &str, headers: &HeaderMap, host: &str, files: &ExtensionFiles) -> Response {
    let below = path.strip_prefix(FILES).or_else(|| path.strip_prefix(FRAMES)).unwrap_or_default();
    let mut parts = below.splitn(3, '/');
    let (plugin, digest, name) = (parts.next(), parts.next(), parts.next());
    let (Some(plugin), Some(digest), Some(name)) = (plugin, digest, name) else {
        return nothing_there(path).into_response();
    };
    let Some(files) = files(plugin, digest) else {
        let detail = "no code of that digest serves, or it brings nothing to the page";
        return Problem::new(StatusCode::NOT_FOUND, detail).into_response();
    };
    let destination = headers.get(DESTINATION).map(HeaderValue::as_bytes);
    if path.starts_with(FRAMES) {
        if !name.is_empty() {
            return nothing_there(path).into_response();
        }
        if destination.is_some_and(|destination| destination != b"iframe") {
            return Problem::new(StatusCode::FORBIDDEN, "this is for frames of the page").into_response();
        }
        return frame(&format!("{host}{FILES}{plugin}/{digest}/"), host);
    }
    if destination.is_some_and(|destination| !matches!(destination, b"script" | b"style" | b"image")) {
        let detail = "files of plugins are sent as scripts, styles and images alone";
        return Problem::new(StatusCode::FORBIDDEN, detail).into_response();
    }
    match files.iter().find(|file| file.path == name) {
        Some(file) => sent(file),
        None => nothing_there(path).into_response(),
    }
}

fn sent(file: &UiFile) -> Response {
    let headers = [
        (CONTENT_TYPE, file.kind),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (CONTENT_SECURITY_POLICY, "sandbox allow-scripts; frame-ancestors 'self'"),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (RESOURCE_POLICY, "cross-origin"),
    ];
    (headers, file.content.to_vec()).into_response()
}

/// The document of a frame: its own script, and the files of one plugin's one version.
fn frame(files: &str, host: &str) -> Response {
    let own = format!("{host}/{}/", tree());
    let policy = format!(
        "sandbox allow-scripts; default-src 'none'; script-src {own}frame.js {files}; style-src {own}frame.css {files} 'unsafe-inline'; \
         img-src {files} data:; connect-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    );
    let Ok(policy) = HeaderValue::from_str(&policy) else {
        return Problem::new(StatusCode::BAD_REQUEST, "the host is not understood").into_response();
    };
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (CONTENT_SECURITY_POLICY, policy),
    ];
    (headers, FRAME.replace("{tree}", tree())).into_response()
}
