//! The host's own paths, with a manager that a test plays.

use crate::{
    admin::settings,
    fake::{Fake, text_answer},
    server::{PATIENCE, Server, problem},
};
use bytes::Bytes;
use camlock_admin::{AdminOptions, Token, admin_router};
use camlock_api::ServerHealth;
use camlock_http::{Dispatch, FrontOptions};
use camlock_policy::{
    Act, Done, Failure, Headline, Inbox, Kind, LivePlugin, Manager, Message, Overview, PluginKind, PluginView, Publish,
    Refused, Stage,
};
use http::{Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const TOKEN: &str = "a-secret";

fn view(name: &str, state: Headline) -> LivePlugin {
    let view = PluginView {
        name: name.into(),
        version: "0.1.0".into(),
        description: String::new(),
        category: None,
        kind: PluginKind::Dynamic,
        enabled: true,
        revision: 1,
        isolation: None,
        state,
        reason: None,
        serving: None,
        candidate: None,
        failed: None,
        draining: Vec::new(),
        pinned: Vec::new(),
        endpoints: Vec::new(),
        urls: vec![format!("/api/v1/p/{name}/")],
        path: Some(format!("{name}/Cargo.toml")),
        config: None,
        stages: None,
    };
    LivePlugin::new(view, Some(Kind::Crate), BTreeMap::new())
}

async fn start() -> (Server, Inbox) {
    start_with(FrontOptions { threads: 2, ..FrontOptions::default() }).await
}

async fn start_with(options: FrontOptions) -> (Server, Inbox) {
    let (manager, inbox) = Manager::channel();
    let plugins = ["hello", "young"].map(|name| {
        let state = if name == "hello" { Headline::Failed } else { Headline::Starting };
        Arc::new(view(name, state))
    });
    inbox.overview.send_replace(Arc::new(Overview { plugins: plugins.into(), ready: false, ..Overview::default() }));
    let about = ServerHealth {
        version: "1.2.3".into(),
        revision: Some("abc".into()),
        rustc: Some("1.95.0".into()),
        abi: "1.0".into(),
        built_in: vec!["hello".into()],
        ..ServerHealth::default()
    };
    let dispatch = Dispatch::default();
    let blocked = dispatch.blocked_list();
    dispatch.fall_through_to(admin_router(
        manager,
        AdminOptions { about, blocked, settings: settings(), ..AdminOptions::new(Token::new(TOKEN)) },
    ));
    (Server::start_with(dispatch, options).await, inbox)
}

fn json_of(answer: &Response<Bytes>) -> Value {
    assert_eq!(answer.headers()["content-type"], "application/json", "{answer:?}");
    serde_json::from_slice(answer.body()).expect("JSON")
}

async fn ask(server: &Server, method: &str, path: &str, token: Option<&str>, body: &'static str) -> Response<Bytes> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    server.send(request.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap()).await
}

/// Asks as an operator.
async fn post(server: &Server, path: &str, body: &'static str) -> Response<Bytes> {
    ask(server, "POST", path, Some(TOKEN), body).await
}

#[tokio::test]
async fn what_is_served_is_shown() {
    let (server, inbox) = start().await;
    let list = json_of(&server.get("/plugins").await);
    assert_eq!((&list["items"][1]["name"], &list["next"]), (&json!("young"), &json!(null)));
    let hello = json_of(&server.get("/plugins/hello").await);
    assert_eq!((&hello["state"], &hello["path"]), (&json!("failed"), &json!("hello/Cargo.toml")));
    // Somebody for whom a proxy asks is not on this machine.
    for (token, shown) in [(None, json!(null)), (Some(TOKEN), json!("hello/Cargo.toml"))] {
        let mut request = Request::get("/plugins/hello").header("x-forwarded-for", "192.0.2.1");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let hello = json_of(&server.send(request.body(Full::<Bytes>::default()).unwrap()).await);
        assert_eq!(hello["path"], shown);
    }
    let answer = server.get("/plugins/nobody").await;
    assert_eq!(problem(&answer)["detail"], "there is no plugin `nobody`");
    assert_eq!((answer.status().as_u16(), problem(&answer)["plugin"].as_str()), (404, Some("nobody")));
    let overview = Overview { trouble: Some("it cannot be read".into()), ..Overview::default() };
    inbox.overview.send_replace(Arc::new(overview));
    assert_eq!(
        json_of(&server.get("/plugins").await),
        json!({ "items": [], "next": null, "trouble": "it cannot be read" })
    );
}

#[tokio::test]
async fn probes() {
    let (server, inbox) = start().await;
    assert_eq!(json_of(&server.get("/_/live").await), json!({ "status": "live" }));
    let answer = server.get("/_/ready").await;
    assert_eq!(
        (answer.status().as_u16(), problem(&answer)["detail"].as_str()),
        (503, Some("not ready: waiting for `young` (starting)"))
    );
    assert_eq!(problem(&answer)["waiting_for"], json!([{ "plugin": "young", "at": "starting" }]));
    inbox.overview.send_replace(Arc::default());
    let answer = server.get("/_/ready").await;
    assert_eq!(problem(&answer)["detail"], "the plugins directory has not been looked at yet");
    inbox.overview.send_replace(Arc::new(Overview { ready: true, ..Overview::default() }));
    assert_eq!(json_of(&server.get("/_/ready").await), json!({ "status": "ready" }));
    let expected = json!({
        "status": "ok", "version": "1.2.3", "revision": "abc", "rustc": "1.95.0", "abi": "1.0", "built_in": ["hello"],
        "blocked": [],
    });
    assert_eq!(json_of(&server.get("/_/health").await), expected);
}

#[tokio::test]
async fn probes_say_when_no_thread_is_left() {
    let (server, inbox) = start_with(FrontOptions { threads: 1, further: 0, ..FrontOptions::default() }).await;
    let server = Arc::new(server);
    inbox.overview.send_replace(Arc::new(Overview { ready: true, ..Overview::default() }));
    assert_eq!(server.get("/_/ready").await.status().as_u16(), 200);
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let blocking = Fake::generation("blocking", 1, move |_, _| {
        // The thread that serves is blocked until the test lets go.
        let _ = held.lock().map(|held| held.recv());
        async { Ok(text_answer("at last")) }
    });
    // A call blocks where it is polled, as an author's code does.
    let blocking = Fake::generation("blocking", 1, move |call, _| {
        let answer = blocking.serving.instance.clone();
        async move { answer.call(call).await }
    });
    server.dispatch.publish(vec![blocking.routed(&[])]);
    let asked = tokio::spawn({
        let server = server.clone();
        async move { server.get("/api/v1/p/blocking/").await.status().as_u16() }
    });
    let deadline = std::time::Instant::now() + PATIENCE;
    // Whoever waited behind the thread before that was known is let go, and comes again.
    while server.status("/_/ready").await != Some(503) {
        assert!(std::time::Instant::now() < deadline, "it never says so");
    }
    let answer = server.get("/_/ready").await;
    assert!(problem(&answer)["detail"].as_str().is_some_and(|detail| detail.contains("blocked inside plugins")));
    let health = json_of(&server.get("/_/health").await);
    assert_eq!((&health["status"], &health["blocked"][0]["plugin"]), (&json!("blocked"), &json!("blocking")));
    drop(release);
    assert_eq!(asked.await.expect("no panic"), 200);
    while server.status("/_/ready").await != Some(200) {
        assert!(std::time::Instant::now() < deadline, "it never ends");
    }
}

#[tokio::test]
async fn the_token_comes_first() {
    let (server, _inbox) = start().await;
    for path in ["/api/v1/plugins", "/api/v1/plugins/nobody", "/api/v1/nothing", "/api/v1/", "/api/v1/p"] {
        for (token, challenge) in
            [(None, "Bearer realm=\"camlock\""), (Some("no"), "Bearer realm=\"camlock\", error=\"invalid_token\"")]
        {
            for (method, body) in [("GET", ""), ("POST", "}{"), ("PATCH", "")] {
                let answer = ask(&server, method, path, token, body).await;
                assert_eq!(problem(&answer)["status"], 401, "{method} {path}");
                assert_eq!(answer.headers()["www-authenticate"], challenge);
            }
        }
    }
    assert_eq!(ask(&server, "GET", "/api/v1/plugins", Some(TOKEN), "").await.status().as_u16(), 200);
    assert_eq!(ask(&server, "GET", "/api/v1/nothing", Some(TOKEN), "").await.status().as_u16(), 404);
    // What plugins serve asks for nothing.
    assert_eq!(problem(&server.get("/api/v1/p/nobody/").await)["status"], 404);
    server.dispatch.publish(vec![Fake::saying("hello", 1, "hello").routed(&[])]);
    assert_eq!(server.text("/api/v1/p/hello/").await, (200, "hello".to_owned()));
}

#[tokio::test]
async fn wrong_methods_and_unknown_paths_are_problems() {
    let (server, _inbox) = start().await;
    let answer = ask(&server, "DELETE", "/plugins", None, "").await;
    assert_eq!(
        (problem(&answer)["detail"].as_str(), &answer.headers()["allow"]),
        (Some("/plugins does not take DELETE"), &"GET,HEAD".parse().unwrap())
    );
    assert_eq!(answer.status().as_u16(), 405);
    let answer = ask(&server, "GET", "/api/v1/reload", Some(TOKEN), "").await;
    assert_eq!(problem(&answer)["status"], 405);
    assert_eq!(problem(&server.get("/nothing").await)["detail"], "nothing is served at /nothing");
}

/// Answers the next act.
fn play(
    mut inbox: Inbox,
    outcome: impl FnOnce(String, Act) -> Result<Done, Refused> + Send + 'static,
) -> tokio::task::JoinHandle<Inbox> {
    tokio::spawn(async move {
        match inbox.messages.recv().await {
            Some(Message::Act(order, reply)) => drop(reply.send(outcome(order.plugin, order.act))),
            other => panic!("{other:?}"),
        }
        inbox
    })
}

#[tokio::test]
async fn acts_reach_the_manager_and_their_outcome_comes_back() {
    let (server, mut inbox) = start().await;
    let digest = format!("sha256:{}", "ab".repeat(32));
    let rollback: &'static str = format!("{{\"to\":\"{digest}\"}}").leak();
    for (path, body, expected) in [
        ("reload", "", Act::Reload { force: false }),
        ("reload?force=true", "{}", Act::Reload { force: true }),
        ("rollback", "", Act::Rollback { to: None, force: false }),
        ("rollback", rollback, Act::Rollback { to: Some(digest.parse().unwrap()), force: false }),
        ("enable", "", Act::Enable(true)),
        ("disable", " ", Act::Enable(false)),
    ] {
        let played = play(inbox, move |name, act| {
            assert_eq!((name.as_str(), act), ("hello", expected));
            let stages = vec![("build", Duration::from_millis(1200)), ("swap", Duration::from_micros(15))];
            Ok(Done { plugin: Arc::new(view("hello", Headline::Serving)), stages })
        });
        let answer = post(&server, &format!("/api/v1/plugins/hello/{path}"), body).await;
        let document = json_of(&answer);
        assert_eq!((answer.status().as_u16(), &document["state"]), (200, &json!("serving")));
        assert_eq!(document["stages"], json!({ "build": 1200.0, "swap": 0.015 }));
        inbox = played.await.unwrap();
    }
}

#[tokio::test]
async fn acts_that_are_not_done_say_why() {
    let (server, mut inbox) = start().await;
    let failed =
        |failure| Refused::Failed { failure, generation: 4, plugin: Arc::new(view("hello", Headline::Serving)) };
    for (refused, expected) in [
        (
            failed(Failure::new(Stage::Build, "it does not compile")),
            json!({ "title": "Unprocessable Entity", "status": 422, "detail": "it does not compile", "stage": "build", "generation": 4, "diagnostics": [] }),
        ),
        (
            Refused::Conflict("`shop` depends on it".into()),
            json!({ "title": "Conflict", "status": 409, "detail": "`shop` depends on it" }),
        ),
        (
            Refused::Unknown("hello".into()),
            json!({ "title": "Not Found", "status": 404, "detail": "there is no plugin `hello`" }),
        ),
        (Refused::Ending, json!({ "title": "Service Unavailable", "status": 503, "detail": "the server is ending" })),
    ] {
        let played = play(inbox, |_, _| Err(refused));
        let mut document = problem(&post(&server, "/api/v1/plugins/hello/reload", "").await);
        let document = document.as_object_mut().unwrap();
        assert_eq!(
            (document.remove("type"), document.remove("plugin")),
            (Some("about:blank".into()), Some("hello".into()))
        );
        assert_eq!(Value::Object(document.clone()), expected);
        inbox = played.await.unwrap();
    }
}

#[tokio::test]
async fn what_is_not_understood_never_reaches_the_manager() {
    let (server, mut inbox) = start().await;
    for (path, body, status, detail) in [
        ("nobody/reload", "", 404, "there is no plugin `nobody`"),
        ("hello/rollback", "{\"too\":1}", 400, "unknown field `too`, expected `to`"),
        ("hello/rollback", "{\"to\":\"abc\"}", 400, "a digest is `sha256:` and 64 hexadecimal digits"),
        ("hello/reload", "{\"force\":true}", 400, "unknown field `force`"),
        ("hello/reload", "[", 400, "the body is not understood"),
        ("hello/reload?wiat=false", "", 400, "unknown field `wiat`"),
        ("hello/reload?wait=maybe", "", 400, "provided string was not `true` or `false`"),
    ] {
        let answer = post(&server, &format!("/api/v1/plugins/{path}"), body).await;
        let document = problem(&answer);
        assert_eq!(answer.status().as_u16(), status, "{path} {body}: {document}");
        assert!(document["detail"].as_str().unwrap().contains(detail), "{path} {body}: {document}");
    }
    let large: &'static str = " ".repeat(100_000).leak();
    assert_eq!(problem(&post(&server, "/api/v1/plugins/hello/reload", large).await)["status"], 413);
    assert!(inbox.messages.try_recv().is_err());
}

#[tokio::test]
async fn nobody_has_to_wait() {
    let (server, mut inbox) = start().await;
    let answer = post(&server, "/api/v1/plugins/hello/reload?wait=false", "").await;
    assert_eq!((answer.status().as_u16(), &json_of(&answer)["name"]), (202, &json!("hello")));
    let Some(Message::Act(order, _)) = inbox.messages.recv().await else { panic!("an act") };
    assert_eq!(order.act, Act::Reload { force: false });
    let answer = post(&server, "/api/v1/reload", "").await;
    assert_eq!((answer.status().as_u16(), &json_of(&answer)["items"][0]["name"]), (202, &json!("hello")));
    let Some(Message::Look) = inbox.messages.recv().await else { panic!("a look") };
}
