//! The plugins that ship with Camlock, each built as if it lived anywhere else.

use crate::harness::{Answer, Host, Served, run};
use bytes::Bytes;
use camlock_loader::Surroundings;
use camlock_policy::{TableTerms, Use};
use camlock_services::{
    AskLimits, HostServices, OpenApiService, ServiceSet, SqliteFile,
    database::{
        PluginTables, lint,
        service::{DatabaseService, SessionLimits},
    },
};
use camlock_testing::{Outside, repository, trial};
use futures_util::StreamExt;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};
use tokio::runtime::Handle;
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};

fn shipped(name: &str) -> PathBuf {
    Outside::new(name).with_folder(&repository().join("plugins").join(name)).library()
}

/// The crate that a single file becomes: its front matter is the manifest, and the rest keeps its line numbers.
fn single_file(name: &str) -> PathBuf {
    let text = fs::read_to_string(repository().join("plugins").join(format!("{name}.rs"))).expect("it can be read");
    let (front, code) = text.strip_prefix("---\n").and_then(|text| text.split_once("\n---\n")).expect("front matter");
    let package = format!("[package]\nname = \"{name}\"\nedition = \"2024\"");
    let manifest = front.replacen("[package]", &package, 1)
        + r#"

[lib]
crate-type = ["cdylib"]

[dependencies]
axum = "0.8"
camlock-plugin = "1"
serde = { version = "1", features = ["derive"] }
serde_json = "1"
tokio = { version = "1", features = ["macros", "rt", "sync", "time"] }
"#;
    let lines = front.lines().count() + 2;
    let crate_dir = Outside::new(name).with_file("Cargo.toml", manifest);
    crate_dir.with_file("src/lib.rs", "\n".repeat(lines) + code).library()
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(answer.body()).expect("JSON")
}

async fn send(served: &Served, method: &str, path: &str, document: Value) -> Answer {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    served.send(request.body(Full::new(document.to_string().into())).expect("a request")).await
}

#[trial]
fn hello() {
    let library = single_file("hello");
    run(async {
        let host = Host::new();
        let served = host.serve(&library).await;
        let manifest = &served.instance.description().manifest;
        assert_eq!(manifest.description, "Says hello: the simplest plugin there is");
        assert!(manifest.camlock.routes.is_empty(), "`/hello` is powertable's");
        for path in ["/", "/hello"] {
            assert_eq!(served.text(path).await, "Hello from a plugin!");
        }
        assert_eq!(served.text("/hello/Ada%20Lovelace").await, "Hello, Ada Lovelace!");
        assert_eq!(served.text("/add?a=2147483647&b=2147483647").await, "4294967294");
        assert_eq!(served.get("/add?a=2").await.status(), StatusCode::BAD_REQUEST);
        let answer = send(&served, "POST", "/introduce", json!({"name": "Ada", "born": 1815})).await;
        assert_eq!(json_of(&answer), json!({"text": "This is Ada, born in 1815.", "letters": 3}));
        served.unload_wholly().await;
    });
}

/// A host that keeps plugins' tables in a file, and says anew what they answer.
async fn with_tables(library: &Path) -> Host {
    let mut host = Host::new();
    let tables = PluginTables::in_file(SqliteFile::at(host.dir().join("plugins.db")), 4, Handle::current());
    let sections = camlock_loader::inspect(&fs::read(library).expect("it was built")).expect("it is a plugin");
    assert_eq!(lint::lint("powertable", &sections.migrations), []);
    let ready =
        tables.make_ready(&"powertable".into(), &sections.migrations, TableTerms::default()).await.expect("they run");
    assert_eq!(ready.ran, ["0001_tables.sql"]);
    let mut services = ServiceSet::default();
    services.add("database/1", DatabaseService::new(tables, SessionLimits::default())).expect("it has a name");
    services.add("openapi/1", OpenApiService::default()).expect("it has a name");
    let services = Arc::new(HostServices::new(services, AskLimits::default()));
    host.loader = host.loader.with_surroundings(Surroundings { services: Some(services), ..Surroundings::default() });
    host
}

