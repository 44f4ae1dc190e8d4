//! Instances without a server in front of them, and what becomes of them.

use crate::harness::Host;
use camlock_policy::{Answer, Body, Call, Ending, Fault, Instance, Loaded, Watch};
use http::Request;
use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How long anything may take that has to happen in the end.
const PATIENCE: Duration = Duration::from_secs(300);

pub async fn call(instance: &Arc<dyn Instance>, path: &str) -> Result<Answer, Fault> {
    instance.call(Call::new(Request::get(path).body(Body::empty()).expect("a request"))).await
}

/// Calls and expects that it succeeds.
pub async fn visit(instance: &Arc<dyn Instance>, path: &str) {
    let answer = call(instance, path).await.expect("an answer");
    assert!(answer.response.status().is_success(), "{path}: {}", answer.response.status());
}

/// Waits for an ending.
pub async fn ends(ending: &mut watch::Receiver<Ending>, expected: impl Fn(&Ending) -> bool) -> Ending {
    if let Ok(ended) = tokio::time::timeout(PATIENCE, ending.wait_for(|ending| expected(ending))).await {
        return ended.expect("the keeper tells").clone();
    }
    panic!("it stayed {:?}", *ending.borrow());
}

/// Waits until the library is gone; how many destructors were forgotten.
pub async fn goes(ending: &mut watch::Receiver<Ending>) -> usize {
    match ends(ending, |ending| matches!(ending, Ending::Unmapped { .. })).await {
        Ending::Unmapped { forgotten, .. } => forgotten,
        other => panic!("{other:?}"),
    }
}

/// Waits until the generation is told to be pinned, and why.
pub async fn is_pinned(ending: &mut watch::Receiver<Ending>) -> String {
    match ends(ending, |ending| *ending != Ending::Alive).await {
        Ending::Pinned { reason } => reason,
        other => panic!("{other:?}"),
    }
}

/// Loads, visits a path, and lets go: how it ends.
pub async fn after_visiting(host: &Host, library: &std::path::Path, paths: &[&str]) -> watch::Receiver<Ending> {
    let Loaded { instance, ending, .. } = host.load(library).await;
    for path in paths {
        visit(&instance, path).await;
    }
    let _ = instance.shutdown().await;
    ending
}

/// Waits until a condition holds.
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until exactly this keeps a generation.
pub async fn held_by(leases: &Watch, told: &str) {
    until(told, async || leases.describe_holders() == told).await;
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on a thread that belongs to no runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park_timeout(Duration::from_millis(100)),
        }
    }
}
