//! The plugin as a server runs it, on a real SQLite.

use crate::{AuditLog, store::VerifiedLog};
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use camlock_plugin::{Event, Plugin, Result};
use camlock_testkit::{Answer, Running, Setup};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

const TOKEN: &str = "a-token-of-some-length";

async fn begin() -> Running<AuditLog> {
    Setup::new().config(json!({ "token": TOKEN })).unwrap().start::<AuditLog>().await.unwrap()
}

async fn get(log: &Running<AuditLog>, path: &str) -> Answer {
    let request = Request::get(path).header("authorization", format!("Bearer {TOKEN}")).body(Body::empty()).unwrap();
    log.send(request).await
}

async fn json_of(log: &Running<AuditLog>, path: &str) -> Value {
    let answer = get(log, path).await;
    assert_eq!(answer.status(), StatusCode::OK, "{path}: {}", answer.text());
    serde_json::from_slice(answer.body()).unwrap()
}

async fn tell(log: &Running<AuditLog>, topic: &str, payload: &str) -> Result<()> {
    log.hear(Event::new(topic, payload.to_owned())).await
}

#[tokio::test]
async fn what_happens_is_in_the_log_and_the_log_is_whole() {
    let log = begin().await;
    for number in 0..10 {
        tell(&log, "session.created", &format!("{{\"n\":{number}}}")).await.unwrap();
        tell(&log, "plugin.shop.ordered", "not json, and a \"quote\"").await.unwrap();
    }
    let verified = json_of(&log, "/verify").await;
    assert_eq!((&verified["ok"], &verified["first"], &verified["last"]), (&json!(true), &json!(1), &json!(20)));
    let page = json_of(&log, "/events?topic=session.*&limit=4").await;
    assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (4, &json!(7)));
    assert_eq!(page["items"][1]["payload"], json!({ "n": 1 }));
    let rest = json_of(&log, "/events?topic=session.*&after=7").await;
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next"]), (6, &Value::Null));
    let lines = get(&log, "/events.jsonl?topic=plugin.**").await.text();
    assert_eq!(lines.lines().count(), 10);
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["payload"], "not json, and a \"quote\"");
    let csv = get(&log, "/events.csv").await.text();
    assert!(csv.starts_with("number,topic,") && csv.lines().count() == 21, "{csv}");
    // Known from before, it is the same; another is not.
    let (number, hash) = (&page["items"][0]["number"], page["items"][0]["hash"].as_str().unwrap());
    assert_eq!(json_of(&log, &format!("/verify?number={number}&hash={hash}")).await["ok"], json!(true));
    let other = json_of(&log, &format!("/verify?number={number}&hash=00")).await;
    assert_eq!(other["why"], json!("entry 1 is not the one that is known"));
    assert_eq!(json_of(&log, "/verify?number=21&hash=00").await["why"], json!("entry 21 is missing"));
    log.stop().await;
}

#[tokio::test]
async fn what_is_kept_comes_once() {
    let log = begin().await;
    for position in [1, 2, 2, 1, 3] {
        let mut event = Event::new("session.created", "{}");
        event.position = position;
        log.hear(event).await.unwrap();
    }
    assert_eq!(json_of(&log, "/verify").await["last"], json!(3));
    log.stop().await;
}

#[tokio::test]
async fn many_at_once_are_one_chain() {
    let log = begin().await;
    let all = (0..50).map(|number| {
        let plugin = log.plugin().clone();
        async move { plugin.event(Event::new("a.b", format!("{number}"))).await.unwrap() }
    });
    futures_util::future::join_all(all).await;
    let verified = json_of(&log, "/verify").await;
    assert_eq!((&verified["ok"], &verified["last"]), (&json!(true), &json!(50)));
    log.stop().await;
}

#[tokio::test]
async fn what_is_old_goes_from_the_beginning() {
    let log = begin().await;
    let day = Duration::from_secs(24 * 3600);
    for age in [100, 95, 1, 99, 0] {
        let mut event = Event::new("a.b", format!("{age}"));
        event.at = SystemTime::now() - day * age;
        log.hear(event).await.unwrap();
    }
    // The one of 99 days lies behind a younger one.
    assert_eq!(log.plugin().store.remove_before(SystemTime::now() - day * 90).await.unwrap(), 2);
    let VerifiedLog { ok, first, last, why, .. } = log.plugin().store.verify(None).await.unwrap();
    assert_eq!((ok, first, last, why), (true, 3, 5, None));
    assert_eq!(log.plugin().store.remove_before(SystemTime::now() + day).await.unwrap(), 3);
    tell(&log, "a.b", "1").await.unwrap();
    let VerifiedLog { ok, first, last, .. } = log.plugin().store.verify(None).await.unwrap();
    assert_eq!((ok, first, last), (true, 6, 6));
    log.stop().await;
}

#[tokio::test]
async fn what_happened_is_for_who_shows_the_token() {
    let log = begin().await;
    let without = log.get("/events").await;
    assert_eq!(
        (without.status(), &without.headers()["www-authenticate"]),
        (StatusCode::UNAUTHORIZED, &"Bearer".parse().unwrap())
    );
    let wrong =
        Request::get("/events.csv").header("authorization", "Bearer a-token-of-some-lengtH").body(Body::empty());
    assert_eq!(log.send(wrong.unwrap()).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(log.get("/verify").await.status(), StatusCode::OK);
    assert_eq!(get(&log, "/events?limit=0").await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(get(&log, "/events?topics=a").await.status(), StatusCode::BAD_REQUEST);
    let open = Setup::new().start::<AuditLog>().await.unwrap();
    assert_eq!(open.get("/events").await.status(), StatusCode::FORBIDDEN);
    open.stop().await;
    log.stop().await;
}
