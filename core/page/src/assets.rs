//! The page's files, as they are compiled in, and what they are sent with. What must not live here: who may have them, which is
//! anybody: nothing of the server's state is in them.
//!
//! All but the first lie below the hash of all of them, and may be kept for good: another program has another hash.

use crate::extensions::{FILES as FILES_OF_PLUGINS, frame_hosts};
use axum::response::{IntoResponse, Response};
use camlock_api::Digest;
use flate2::{Compression, write::GzEncoder};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response as HttpResponse,
    header::{
        ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
        CONTENT_TYPE, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};
use std::{io::Write, sync::LazyLock};

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What the page may do: run its own scripts and those of trusted plugins, which are named by their place, for other plugins' files lie
/// on this listener too; ask its own server; hold frames for plugins' parts; and nothing else. No text ever becomes markup.
///
/// A plugin is named, and not its digest: a document's policy cannot be changed, and the next version is to come into a page that is
/// open. Only the files of what serves are sent.
fn policy(host: &str, trusted: &[String]) -> String {
    let mut own = format!("{host}/{}/", tree());
    for plugin in trusted {
        own += &format!(" {host}{FILES_OF_PLUGINS}{plugin}/");
    }
    let frames = frame_hosts(host);
    format!(
        "default-src 'none'; script-src {own}; style-src {own}; connect-src 'self'; img-src {own}; frame-src {host}/frame/{frames}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
}

/// What is sent with what is no document of the page.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        /// Each with its path below `web/`.
        const FILES: &[(&str, &str)] = &[$(($path, include_str!(concat!("../web/", $path)))),*];
    };
}

files![
    "app.js",
    "api.js",
    "catalogs.js",
    "advice.js",
    "clean.js",
    "dialogs.js",
    "asks.js",
    "dom.js",
    "form.js",
    "extensions.js",
    "found.js",
    "frame.css",
    "framed.js",
    "frame.js",
    "icon.svg",
    "inside.js",
    "layout.js",
    "lazy.js",
    "live.js",
    "markdown.js",
    "menu.js",
    "messages.js",
    "offers.js",
    "palette.js",
    "parts.js",
    "planned.js",
    "plot.js",
    "rights.js",
    "router.js",
    "schema.js",
    "session.js",
    "store.js",
    "style.css",
    "themes.js",
    "views/analytics.js",
    "views/browse.js",
    "views/catalog.js",
    "views/configuration.js",
    "views/dashboard.js",
    "views/doctor.js",
    "views/events.js",
    "views/executions.js",
    "views/grants.js",
    "views/history.js",
    "views/install.js",
    "views/logs.js",
    "views/nodes.js",
    "views/offer.js",
    "views/overview.js",
    "views/page.js",
    "views/plugin.js",
    "views/problems.js",
    "views/sources.js",
    "views/subscriptions.js",
    "views/tasks.js",
    "views/tokens.js",
    "views/try.js",
    "views/updates.js",
    "views/values.js",
];

const INDEX: &str = include_str!("../web/index.html");

/// The hash of all files, in short.
static TREE: LazyLock<String> = LazyLock::new(|| {
    let mut all = INDEX.to_owned();
    for (path, text) in FILES {
        all.push_str(path);
        all.push_str(text);
    }
    Digest::of(all.as_bytes()).to_string()["sha256:".len()..][..16].to_owned()
});

/// Below which all files but the first lie.
pub(crate) fn tree() -> &'static str {
    &TREE
}

/// What is sent with everything on this listener, unless it says itself who may have it, and who may frame it.
pub(crate) fn protect(response: &mut HttpResponse<axum::body::Body>) {
    let headers = response.headers_mut();
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(NOTHING));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(RESOURCE_POLICY).or_insert(HeaderValue::from_static("same-origin"));
}

/// The page's one document, for whoever calls this server so.
pub(crate) fn index(host: &str, trusted: &[String]) -> Response {
    let policy = HeaderValue::from_str(&policy(host, trusted)).unwrap_or(HeaderValue::from_static(NOTHING));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (CONTENT_SECURITY_POLICY, policy),
    ];
    (headers, INDEX.replace("{tree}", &TREE).replace("{trusted}", &trusted.join(" "))).into_response()
}

/// Each file as it is sent to whoever takes gzip, which is everybody with a browser. They are packed once.
static PACKED: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| FILES.iter().map(|(_, text)| packed(text).unwrap_or_default()).collect());

fn packed(text: &str) -> std::io::Result<Vec<u8>> {
    let mut packing = GzEncoder::new(Vec::new(), Compression::best());
    packing.write_all(text.as_bytes())?;
    packing.finish()
}

/// Whether a client takes gzip.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let words = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    words.flat_map(|value| value.split(',')).any(|word| {
        let (name, quality) = word.split_once(';').unwrap_or((word, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(quality.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    })
}