/// What it does with rows is tried on a real server (`bin/tests/registry/powertable.rs`): here is what a reload makes of it.
#[trial]
fn powertable() {
    let library = shipped("powertable");
    run(async {
        let host = with_tables(&library).await;
        let old = host.serve(&library).await;
        let description = old.instance.description();
        assert_eq!(description.manifest.camlock.routes, ["/hello"]);
        assert_eq!(description.manifest.camlock.permissions, ["database", "ui:call"]);
        let document: Value = serde_json::from_str(description.openapi.as_deref().expect("a document")).expect("JSON");
        assert_eq!(document["info"]["title"], "powertable");
        assert!(document["paths"]["/{table}"]["patch"].is_object(), "{document:#}");
        assert_eq!(old.text("/hello").await, "Hello from powertable!");

        let columns = json!([{"name": "name", "type": "text", "required": true}, {"name": "born", "type": "integer"}]);
        let created = send(&old, "POST", "/tables", json!({"name": "people", "columns": columns})).await;
        assert_eq!(created.status(), StatusCode::CREATED);
        let rows = json!([{"name": "Ada", "born": 1815}, {"name": "Grace", "born": 1906}]);
        assert_eq!(send(&old, "POST", "/people", rows).await.status(), StatusCode::CREATED);
        let refused = send(&old, "PATCH", "/people?id=eq.1", json!({"born": "early"})).await;
        assert_eq!(refused.headers()["content-type"], "application/problem+json");
        let told = "`born`: a column that holds integers of 64 bits takes no `early`";
        assert_eq!(json_of(&refused)["detail"], told);
        let question = "/people?order=born.desc&select=id,name";
        let both = json!([{"id": 2, "name": "Grace"}, {"id": 1, "name": "Ada"}]);
        assert_eq!(json_of(&old.get(question).await), both);

        // A setting, taken live; one that cannot be used is refused.
        assert_eq!(old.instance.configure(r#"{"max_rows":1}"#.into()).await, Ok(true));
        assert_eq!(json_of(&old.get(question).await), json!([{"id": 2, "name": "Grace"}]));
        let fault = old.instance.configure(r#"{"max_rows":0}"#.into()).await.expect_err("it is refused");
        assert!(fault.message.contains("at `max_rows`"), "{fault:?}");

        // A reload: the rows are where they were, the old library leaves, and ids go on.
        let new = host.serve(&library).await;
        old.unload_wholly().await;
        assert_eq!(json_of(&new.get(question).await), both);
        send(&new, "POST", "/people", json!({"name": "Barbara"})).await;
        assert_eq!(json_of(&new.get("/people?name=eq.Barbara&select=id").await), json!([{"id": 3}]));
        new.unload_wholly().await;
    });
}

/// One event of ticker's, as JSON.
async fn next_tick(body: &mut hyper::body::Incoming) -> Value {
    let frame = body.frame().await.expect("an event").expect("no failure").into_data().expect("data");
    let text = String::from_utf8_lossy(&frame).into_owned();
    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_else(|| panic!("{text}"));
    serde_json::from_str(data).expect("JSON")
}

fn events(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).body(Full::default()).expect("a request")
}

fn ticker_library() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| shipped("ticker")).clone()
}

#[trial]
fn ticker() {
    let library = ticker_library();
    run(async {
        let host = Host::new();
        let served = host.serve(&library).await;
        assert!(served.text("/").await.contains("<title>Ticker</title>"));
        assert_eq!(served.get("/events?every=1").await.status(), StatusCode::BAD_REQUEST);

        let url = served.url("/ws?every=100").replace("http://", "ws://");
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("a WebSocket");
        let answer = served.open(events("/events?every=100")).await;
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut body = answer.into_body();
        for number in 1..=12 {
            let message = socket.next().await.expect("a tick").expect("a message");
            let tick: Value = serde_json::from_str(message.to_text().expect("text")).expect("JSON");
            assert_eq!(tick["number"], number);
            assert_eq!(next_tick(&mut body).await["number"], number);
        }
        // By now the task that `start` began has counted.
        assert!(next_tick(&mut body).await["uptime"].as_u64() >= Some(1));
        assert_eq!(served.leases.count_of(Use::Connection), 1);
        socket.close(None).await.expect("it is sent");
        while socket.next().await.is_some() {}
        drop((socket, body));
        served.unload_wholly().await;
    });
}

#[trial]
fn ticker_ends_its_streams() {
    let library = ticker_library();
    run(async {
        let host = Host::new();
        let served = host.serve(&library).await;
        let url = served.url("/ws").replace("http://", "ws://");
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("a WebSocket");
        let mut body = served.open(events("/events")).await.into_body();
        assert_eq!(next_tick(&mut body).await["number"], 1);
        // Nobody leaves: the plugin is shut down under its clients.
        let unloading = tokio::spawn(served.unload_wholly());
        body.collect().await.expect("the events end as they should");
        let mut last = None;
        while let Some(Ok(message)) = socket.next().await {
            last = Some(message);
        }
        let Some(Message::Close(Some(frame))) = last else { panic!("{last:?}") };
        assert_eq!(frame.code, CloseCode::Restart);
        drop(socket);
        unloading.await.expect("it is gone");
    });
}
