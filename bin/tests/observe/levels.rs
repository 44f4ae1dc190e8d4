//! How loud a plugin is, from the configuration and while it serves, and what else its records tell.

use crate::{ask::ask_as, site};
use camlock_testing::Server;
use serde_json::{Value, json};
use std::fs::{self, File};

/// Says something of each level on request.
const LOUD: &str = r#"---
[dependencies]
tracing = "0.1"
---
use camlock_plugin::prelude::*;

struct Loud;

impl Plugin for Loud {
    async fn create(_host: Host) -> Result<Self> {
        Ok(Loud)
    }

    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        Router::new().route("/", get(|trace: camlock_plugin::Traceparent| async move {
            tracing::warn!("a warning");
            tracing::info!(colour = "red", "some information");
            tracing::debug!("a detail");
            trace.to_string()
        }))
    }
}

export!(Loud);
"#;

fn said(server: &Server, plugin: &str, token: &str) -> Vec<Value> {
    let path = format!("/api/v1/plugins/{plugin}/logs?limit=1000");
    let answer = ask_as(server, token, "GET", &path, "").json();
    let lines = answer["items"].as_array().unwrap().iter();
    lines.filter(|line| line["module"] == plugin).cloned().collect()
}

fn messages(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["message"].as_str().unwrap()).collect()
}

#[test]
fn each_plugin_is_as_loud_as_is_wanted() {
    let site = site();
    site.write("plugins/loud.rs", LOUD);
    site.write("plugins/calm.rs", LOUD);
    site.configure("plugin.calm.log = \"info\"");
    let log = site.path("log");
    let server = site.start_with(|command| {
        command.env("CAMLOCK_LOG", "warn").stderr(File::create(&log).unwrap());
    });
    let token = fs::read_to_string(site.path(".camlock/admin-token")).unwrap().trim().to_owned();
    let level = |plugin: &str| ask_as(&server, &token, "GET", &format!("/api/v1/plugins/{plugin}/level"), "").json();
    let both = || {
        for plugin in ["loud", "calm"] {
            assert_eq!(server.get(&format!("/api/v1/p/{plugin}/")).status, 200);
        }
    };
    server.until_serving("loud");
    server.until_serving("calm");
    assert_eq!((level("loud"), level("calm")), (json!({ "level": null }), json!({ "level": "info" })));
    both();
    assert_eq!(messages(&said(&server, "loud", &token)), ["a warning"]);
    let calm = said(&server, "calm", &token);
    assert_eq!(messages(&calm), ["a warning", "some information"]);
    assert_eq!(calm[1]["fields"].as_str().map(|fields| fields.contains("colour=red")), Some(true), "{calm:#?}");

    // While it serves, by the command line; the generation stays.
    let camlock = |arguments: &[&str]| {
        let done = site.command().args(arguments).output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap())
    };
    let (code, told, _) = camlock(&["logs", "loud", "--level", "debug"]);
    assert_eq!((code, &*told), (Some(0), "loud: up to debug, until the server ends\n"));
    both();
    let all = ["a warning", "a warning", "some information", "a detail"];
    assert_eq!(messages(&said(&server, "loud", &token)), all);
    assert_eq!(said(&server, "calm", &token).len(), 4);
    assert_eq!((level("loud"), server.generation("loud")), (json!({ "level": "debug" }), 1));

    // A new generation is as loud. The trace is the client's, in what it says and in what it sends on, and a request that
    // is looked into says its own name too.
    assert_eq!(server.post("/api/v1/plugins/loud/reload").status, 200);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let context = format!("00-{trace}-00f067aa0ba902b7-01");
    let headers = [("traceparent", &*context), ("x-request-id", "request-7")];
    let answer = camlock_testing::request(server.address, "GET", "/api/v1/p/loud/", &headers).unwrap();
    let sent_on = answer.text;
    assert!(
        sent_on.starts_with(&format!("00-{trace}-")) && sent_on.ends_with("-01") && sent_on != context,
        "{sent_on}"
    );
    let loud = said(&server, "loud", &token);
    assert_eq!(messages(&loud[4..]), all[1..]);
    assert!(loud[4..].iter().all(|line| line["trace_id"] == trace && line["generation"] == 2), "{loud:#?}");
    let written = fs::read_to_string(&log).unwrap();
    let detail: Value = serde_json::from_str(written.lines().rfind(|line| line.contains("a detail")).unwrap()).unwrap();
    assert_eq!((&detail["plugin"], &detail["trace_id"]), (&json!("loud"), &json!(trace)), "{detail:#}");
    let spans = detail["spans"].as_array().unwrap();
    assert!(spans.iter().any(|span| span["name"] == "request" && span["request_id"] == "request-7"), "{detail:#}");

    // Back to what is usual, and quieter than that.
    assert_eq!(camlock(&["logs", "loud", "--level", "default", "--json"]).1, "{\"level\":null}\n");
    let set = ask_as(&server, &token, "PUT", "/api/v1/plugins/calm/level", "{\"level\":\"error\"}");
    assert_eq!((set.status, set.json()), (200, json!({ "level": "error" })));
    both();
    assert_eq!((said(&server, "loud", &token).len(), said(&server, "calm", &token).len()), (8, 4));
    let set = ask_as(&server, &token, "PUT", "/api/v1/plugins/calm/level", "{\"level\":null}");
    assert_eq!(set.json(), json!({ "level": "info" }), "what is configured");

    for (body, expected) in [
        ("", "the body is empty"),
        ("{}", "missing field `level`"),
        ("{\"level\":\"loud\"}", "unknown variant `loud`, expected one of `error`, `warn`, `info`, `debug`, `trace`"),
        ("{\"level\":\"info\",\"for\":7}", "unknown field `for`"),
    ] {
        let answer = ask_as(&server, &token, "PUT", "/api/v1/plugins/loud/level", body);
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.text.contains(expected), "{body}: {}", answer.text);
    }
    assert_eq!(ask_as(&server, &token, "PUT", "/api/v1/plugins/nobody/level", "{\"level\":null}").status, 404);
    let (code, _, told) = camlock(&["logs", "lod", "--level", "debug"]);
    assert!(code == Some(1) && told.contains("did you mean `loud`?"), "{code:?} {told}");

    // Who did it is in the journal.
    let noted = |journal: &Value| {
        let entries = journal["items"].as_array().into_iter().flatten().filter(|entry| entry["what"] == "level");
        entries.map(|entry| (entry["plugin"].clone(), entry["by"].clone())).collect::<Vec<_>>()
    };
    let journal = server.until(
        |server| ask_as(server, &token, "GET", "/api/v1/journal?limit=200", "").json(),
        |journal| noted(journal).len() == 4,
    );
    assert_eq!(noted(&journal).iter().filter(|entry| **entry == (json!("loud"), json!("admin"))).count(), 2);
}
