//! Streams of what happens: the journal as it grows, what a plugin says, and where a client goes on.

use crate::{
    admin::{ADMIN, Admin},
    server::PATIENCE,
};
use camlock_admin::{AdminOptions, Logs};
use camlock_policy::registry::{Happened, Role, Tokens};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use tokio::time::timeout;
use tracing_subscriber::layer::SubscriberExt;

/// A stream of events, as a browser reads it.
struct Events {
    body: Incoming,
    text: String,
}

impl Events {
    async fn open(admin: &Admin, path: &str, last: Option<&str>) -> Self {
        Events::open_as(ADMIN, admin, path, last).await
    }

    async fn open_as(token: &str, admin: &Admin, path: &str, last: Option<&str>) -> Self {
        let mut request = Admin::request("GET", path, token, "");
        if let Some(last) = last {
            request.headers_mut().insert("last-event-id", last.parse().unwrap());
        }
        let answer = admin.server.open(request).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &"text/event-stream".parse().unwrap())
        );
        Events { body: answer.into_body(), text: String::new() }
    }

    /// The id and the data of the next one; none at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                let found =
                    field("data").map(|data| (field("id").unwrap().to_owned(), serde_json::from_str(data).unwrap()));
                self.text = rest.to_owned();
                match found {
                    Some(found) => return Some(found),
                    // A comment.
                    None => continue,
                }
            }
            let frame = timeout(PATIENCE, self.body.frame()).await.expect("an event")?.expect("a frame");
            self.text += std::str::from_utf8(frame.data_ref().expect("data")).expect("text");
        }
    }

    async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.next().await.expect("an event").0);
        }
        ids
    }
}

fn note(admin: &Admin, plugin: &str) {
    admin.memory.note(Happened {
        plugin: Some(plugin.into()),
        generation: Some(3),
        what: "serving",
        by: "filesystem".into(),
        detail: json!({}),
        at: SystemTime::now(),
    });
}

#[tokio::test]
async fn events_come_as_they_happen_and_go_on_where_they_were() {
    let admin = Admin::start().await;
    note(&admin, "hello");
    note(&admin, "hello");
    // Without a place to go on at, only what is to come.
    let mut live = Events::open(&admin, "/api/v1/events", None).await;
    note(&admin, "hello");
    let (id, data) = live.next().await.unwrap();
    assert_eq!(
        (&*id, &data["id"], &data["what"], &data["by"]),
        ("0-3", &json!("0-3"), &json!("serving"), &json!("filesystem"))
    );
    note(&admin, "other");
    assert_eq!(live.next().await.unwrap().1["plugin"], "other");
    drop(live);
    for number in 0..300 {
        note(&admin, if number % 100 == 0 { "seldom" } else { "often" });
    }
    let mut again = Events::open(&admin, "/api/v1/events", Some("0-3")).await;
    let expected: Vec<_> = (4..=304).map(|number| format!("0-{number}")).collect();
    assert_eq!(again.ids(301).await, expected);
    note(&admin, "hello");
    assert_eq!(again.ids(1).await, ["0-305"]);
    let mut after = Events::open(&admin, "/api/v1/events?after=0-0&plugin=seldom", None).await;
    assert_eq!(after.ids(3).await, ["0-5", "0-105", "0-205"]);
    note(&admin, "hello");
    note(&admin, "seldom");
    assert_eq!(after.ids(1).await, ["0-307"]);
    // What a client last had counts for more than what it first asked for.
    let mut resumed = Events::open(&admin, "/api/v1/events?after=0-0&plugin=seldom", Some("0-105")).await;
    assert_eq!(resumed.ids(2).await, ["0-205", "0-307"]);
}

