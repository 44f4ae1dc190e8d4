//! What describes the server: its OpenAPI document with the plugins' own, the page that shows it, and metrics.

use crate::{
    admin::{ADMIN, Admin, live, view},
    fake::{Fake, text_answer},
};
use camlock_policy::{Fault, FaultKind, LivePlugin, PluginView, Publish, RequestLimits};
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use std::{collections::HashSet, sync::Arc, time::Duration};

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// A plugin's document that has one of everything that could clash.
fn documented(name: &str, title: &str) -> LivePlugin {
    let document = json!({
        "openapi": "3.1.0",
        "info": { "title": title, "version": "1" },
        "paths": { "/users/{id}": { "get": {
            "operationId": "list",
            "parameters": [{ "$ref": "#/components/parameters/Id" }],
            "security": [{ "token": [] }],
            "responses": { "200": { "description": "A user", "content": { "application/json": {
                "schema": { "$ref": "#/components/schemas/Plugin" },
            } } } },
        } } },
        "components": {
            "schemas": { "Plugin": { "type": "object", "properties": { "title": { "const": title } } }, "Problem": {} },
            "parameters": { "Id": { "name": "id", "in": "path", "required": true, "schema": { "type": "string" } } },
            "securitySchemes": { "token": { "type": "apiKey", "in": "header", "name": "x-key" } },
        },
    });
    described(name, &document.to_string())
}

/// A plugin with this document.
fn described(name: &str, document: &str) -> LivePlugin {
    let mut plugin = live(view(name));
    plugin.openapi = Some(document.into());
    plugin
}

/// Everything that makes a document whole: references lead somewhere, names are unique and fit, operations are complete.
fn check(document: &Value) {
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let mut ids = HashSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        assert!(path.starts_with('/'), "{path}");
        for method in METHODS.iter().filter(|method| item.get(**method).is_some()) {
            let operation = &item[*method];
            let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} has no name"));
            assert!(ids.insert(id), "{id} twice");
            assert!(!operation["responses"].as_object().unwrap().is_empty(), "{method} {path}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(response["description"].is_string(), "{method} {path} {status}");
            }
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let parameters: Vec<_> = parameters.map(|parameter| resolve(document, parameter)).collect();
            for part in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
                let in_path = |one: &&&Value| one["in"] == "path" && one["name"] == part;
                let found = parameters.iter().find(in_path).unwrap_or_else(|| panic!("{path}: {part}"));
                assert_eq!(found["required"], true, "{path}: {part}");
            }
            for parameter in parameters {
                let sort = &parameter["schema"]["type"];
                assert!(sort.is_string(), "{method} {path}: {parameter}");
            }
            for asked in operation["security"].as_array().into_iter().flatten() {
                for name in asked.as_object().unwrap().keys() {
                    assert!(document["components"]["securitySchemes"].get(name).is_some(), "{path}: {name}");
                }
            }
        }
    }
    for (_, named) in document["components"].as_object().unwrap() {
        let fit = |name: &String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        assert!(named.as_object().unwrap().keys().all(fit), "{named}");
    }
    references(document, document);
}

fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(place) => document.pointer(&place[1..]).unwrap_or_else(|| panic!("{place} leads nowhere")),
        None => value,
    }
}

