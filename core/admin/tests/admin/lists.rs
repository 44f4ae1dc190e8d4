//! Lists in pages, conditions, what is decided, and what is not understood.

use crate::{
    admin::{ADMIN, Admin, done, live, view},
    server::problem,
};
use camlock_policy::{
    Act, BoxFuture, ConfigViolation, Digest, Headline, Overview, PluginView, Refused,
    registry::{Archive, EventPage, EventQuery, Happened, NodeView, Served, Unavailable},
};
use serde_json::{Value, json};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};
use tokio::sync::watch;

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|plugin| plugin["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn plugins_come_in_pages() {
    let admin = Admin::start().await;
    let all: Vec<_> = (0..120).map(|number| format!("plugin-{number:03}")).collect();
    admin.show(all.iter().map(|name| view(name)));
    let mut found = Vec::new();
    let mut path = "/api/v1/plugins?limit=50".to_owned();
    let mut pages = Vec::new();
    loop {
        let page = admin.get(&path).await;
        pages.push(names(&page).len());
        found.extend(names(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/plugins?limit=50&cursor={next}");
        // What comes and goes between two pages disturbs nobody.
        admin.show(all.iter().filter(|name| !name.ends_with("049")).map(|name| view(name)));
    }
    assert_eq!((pages, found), (vec![50, 50, 20], all));
    assert_eq!(names(&admin.get("/api/v1/plugins").await).len(), 50);
    assert_eq!(names(&admin.get("/plugins?limit=500").await).len(), 119);
}

#[tokio::test]
async fn plugins_are_filtered() {
    let admin = Admin::start().await;
    let plugin = |name: &str, state, category: Option<&str>, description: &str| PluginView {
        state,
        category: category.map(str::to_owned),
        description: description.to_owned(),
        ..view(name)
    };
    admin.show([
        plugin("alpha", Headline::Serving, Some("http"), "Says Hello"),
        plugin("beta", Headline::Failed, Some("kv"), ""),
        plugin("hello", Headline::Failed, None, ""),
    ]);
    for (query, expected) in [
        ("", &["alpha", "beta", "hello"][..]),
        ("status=failed", &["beta", "hello"]),
        ("category=http", &["alpha"]),
        ("q=HELLO", &["alpha", "hello"]),
        ("q=hello&status=failed", &["hello"]),
        ("q=nothing", &[]),
        ("limit=1&status=failed", &["beta"]),
    ] {
        let list = admin.get(&format!("/api/v1/plugins?{query}")).await;
        assert_eq!(names(&list), expected, "{query}");
        assert_eq!(list["next"].is_string(), query.starts_with("limit"), "{query}");
    }
    for (query, told) in [
        ("limit=0", "`limit` is from 1 to 500, and not 0"),
        ("limit=501", "`limit` is from 1 to 500, and not 501"),
        ("limit=-1", "limit: invalid digit"),
        ("limit=many", "limit: invalid digit"),
        ("limit=1&limit=2", "duplicate field `limit`"),
        ("status=broken", "`status` is one of `serving`, `starting`"),
        ("category=none", "category: unknown variant `none`"),
        ("cursor=xyz", "`cursor` is not one that this list gave"),
        ("cursor=", "`cursor` is not one that this list gave"),
        ("colour=red", "unknown field `colour`"),
        ("q=%ff", "it is not UTF-8"),
    ] {
        for path in ["/plugins", "/api/v1/plugins"] {
            let answer = admin.ask("GET", &format!("{path}?{query}"), ADMIN, "").await;
            assert_eq!(answer.status(), 400, "{query}");
            assert!(problem(&answer)["detail"].as_str().unwrap().contains(told), "{query}: {:?}", answer.body());
        }
    }
    // A place in another list is none in this one.
    admin.memory.note(happened("serving", "hello"));
    admin.memory.note(happened("serving", "hello"));
    let next = admin.get("/api/v1/journal?limit=1").await["next"].as_str().unwrap().to_owned();
    assert_eq!(admin.ask("GET", &format!("/api/v1/plugins?cursor={next}"), ADMIN, "").await.status(), 400);
}

fn happened(what: &'static str, plugin: &str) -> Happened {
    Happened {
        plugin: Some(plugin.into()),
        generation: Some(3),
        what,
        by: "registry".into(),
        detail: json!({ "why": "a test" }),
        at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
    }
}

#[tokio::test]
async fn the_journal_has_pages_newest_first() {
    let admin = Admin::start().await;
    for number in 0..7 {
        admin.memory.note(happened("serving", if number % 2 == 0 { "even" } else { "odd" }));
    }
    let first = admin.get("/api/v1/journal?limit=4").await;
    let second = admin.get(&format!("/api/v1/journal?limit=4&cursor={}", first["next"].as_str().unwrap())).await;
    let ids =
        |page: &Value| page["items"].as_array().unwrap().iter().map(|entry| entry["id"].clone()).collect::<Vec<_>>();
    assert_eq!(
        (ids(&first), ids(&second)),
        (["0-7", "0-6", "0-5", "0-4"].map(Value::from).to_vec(), ["0-3", "0-2", "0-1"].map(Value::from).to_vec())
    );
    assert_eq!(second["next"], json!(null));
    let expected = json!({
        "id": "0-7", "at": "2023-11-14T22:13:20Z", "node": null, "plugin": "even", "generation": 3, "what": "serving",
        "by": "registry", "detail": { "why": "a test" },
    });
    assert_eq!(first["items"][0], expected);
    assert_eq!(ids(&admin.get("/api/v1/journal?plugin=odd").await), ["0-6", "0-4", "0-2"]);
    for path in
        ["/api/v1/journal?limit=x", "/api/v1/journal?cursor=x", "/api/v1/events?after=x", "/api/v1/events?since=1-1"]
    {
        assert_eq!(admin.ask("GET", path, ADMIN, "").await.status(), 400, "{path}");
    }
}

/// An archive with one node, or that cannot be read.
struct Fleet(Option<NodeView>);

impl Archive for Fleet {
    fn nodes(&self) -> BoxFuture<Result<Vec<NodeView>, Unavailable>> {
        let nodes = self.0.clone().map(|node| vec![node]).ok_or_else(|| Unavailable("the database is away".into()));
        Box::pin(async move { nodes })
    }
    fn events(&self, _: EventQuery) -> BoxFuture<Result<EventPage, Unavailable>> {
        Box::pin(async { Err(Unavailable("the database is away".into())) })
    }
    fn fresh(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }
}

#[tokio::test]
async fn the_fleet_and_a_registry_that_is_away() {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let served = Served {
        plugin: "hello".into(),
        state: Headline::Serving,
        reason: None,
        generation: Some(3),
        artifact: Some(Digest::of(b"")),
        version: Some("0.1.0".into()),
        seen: None,
        revision: 12,
        endpoints: None,
    };
    let node = NodeView {
        id: "n1".into(),
        host: "box".into(),
        address: "127.0.0.1:8080".into(),
        version: "1.0.0".into(),
        started: at,
        heard: at,
        stale: false,
        this: true,
        serves: vec![served],
        lags: vec!["hello".into()],
    };
    let admin =
        Admin::with(|options| camlock_admin::AdminOptions { archive: Arc::new(Fleet(Some(node))), ..options }).await;
    let nodes = admin.get("/api/v1/nodes").await;
    let expected = json!({
        "id": "n1", "host": "box", "address": "127.0.0.1:8080", "version": "1.0.0", "started": "2023-11-14T22:13:20Z",
        "heard": "2023-11-14T22:13:20Z", "stale": false, "this": true, "lags": ["hello"],
        "serves": [{
            "plugin": "hello", "state": "serving", "reason": null, "generation": 3, "artifact": Digest::of(b""),
            "version": "0.1.0", "revision": 12,
        }],
    });
    assert_eq!(nodes, json!({ "items": [expected], "next": null }));
    let admin = Admin::with(|options| camlock_admin::AdminOptions { archive: Arc::new(Fleet(None)), ..options }).await;
    for path in ["/api/v1/nodes", "/api/v1/journal", "/api/v1/events"] {
        let answer = admin.ask("GET", path, ADMIN, "").await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["retry-after"]),
            (503, &"1".parse().unwrap()),
            "{path}"
        );
        assert_eq!(problem(&answer)["detail"], "the database is away");
    }
    let overview = Overview { registry_trouble: Some("the database is away".into()), ..Overview::default() };
    admin.overview.send_replace(Arc::new(overview));
    assert_eq!(admin.get("/api/v1/plugins").await["registry_trouble"], "the database is away");
    assert_eq!(problem(&admin.server.get("/_/ready").await)["detail"], "not ready: the database is away");
}