#[tokio::test]
async fn streams_end_with_the_server() {
    let admin = Admin::start().await;
    let mut events = Events::open(&admin, "/api/v1/events", None).await;
    let mut lines = Events::open(&admin, "/api/v1/plugins/hello/logs?follow=true", None).await;
    let Admin { overview, server, memory, router, .. } = admin;
    drop(router);
    drop(overview);
    assert_eq!((events.next().await, lines.next().await), (None, None));
    drop((server, memory));
}

#[tokio::test]
async fn streams_end_with_the_token_that_opened_them() {
    let admin = Admin::start().await;
    let watching = admin.token("watching", Role::Viewer, None).await;
    admin.token("brief", Role::Viewer, Some(SystemTime::now() + Duration::from_secs(2))).await;
    let mut theirs = Events::open_as("watching", &admin, "/api/v1/events", None).await;
    let mut lines = Events::open_as("watching", &admin, "/api/v1/plugins/hello/logs?follow=true", None).await;
    let mut brief = Events::open_as("brief", &admin, "/api/v1/events", None).await;
    let mut ours = Events::open(&admin, "/api/v1/events", None).await;
    assert!(admin.memory.revoke(watching, "a test".into()).await.unwrap());
    for stream in [&mut theirs, &mut lines, &mut brief] {
        while stream.next().await.is_some() {}
    }
    note(&admin, "hello");
    while ours.next().await.expect("it goes on").1["plugin"] != "hello" {}
}

#[tokio::test]
async fn what_a_plugin_says_is_listed_and_followed() {
    let logs = Logs::default();
    let kept = logs.clone();
    let admin = Admin::with(|options| AdminOptions { logs: kept, ..options }).await;
    let say = |plugin: &str, text: &str| {
        let subscriber = tracing_subscriber::registry().with(logs.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(plugin, generation = 3_u64, module = "hello::web", colour = "red", "{text}");
        });
    };
    say("hello", "one");
    say("other", "not this one");
    say("hello", "two");
    let list = admin.get("/api/v1/plugins/hello/logs").await;
    let mut line = list["items"][0].clone();
    assert!(line.as_object_mut().unwrap().remove("at").unwrap().is_string());
    let expected = json!({
        "id": 1, "level": "warn", "message": "one", "fields": "colour=red", "generation": 3, "trace_id": null,
        "module": "hello::web",
    });
    assert_eq!((line, list["items"].as_array().unwrap().len(), &list["next"]), (expected, 2, &json!(null)));
    assert_eq!(admin.get("/api/v1/plugins/hello/logs?limit=1").await["items"][0]["message"], "two");
    assert_eq!(admin.get("/api/v1/plugins/hello/logs?after=1").await["items"][0]["message"], "two");
    let mut lines = Events::open(&admin, "/api/v1/plugins/hello/logs?follow=true&limit=1", None).await;
    assert_eq!(lines.next().await.unwrap().1["message"], "two");
    say("other", "nor this one");
    say("hello", "three");
    let (id, line) = lines.next().await.unwrap();
    assert_eq!((&*id, &line["message"]), ("5", &json!("three")));
    let mut again = Events::open(&admin, "/api/v1/plugins/hello/logs?follow=true", Some("1")).await;
    assert_eq!(again.ids(2).await, ["3", "5"]);
    // A number of a process before this one.
    let mut old = Events::open(&admin, "/api/v1/plugins/hello/logs?follow=true", Some("900")).await;
    assert_eq!(old.ids(3).await, ["1", "3", "5"]);
    for (query, told) in
        [("limit=0", "`limit`"), ("limit=1001", "`limit`"), ("follow=maybe", "follow"), ("tail=1", "`tail`")]
    {
        let answer = admin.ask("GET", &format!("/api/v1/plugins/hello/logs?{query}"), ADMIN, "").await;
        assert_eq!(answer.status(), 400, "{query}");
        assert!(String::from_utf8_lossy(answer.body()).contains(told), "{query}");
    }
    assert_eq!(admin.ask("GET", "/api/v1/plugins/nobody/logs", ADMIN, "").await.status(), 404);
}
