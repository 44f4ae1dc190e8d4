//! Ticker: ticks once a second over WebSockets (`/ws`) and server-sent events (`/events`), a page that shows both, and a widget (`ui/live.js`)
//! on the page of operators, which asks `/now`.
//!
//! `clock` is the background task, `ticks` what each client gets, `streams` the two ways to get it.

#![forbid(unsafe_code)]

mod clock;
mod streams;
mod ticks;

use axum::response::Html;
use camlock_plugin::prelude::*;
use clock::{Clock, Seconds};

struct Ticker {
    clock: Clock,
}

impl Plugin for Ticker {
    async fn create(_host: Host) -> Result<Self> {
        Ok(Ticker { clock: Clock::default() })
    }

    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        Router::new()
            .route("/", get(|| async { Html(include_str!("page.html")) }))
            .route("/ws", any(streams::socket))
            .route("/events", get(streams::events))
            .route("/now", get(now))
            .with_state(self.clock.watch())
    }

    async fn start(&self) -> Result<()> {
        self.clock.start();
        Ok(())
    }

    async fn shutdown(&self) {
        self.clock.stop().await;
    }
}

/// The seconds since it was started, for whoever asks once.
async fn now(State(seconds): State<Seconds>) -> Json<serde_json::Value> {
    Json(serde_json::json!({ "uptime": *seconds.borrow() }))
}

export!(Ticker);

#[cfg(test)]
mod tests;
