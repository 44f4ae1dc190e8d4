//! A plugin that the test program has compiled in. It is an ordinary one; what it lets the tests see of it are statics, which
//! they can reach because it is the same program.

use camlock_plugin::{Config, Saved, Taken, TraceId, axum::body::Body, prelude::*};
use http_body::Frame;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    task::{Context, Poll},
    time::Duration,
};
use tracing::Instrument;

/// Whether `create` is to fail, and how.
pub static CREATE_FAILS: AtomicBool = AtomicBool::new(false);
pub static CREATE_PANICS: AtomicBool = AtomicBool::new(false);
/// How often these were reached.
pub static STARTED: AtomicUsize = AtomicUsize::new(0);
pub static SHUT_DOWN: AtomicUsize = AtomicUsize::new(0);
pub static DROPPED: AtomicUsize = AtomicUsize::new(0);
pub static TICKS: AtomicUsize = AtomicUsize::new(0);

pub struct Linked {
    host: Host,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    count: AtomicUsize,
}

#[derive(serde::Deserialize)]
struct Settings {
    step: usize,
}

/// A body whose one frame comes late, and says so.
struct Late(bool);

impl http_body::Body for Late {
    type Data = bytes::Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Infallible>>> {
        match std::mem::replace(&mut self.0, true) {
            false => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            true => {
                tracing::info!("linked: reading the body");
                panic!("in the body");
            }
        }
    }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("linked: while dropping");
    }
}

async fn traced(trace: TraceId) -> String {
    let handler = async {
        tracing::info!(number = 7, "linked: inside the handler");
        let _ = tokio::spawn(async { tracing::warn!("linked: inside a spawned task") }).await;
        trace.to_string()
    };
    handler.instrument(tracing::info_span!("traced", colour = "red")).await
}

async fn hang() {
    let _bomb = Bomb;
    std::future::pending::<()>().await;
}

/// A thread of the plugin's own counts on the runtime, while the handler blocks until it is done.
async fn threads() -> &'static str {
    let handle = tokio::runtime::Handle::current();
    let thread =
        std::thread::spawn(move || handle.block_on(async { tokio::time::sleep(Duration::from_millis(5)).await }));
    if thread.join().is_ok() { "joined" } else { "panicked" }
}

impl Plugin for Linked {
    async fn create(host: Host) -> Result<Self> {
        assert!(!CREATE_PANICS.load(Ordering::SeqCst), "told to panic");
        if CREATE_FAILS.load(Ordering::SeqCst) {
            return Err(Error::msg("told to fail"));
        }
        tracing::info!("linked: created");
        Ok(Linked { host, shared: Arc::default() })
    }

    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        let shared = self.shared.clone();
        Router::new()
            .route("/hello", get(|| async { "Hello from inside!" }))
            .route("/count", get(move || async move { (shared.count.fetch_add(1, Ordering::SeqCst) + 1).to_string() }))
            .route(
                "/step",
                get(move || async move { self.host.config::<Settings>().map_or(0, |it| it.step).to_string() }),
            )
            .route(
                "/panic",
                get(|| async {
                    if true {
                        panic!("in the handler")
                    }
                }),
            )
            .route("/late", get(|| async { Body::new(Late(false)) }))
            .route("/hang", get(hang))
            .route("/traced", get(traced))
            .route("/threads", get(threads))
            .route("/task", get(|| async { drop(tokio::spawn(async { panic!("linked: in a task") })) }))
    }

    async fn start(&self) -> Result<()> {
        STARTED.fetch_add(1, Ordering::SeqCst);
        let host = self.host.clone();
        self.host.spawn(async move {
            tracing::info!("linked: on the host's runtime");
            loop {
                host.sleep(Duration::from_millis(2)).await;
                TICKS.fetch_add(1, Ordering::SeqCst);
            }
        });
        Ok(())
    }

    async fn health(&self) -> Result<()> {
        match self.shared.count.load(Ordering::SeqCst) {
            13 => Err(Error::msg("thirteen is no good number")),
            _ => Ok(()),
        }
    }

    async fn save(&self) -> Result<Option<Vec<u8>>> {
        Ok(Some(self.shared.count.load(Ordering::SeqCst).to_be_bytes().to_vec()))
    }

    async fn restore(&self, saved: Saved) -> Result<()> {
        let bytes = saved.state.try_into().map_err(|_| Error::msg("not eight bytes"))?;
        self.shared.count.store(usize::from_be_bytes(bytes), Ordering::SeqCst);
        Ok(())
    }

    async fn configure(&self, config: Config) -> Result<Taken> {
        config.read::<Settings>().map(|_| Taken::Live)
    }

    async fn shutdown(&self) {
        SHUT_DOWN.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        tracing::info!("linked: dropped");
        DROPPED.fetch_add(1, Ordering::SeqCst);
    }
}

export!(Linked);
