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
        return frame(&format!("{host}{FILES}{plugin}/{digest}/"), host, &ancestors(plugin, host));
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

/// On this machine each plugin's frames have a host of their own, `PLUGIN.localhost`: browsers give it a process of its own, so that one
/// that loops holds up no other. This is where such hosts are let in by the page, as a part of its policy.
pub(crate) fn frame_hosts(host: &str) -> String {
    match host.rsplit_once(':').map_or((host, ""), |(name, port)| (name, port)) {
        ("127.0.0.1" | "localhost", "") => format!(" *.localhost{FRAMES}"),
        ("127.0.0.1" | "localhost", port) => format!(" *.localhost:{port}{FRAMES}"),
        _ => String::new(),
    }
}

/// Which documents a plugin's frame may stand in: the page's, also where the frame has a host of its own.
fn ancestors(plugin: &str, host: &str) -> String {
    match host.strip_prefix(plugin).and_then(|rest| rest.strip_prefix(".localhost")) {
        Some(port) => format!("'self' 127.0.0.1{port} localhost{port}"),
        None => "'self'".to_owned(),
    }
}

/// The document of a frame: its own script, and the files of one plugin's one version.
fn frame(files: &str, host: &str, ancestors: &str) -> Response {
    let own = format!("{host}/{}/", tree());
    let policy = format!(
        "sandbox allow-scripts; default-src 'none'; script-src {own}frame.js {files}; style-src {own}frame.css {files} 'unsafe-inline'; \
         img-src {files} data:; connect-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_hosts_of_their_own_on_this_machine_alone() {
        for (host, expected) in [
            ("127.0.0.1:8081", " *.localhost:8081/frame/"),
            ("localhost", " *.localhost/frame/"),
            ("page.example.com:8081", ""),
            ("me.localhost:8081", ""),
            ("[::1]:8081", ""),
        ] {
            assert_eq!(frame_hosts(host), expected, "{host}");
        }
        for (host, expected) in [
            ("clock.localhost:8081", "'self' 127.0.0.1:8081 localhost:8081"),
            ("clock.localhost", "'self' 127.0.0.1 localhost"),
            ("other.localhost:8081", "'self'"),
            ("127.0.0.1:8081", "'self'"),
            ("page.example.com", "'self'"),
        ] {
            assert_eq!(ancestors("clock", host), expected, "{host}");
        }
    }
}