fn references(document: &Value, value: &Value) {
    match value {
        Value::Object(map) => {
            if map.get("$ref").is_some_and(Value::is_string) {
                resolve(document, value);
            }
            map.values().for_each(|value| references(document, value));
        }
        Value::Array(values) => values.iter().for_each(|value| references(document, value)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_is_whole_with_and_without_plugins() {
    let admin = Admin::start().await;
    let alone = admin.get("/openapi.json").await;
    check(&alone);
    assert_eq!(alone["paths"].get("/api/v1/p/hello/users/{id}"), None);
    let reload = &alone["paths"]["/api/v1/plugins/{name}/reload"]["post"];
    assert_eq!(
        reload["responses"]["401"]["content"]["application/problem+json"]["schema"]["$ref"],
        "#/components/schemas/Problem"
    );
    assert!(reload["responses"].get("default").is_some());
    assert!(reload["description"].as_str().unwrap().contains("Least role: `operator`"));
    let broken = described("torn", "{");
    admin.show_live([documented("hello", "one"), documented("kv-store", "two"), broken]);
    let merged = admin.get("/openapi.json").await;
    check(&merged);
    for (plugin, title) in [("hello", "one"), ("kv-store", "two")] {
        let operation = &merged["paths"][format!("/api/v1/p/{plugin}/users/{{id}}")]["get"];
        let schema = resolve(&merged, &operation["responses"]["200"]["content"]["application/json"]["schema"]);
        assert_eq!(schema["properties"]["title"]["const"], title);
        assert_eq!(operation["security"], json!([{ format!("{plugin}.token"): [] }]));
    }
    let own = |document: &Value| document["components"]["schemas"]["Plugin"].clone();
    assert!(own(&alone).is_object());
    assert_eq!(own(&merged), own(&alone));
    assert!(merged["x-left-out"]["torn"].as_str().unwrap().starts_with("it is no JSON"));
}

#[tokio::test]
async fn the_document_is_merged_anew_only_when_it_changes() {
    let admin = Admin::start().await;
    let ask = async |tag: Option<&str>| {
        let mut request = Request::get("/openapi.json").body(Full::<bytes::Bytes>::default()).unwrap();
        if let Some(tag) = tag {
            request.headers_mut().insert("if-none-match", tag.parse().unwrap());
        }
        let answer = admin.server.send(request).await;
        (answer.status().as_u16(), answer.headers()["etag"].to_str().unwrap().to_owned())
    };
    let (_, first) = ask(None).await;
    // Another state changes no document.
    admin.show([PluginView { enabled: false, ..view("hello") }]);
    assert_eq!(ask(Some(&first)).await, (304, first.clone()));
    admin.show_live([documented("hello", "one")]);
    let (status, second) = ask(Some(&first)).await;
    assert!(status == 200 && second != first);
    admin.show([view("hello")]);
    assert_eq!(ask(Some(&second)).await, (200, first));
}

/// All that it needs it has from this server.
#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let admin = Admin::start().await;
    for (path, content_type) in
        [("/docs", "text/html"), ("/docs/page.js", "text/javascript"), ("/docs/page.css", "text/css")]
    {
        let answer = admin.server.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with(content_type));
        assert!(
            answer.headers()["content-security-policy"]
                .to_str()
                .unwrap()
                .starts_with("default-src 'none'; script-src 'self'")
        );
        let text = String::from_utf8_lossy(answer.body());
        assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("innerHTML"), "{path}");
        if path == "/docs" {
            let sources = text.split(['"', '\'']).filter(|part| part.starts_with('/'));
            for source in sources.collect::<Vec<_>>() {
                assert_eq!(admin.server.get(source).await.status(), 200, "{source}");
            }
            assert!(!text.contains("<style") && !text.contains(" style="), "the policy would refuse it");
        }
    }
}

#[tokio::test]
async fn requests_are_counted() {
    let admin = Admin::start().await;
    let panics = Fake::generation("panics", 1, |_, _| async {
        Err(Fault { kind: FaultKind::Panic, message: "no".into(), location: String::new(), backtrace: Vec::new() })
    });
    let slow = Fake::generation("slow", 1, |_, _| async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        Ok(text_answer("slow"))
    });
    let full = Fake::saying("full", 1, "never").limited(RequestLimits { concurrency: 0, ..RequestLimits::default() });
    let hello = Fake::saying("hello", 1, "hello");
    admin.server.dispatch.publish(vec![hello.routed(&[]), panics.routed(&[]), slow.routed(&[]), full.routed(&[])]);
    for path in ["hello/", "hello/x?secret=canary", "hello/y", "panics/", "slow/", "full/"] {
        admin.server.get(&format!("/api/v1/p/{path}")).await;
    }
    // Another generation counts on.
    let next = Fake::saying("hello", 2, "hello");
    admin.server.dispatch.publish(vec![next.routed(&[]), panics.routed(&[]), slow.routed(&[])]);
    admin.server.get("/api/v1/p/hello/").await;
    let answer = admin.server.get("/metrics").await;
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = String::from_utf8_lossy(answer.body());
    for line in [
        "camlock_plugin_requests_total{plugin=\"hello\",status=\"2xx\"} 4",
        "camlock_plugin_requests_total{plugin=\"panics\",status=\"5xx\"} 1",
        "camlock_plugin_request_duration_seconds_bucket{plugin=\"slow\",status=\"2xx\",le=\"0.025\"} 0",
        "camlock_plugin_request_duration_seconds_count{plugin=\"slow\",status=\"2xx\"} 1",
        "camlock_plugin_requests_abandoned_total{plugin=\"hello\"} 0",
        "camlock_plugin_serving{plugin=\"hello\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    // What is gone is not counted any more, and no path is ever a label.
    assert!(!text.contains("\"full\"") && !text.contains("canary") && !text.contains("/x"), "{text}");
    drop(Arc::new(next));
    assert_eq!(admin.ask("POST", "/metrics", ADMIN, "").await.status(), 405);
}
