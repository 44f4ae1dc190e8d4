//! What stands at `/` where no plugin has claimed it: for people what is served and where the page is, for machines the same as
//! JSON. What must not live here: the page itself, which has a listener of its own.

use crate::{admit::Visitor, state::ControlState};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS},
};
use serde::Serialize;
use std::fmt::Write as _;
use utoipa::ToSchema;

/// Nothing is run here, and nothing is fetched.
const POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What this server is, for machines.
#[derive(Serialize, ToSchema)]
pub(super) struct Welcome {
    name: &'static str,
    version: String,
    /// Where the page is. For who is on this machine, or shows a token.
    #[schema(required)]
    page: Option<String>,
    /// What serves, with where it is reached.
    plugins: Vec<WelcomePlugin>,
    /// Where more stands.
    links: [&'static str; 4],
}

/// A plugin that serves.
#[derive(Serialize, ToSchema)]
pub(super) struct WelcomePlugin {
    name: String,
    version: String,
    urls: Vec<String>,
}

/// What is served here.
#[utoipa::path(get, path = "/", tag = "plugins", operation_id = "welcome", responses(
    (status = 200, description = "What is served, and where more stands",
        content((Welcome = "application/json"), (String = "text/html; charset=utf-8"))),
))]
pub(super) async fn welcome(State(control): ControlState, visitor: Visitor, headers: HeaderMap) -> Response {
    let overview = control.manager.overview();
    let plugins = overview.plugins.iter().filter(|plugin| plugin.serving.is_some()).map(|plugin| WelcomePlugin {
        name: plugin.name.clone(),
        version: plugin.version.clone(),
        urls: plugin.urls.clone(),
    });
    let page = control.options.page.as_ref().filter(|_| visitor.role.is_some()).map(|page| page.url().to_owned());
    let welcome = Welcome {
        name: "camlock",
        version: control.options.about.version.clone(),
        page,
        plugins: plugins.collect(),
        links: ["/plugins", "/docs", "/openapi.json", "/_/health"],
    };
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let for_people = accepts.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with("text/html"));
    let common = [(CACHE_CONTROL, "no-cache"), (VARY, "accept"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    if !for_people {
        return (common, Json(welcome)).into_response();
    }
    let policy = [(CONTENT_SECURITY_POLICY, POLICY), (CONTENT_TYPE, "text/html; charset=utf-8")];
    (common, policy, in_html(&welcome)).into_response()
}

fn in_html(welcome: &Welcome) -> String {
    let mut text = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
                    content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\">\
                    <title>Camlock</title><main><h1>Camlock</h1>"
        .to_owned();
    let _ = write!(text, "<p>A plugin server, version {}.", escaped(&welcome.version));
    if let Some(page) = &welcome.page {
        let page = escaped(page);
        let _ = write!(
            text,
            " Operators see and steer it at <a href=\"{page}/\">{page}</a>; <code>camlock page</code> opens that."
        );
    }
    text.push_str("</p><h2>What serves</h2>");
    if welcome.plugins.is_empty() {
        text.push_str("<p>No plugin serves now.</p>");
    }
    text.push_str("<ul>");
    for plugin in &welcome.plugins {
        let _ = write!(text, "<li>{} {}", escaped(&plugin.name), escaped(&plugin.version));
        for url in &plugin.urls {
            let url = escaped(url);
            let _ = write!(text, " <a href=\"{url}\">{url}</a>");
        }
        text.push_str("</li>");
    }
    text.push_str("</ul><h2>More</h2><ul>");
    for link in welcome.links {
        let _ = write!(text, "<li><a href=\"{link}\">{link}</a></li>");
    }
    text.push_str("</ul></main></html>");
    text
}

/// Text as it stands in HTML, between tags or in quotes.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut all, character| {
        match character {
            '&' => all.push_str("&amp;"),
            '<' => all.push_str("&lt;"),
            '>' => all.push_str("&gt;"),
            '"' => all.push_str("&quot;"),
            other => all.push(other),
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_it_is_markup_but_ours() {
        let hostile = "\"><script>alert(1)</script>";
        let plugin = WelcomePlugin { name: "a".into(), version: hostile.into(), urls: vec![hostile.into()] };
        let welcome =
            Welcome { name: "camlock", version: hostile.into(), page: None, plugins: vec![plugin], links: ["/"; 4] };
        let text = in_html(&welcome);
        assert!(!text.contains("<script") && text.contains("&quot;&gt;&lt;script&gt;"), "{text}");
    }
}
