//! A fake of a plugin that takes tasks and keeps a ledger of them.

use camlock_policy::{Body, BoxFuture, Deliver, Delivered, Delivery, ERROR_CODE, Fault, FaultKind, Undelivered};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

/// All clones are one.
#[derive(Clone, Default)]
pub struct FakePlugin(Arc<Mutex<Ledger>>);

#[derive(Default)]
pub struct Ledger {
    /// Ids, in the order in which they began.
    pub begun: Vec<i64>,
    /// How often each came to its end.
    pub done: BTreeMap<i64, u32>,
    /// Tasks that run now.
    pub running: BTreeSet<i64>,
    /// The most that ran at once.
    pub most: usize,
    /// Tasks that began while they ran already.
    pub overlaps: Vec<i64>,
    /// Whether whatever is brought has to go.
    pub leaving: bool,
    /// Times of schedules that came.
    pub due: Vec<i64>,
}

impl FakePlugin {
    pub fn ledger<T>(&self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }
}

/// Notes the end, however it ends.
struct Running(FakePlugin, i64);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.ledger(|ledger| ledger.running.remove(&self.1));
    }
}

impl Deliver for FakePlugin {
    fn deliver(&self, plugin: &str, delivery: Delivery) -> BoxFuture<Result<Delivered, Undelivered>> {
        assert_eq!(plugin, "shop");
        let (plugin, path) = (self.clone(), delivery.request.uri().path().to_owned());
        Box::pin(async move {
            let body = delivery.request.into_body().collect().await.unwrap().to_bytes();
            let task: Value = serde_json::from_slice(&body).unwrap();
            if path == "/schedule/1" {
                assert_eq!(task["name"], "tick");
                plugin.ledger(|ledger| ledger.due.push(task["due"].as_i64().unwrap()));
                return Ok(Delivered { generation: 1, response: Response::new(Body::from("null".to_owned())) });
            }
            assert_eq!(path, "/task/1");
            let id: i64 = task["id"].as_str().unwrap().parse().unwrap();
            if plugin.ledger(|ledger| ledger.leaving) {
                return Err(Undelivered::Leaving);
            }
            plugin.ledger(|ledger| {
                ledger.begun.push(id);
                if !ledger.running.insert(id) {
                    ledger.overlaps.push(id);
                }
                ledger.most = ledger.most.max(ledger.running.len());
            });
            let running = Running(plugin.clone(), id);
            let input = &task["input"];
            if let Some(wait) = input["wait"].as_u64() {
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            let failing = input["fail"].as_u64().is_some_and(|times| task["attempt"].as_u64() <= Some(times));
            let answer = match input["do"].as_str() {
                Some("panic") => {
                    let fault = Fault::new(FaultKind::Panic, "it panics");
                    return Err(Undelivered::Failed { generation: 1, fault });
                }
                Some("invalid") => refused("invalid", "the input does not fit: it is too long"),
                Some("garbage") => Response::new(Body::from("{".to_owned())),
                _ if failing => refused("failed", "the disk is full"),
                _ => Response::new(Body::from(json!({ "attempt": task["attempt"] }).to_string())),
            };
            drop(running);
            plugin.ledger(|ledger| *ledger.done.entry(id).or_default() += 1);
            Ok(Delivered { generation: 1, response: answer })
        })
    }
}

fn refused(code: &'static str, told: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(told.to_owned()));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(ERROR_CODE, HeaderValue::from_static(code));
    response
}
