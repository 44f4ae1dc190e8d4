//! What the testkit can see: the page and the events, by a clock that jumps ahead whenever nothing else is to be done.

use crate::Ticker;
use camlock_plugin::prelude::*;
use camlock_testkit::{Answer, Running};
use std::time::Duration;

/// Reads a stream that ends because the plugin is shut down after so many milliseconds.
async fn stream_of(running: &Running<Ticker>, path: &str, milliseconds: u64) -> Answer {
    let shutdown = async {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        running.plugin().shutdown().await;
    };
    tokio::join!(running.get(path), shutdown).0
}

#[tokio::test(start_paused = true)]
async fn events_tick_until_the_plugin_ends() {
    let running = Running::<Ticker>::start().await.unwrap();
    let answer = stream_of(&running, "/events?every=400", 1900).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let expected: String = [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1)]
        .map(|(number, uptime)| {
            format!("event: tick\nid: {number}\ndata: {{\"number\":{number},\"uptime\":{uptime}}}\n\n")
        })
        .concat();
    assert_eq!(answer.text(), expected);
    // Who comes too late gets an end at once.
    assert_eq!(running.get("/events").await.text(), "");
}

#[tokio::test(start_paused = true)]
async fn rare_ticks_are_kept_alive() {
    let running = Running::<Ticker>::start().await.unwrap();
    let text = stream_of(&running, "/events?every=60000", 40_000).await.text();
    assert!(text.starts_with("event: tick\n") && text.matches(":\n\n").count() == 2, "{text:?}");
}

#[tokio::test]
async fn intervals_have_bounds() {
    let running = Running::<Ticker>::start().await.unwrap();
    for every in ["99", "60001", "-1", "often"] {
        let answer = running.get(&format!("/events?every={every}")).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{every}");
    }
    let told = running.get("/events?every=99").await.text();
    assert!(told.contains("`every` is a number of milliseconds from 100 to 60000"), "{told}");
    running.stop().await;
}

#[tokio::test]
async fn whoever_asks_once_is_told() {
    let running = Running::<Ticker>::start().await.unwrap();
    assert_eq!(running.get("/now").await.text(), r#"{"uptime":0}"#);
    running.stop().await;
}

#[tokio::test]
async fn the_page_is_there() {
    let running = Running::<Ticker>::start().await.unwrap();
    let answer = running.get("/").await;
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(answer.text().contains("EventSource"));
    running.stop().await;
}

#[tokio::test]
async fn a_plugin_that_was_never_started_shuts_down() {
    let plugin = Ticker::create(Host::in_program()).await.unwrap();
    plugin.shutdown().await;
    // And what was shut down does not begin again.
    plugin.start().await.unwrap();
    assert!(plugin.clock.watch().has_changed().is_err());
}