#[tokio::test]
async fn what_is_decided_reaches_the_manager_with_who_and_on_what_condition() {
    let admin = Admin::start().await;
    admin.token("ops", camlock_policy::registry::Role::Operator, None).await;
    let set = |enabled, config| Act::Set { enabled, config, isolation: None };
    for (method, path, tag, body, act, revision) in [
        ("PUT", "", "\"12\"", r#"{"enabled":false}"#, set(Some(false), None), Some(12)),
        ("PUT", "", "12", r#"{"config":{"a":[1]}}"#, set(None, Some(json!({ "a": [1] }))), Some(12)),
        ("PUT", "", "*", r#"{"enabled":true,"config":{}}"#, set(Some(true), Some(json!({}))), None),
        ("PUT", "", "", "{}", set(None, None), None),
        ("POST", "/enable", "\"7\"", "", Act::Enable(true), Some(7)),
        ("POST", "/disable", "\"7\", \"12\"", "{}", Act::Enable(false), Some(12)),
        ("POST", "/reload?force=true", "", "", Act::Reload { force: true }, None),
        ("POST", "/rollback", "12", "", Act::Rollback { to: None, force: false }, Some(12)),
    ] {
        let mut request = Admin::request(method, &format!("/api/v1/plugins/hello{path}"), "ops", body);
        if !tag.is_empty() {
            request.headers_mut().insert("if-match", tag.parse().unwrap());
        }
        let answer = admin.server.send(request).await;
        assert_eq!((answer.status().as_u16(), &answer.headers()["etag"]), (200, &"\"13\"".parse().unwrap()), "{path}");
        let order = admin.orders.lock().unwrap().pop().unwrap();
        assert_eq!(
            (&*order.plugin, order.act, order.by.as_str(), order.revision),
            ("hello", act, "ops", revision),
            "{path}"
        );
    }
    assert_eq!(admin.ask("DELETE", "/api/v1/plugins/hello", ADMIN, "").await.status(), 200);
    let order = admin.orders.lock().unwrap().pop().unwrap();
    assert_eq!((order.act, order.by.as_str()), (Act::Remove { purge: false }, "admin"));
}

#[tokio::test]
async fn a_condition_that_does_not_hold() {
    let admin = Admin::start().await;
    admin.answering(|order| match order.revision {
        Some(12) | None => done(&order.plugin),
        Some(_) => Err(Refused::Outdated(12)),
    });
    let ask = async |path: &str, tag: &str| {
        let mut request = Admin::request("POST", &format!("/api/v1/plugins/hello/{path}"), ADMIN, "");
        request.headers_mut().insert("if-match", tag.parse().unwrap());
        admin.server.send(request).await
    };
    for path in ["disable", "disable?wait=false"] {
        let answer = ask(path, "\"11\"").await;
        let document = problem(&answer);
        assert_eq!((answer.status().as_u16(), &answer.headers()["etag"]), (412, &"\"12\"".parse().unwrap()));
        assert_eq!((&document["plugin"], &document["revision"]), (&json!("hello"), &json!(12)));
        assert_eq!(document["detail"], "the plugin's revision is 12 by now: look at it again");
    }
    assert_eq!(ask("disable", "\"12\"").await.status(), 200);
    for tag in ["\"abc\"", "W/\"12\"", "-1", "12 13"] {
        let answer = ask("disable", tag).await;
        assert_eq!(answer.status(), 400, "{tag}");
        assert!(problem(&answer)["detail"].as_str().unwrap().contains("is no revision"), "{tag}");
    }
    admin.answering(|_| Err(Refused::Unavailable("the database is away".into())));
    let answer = ask("disable", "*").await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"1".parse().unwrap()));
}

#[tokio::test]
async fn what_is_not_understood_is_named() {
    let admin = Admin::start().await;
    for (body, told) in [
        (&b""[..], "the body is empty"),
        (b"{", "EOF while parsing"),
        (b"[true]", "it is no JSON object"),
        (b"7", "it is no JSON object"),
        (b"null", "it is no JSON object"),
        (br#"{"enabled":"yes"}"#, "enabled: invalid type: string \"yes\", expected a boolean"),
        (br#"{"enabled":null}"#, "enabled: invalid type: null"),
        (br#"{"config":[]}"#, "config: invalid type: sequence, expected a map"),
        (br#"{"config":"x"}"#, "config: invalid type: string \"x\", expected a map"),
        (br#"{"config":null}"#, "config: invalid type: null"),
        (br#"{"colour":"red"}"#, "unknown field `colour`, expected one of `enabled`, `config`, `isolation`"),
        (br#"{"enabled":true,"enabled":false}"#, "duplicate field `enabled`"),
        (br#"{"enabled":true} x"#, "trailing characters"),
        (b"{\"config\":{\"a\":\"\xff\"}}", "invalid unicode"),
    ] {
        let answer = admin.ask("PUT", "/api/v1/plugins/hello", ADMIN, body).await;
        assert_eq!(answer.status(), 400, "{}", String::from_utf8_lossy(body));
        let detail = problem(&answer)["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(told), "{}: {detail}", String::from_utf8_lossy(body));
    }
    let deep = format!("{{\"config\":{{\"a\":{}{}}}}}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(admin.ask("PUT", "/api/v1/plugins/hello", ADMIN, deep).await.status(), 400);
    let large = format!("{{\"config\":{{\"a\":\"{}\"}}}}", "x".repeat(70_000));
    assert_eq!(admin.ask("PUT", "/api/v1/plugins/hello", ADMIN, large).await.status(), 413);
    for path in ["%2e%2e", "..%2fhello", "hello%00", "%ff", "hello%2freload"] {
        let answer = admin.ask("GET", &format!("/api/v1/plugins/{path}"), ADMIN, "").await;
        assert_eq!(answer.status(), 404, "{path}");
        problem(&answer);
    }
    assert!(admin.orders.lock().unwrap().is_empty());
}

#[tokio::test]
async fn looking_again_is_noted() {
    let admin = Admin::start().await;
    assert_eq!(admin.ask("POST", "/api/v1/reload", ADMIN, "").await.status(), 202);
    assert_eq!(admin.looks.load(Ordering::SeqCst), 1);
    let journal = admin.get("/api/v1/journal").await;
    assert_eq!((&journal["items"][0]["what"], &journal["items"][0]["by"]), (&json!("reload"), &json!("admin")));
}

#[tokio::test]
async fn a_schema_is_shown_as_it_was_written() {
    let admin = Admin::start().await;
    let text = r#"{ "properties": {"zeta": {}, "alpha": {}} }"#;
    let mut plugin = live(view("hello"));
    plugin.config_schema = Some(text.into());
    admin.show_live([plugin]);
    let answer = admin.ask("GET", "/api/v1/plugins/hello/schema", ADMIN, "").await;
    assert_eq!(answer.headers()["content-type"], "application/schema+json");
    assert_eq!(answer.body(), text);
}

#[tokio::test]
async fn a_configuration_that_does_not_fit_says_where() {
    let admin = Admin::start().await;
    let place =
        ConfigViolation { pointer: "/rows".into(), expected: "a whole number".into(), found: "\"many\"".into() };
    admin.answering(move |_| Err(Refused::Misfit(vec![place.clone()])));
    let answer = admin.ask("PUT", "/api/v1/plugins/hello", ADMIN, r#"{"config": {"rows": "many"}}"#).await;
    let problem = problem(&answer);
    assert_eq!((answer.status().as_u16(), &problem["plugin"]), (400, &json!("hello")));
    assert_eq!(
        problem["detail"],
        "the configuration does not fit: at `/rows`: expected a whole number, found \"many\""
    );
    assert_eq!(problem["violations"], json!([{"pointer": "/rows", "expected": "a whole number", "found": "\"many\""}]));
}