/// A file, if this is the path of one.
pub(crate) fn file(path: &str, asked: &HeaderMap) -> Option<Response> {
    let below = path.strip_prefix('/')?.strip_prefix(TREE.as_str())?.strip_prefix('/')?;
    let at = FILES.iter().position(|(name, _)| *name == below)?;
    let (name, text) = FILES[at];
    let kind = match name.rsplit_once('.')?.1 {
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "text/javascript; charset=utf-8",
    };
    let headers =
        [(CONTENT_TYPE, kind), (CACHE_CONTROL, "public, max-age=31536000, immutable"), (VARY, "accept-encoding")];
    let mut response = match takes_gzip(asked) {
        true => (headers, [(CONTENT_ENCODING, "gzip")], PACKED[at].as_slice()).into_response(),
        false => (headers, text).into_response(),
    };
    // Frames have no origin, and these two are theirs.
    if name.starts_with("frame.") {
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        response.headers_mut().insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, fs, path::Path};

    #[test]
    fn every_file_of_the_page_is_compiled_in() {
        let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let mut there: Vec<String> = Vec::new();
        for folder in ["", "views/"] {
            for entry in fs::read_dir(web.join(folder)).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_file() {
                    there.push(format!("{folder}{}", entry.file_name().to_str().unwrap()));
                }
            }
        }
        there.retain(|name| !name.ends_with(".html"));
        there.sort();
        let mut known: Vec<_> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        known.sort();
        assert_eq!(there, known);
        let weight: usize = FILES.iter().map(|(_, text)| text.len()).sum();
        assert!(weight < 300_000, "{weight} bytes");
    }

    #[test]
    fn files_are_packed_for_whoever_takes_that() {
        for (asked, expected) in
            [("gzip", true), ("br, GZIP;q=0.5", true), ("gzip;q=0", false), ("identity", false), ("x-gzip", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(asked));
            let response = file(&format!("/{}/app.js", *TREE), &headers).unwrap();
            assert_eq!(response.headers().contains_key(CONTENT_ENCODING), expected, "{asked}");
            assert_eq!(response.headers()[VARY], "accept-encoding");
        }
    }

    /// What a module brings with it: paths below `web/`.
    fn brought(path: &str) -> Vec<String> {
        let (_, text) = FILES.iter().find(|(name, _)| *name == path).unwrap_or_else(|| panic!("there is no {path}"));
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let imports = text.lines().filter(|line| line.starts_with("import "));
        let named = imports.filter_map(|line| line.split_once(" from '")?.1.strip_suffix("';"));
        named
            .map(|named| match named.strip_prefix("../") {
                Some(above) => above.to_owned(),
                None if folder.is_empty() => named[2..].to_owned(),
                None => format!("{folder}/{}", &named[2..]),
            })
            .collect()
    }

    #[test]
    fn a_first_visit_brings_little() {
        let mut wanted = vec!["app.js".to_owned()];
        let mut first = BTreeSet::from(["style.css".to_owned(), "icon.svg".to_owned()]);
        while let Some(path) = wanted.pop() {
            if first.insert(path.clone()) {
                wanted.extend(brought(&path));
            }
        }
        let packed = FILES.iter().zip(PACKED.iter()).filter(|((name, _), _)| first.contains(*name));
        let weight: usize = packed.map(|(_, packed)| packed.len()).sum();
        assert!((20_000..60_000).contains(&weight), "{weight} bytes");
        assert!((15..40).contains(&first.len()), "{first:?}");
        assert!(!first.contains("views/tokens.js") && first.contains("views/overview.js"), "{first:?}");
    }

    #[test]
    fn scripts_are_the_pages_own_and_those_of_trusted_plugins() {
        let own = format!("h:1/{}/", *TREE);
        assert!(
            policy("h:1", &[])
                .contains(&format!("script-src {own}; style-src {own}; connect-src 'self'; img-src {own};"))
        );
        let trusted = policy("h:1", &["clock".to_owned()]);
        assert!(trusted.contains(&format!("script-src {own} h:1/ext/clock/; style-src")), "{trusted}");
        assert!(!trusted.contains("script-src 'self'"));
    }

    #[test]
    fn files_lie_below_their_hash_and_no_text_becomes_markup() {
        let tree = TREE.as_str();
        let none = HeaderMap::new();
        assert!(file(&format!("/{tree}/app.js"), &none).is_some());
        for path in ["/app.js", "/0000000000000000/app.js", &format!("/{tree}/../Cargo.toml"), &format!("/{tree}/")] {
            assert!(file(path, &none).is_none(), "{path}");
        }
        for (name, text) in FILES.iter().filter(|(name, _)| name.ends_with(".js")) {
            for sink in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
                assert!(!text.contains(sink), "{name} has {sink}");
            }
            // This one is a name and no address.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http://") && !text.contains("https://"), "{name} names another host");
        }
    }
}
