//! Emitting events. What must not live here: how an event is written (`wire.rs`).

use super::{EventStream, around, wire};
use crate::{Host, HostError, HostErrorCode};
use axum::body::Body as AxumBody;
use bytes::Bytes;
use http::Request;
use serde::Serialize;

/// Events: emitted by this plugin, and followed at run time. What is to be heard of always is better named under `subscriptions` in
/// the manifest, and comes to [`Plugin::event`](crate::Plugin::event).
///
/// ```
/// use camlock_plugin::{Host, HostError, json};
///
/// async fn greeted(host: &Host, whom: &str) -> Result<(), HostError> {
///     // It takes the permission `events:emit:plugin.hello.greeted`.
///     host.events().emit_json("plugin.hello.greeted", &json!({ "whom": whom }))?.send().await
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Events(pub(super) Host);

/// An event that is to be emitted.
#[derive(Clone, Debug)]
#[must_use = "nothing is emitted before it is sent"]
pub struct EmittedEvent {
    host: Host,
    topic: String,
    payload: Bytes,
    durable: bool,
}

impl Host {
    /// Events of this host.
    pub fn events(&self) -> Events {
        Events(self.clone())
    }
}

impl Events {
    /// An event of a topic of this plugin's, `plugin.NAME.…`: [`EmittedEvent::send`] emits it. It takes the permission
    /// `events:emit:TOPIC`.
    pub fn emit(&self, topic: &str, payload: impl Into<Bytes>) -> EmittedEvent {
        EmittedEvent { host: self.0.clone(), topic: topic.to_owned(), payload: payload.into(), durable: false }
    }

    /// The same, as JSON.
    pub fn emit_json<T: Serialize + ?Sized>(&self, topic: &str, payload: &T) -> Result<EmittedEvent, HostError> {
        let text = serde_json::to_vec(payload);
        let text = text.map_err(|error| HostError::new(HostErrorCode::Invalid, format!("{topic}: {error}")))?;
        Ok(self.emit(topic, text))
    }

    /// Follows events of topics that match a pattern, from now on, for as long as the stream is read; who reads slowly misses the
    /// oldest. It takes the permission `events:subscribe:PATTERN`.
    pub async fn subscribe(&self, pattern: &str) -> Result<EventStream, HostError> {
        EventStream::open(&self.0, pattern).await
    }
}

impl EmittedEvent {
    /// Kept until all durable subscriptions have had it, also if there are none now.
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Emits it. An event that is emitted while another one is handled belongs to the same trace; if too many led to it, it is a
    /// loop, and the error is `Limit`.
    ///
    /// When this returns, an event that somebody wants kept is kept.
    pub async fn send(self) -> Result<(), HostError> {
        let around::Lineage { trace_id, depth } = around::next();
        let asked = wire::emission(self.durable, depth, trace_id, &self.topic, &self.payload);
        let request = Request::post("/events/1/emit").body(AxumBody::from(asked));
        let request = request.map_err(|error| HostError::new(HostErrorCode::Invalid, error.to_string()))?;
        self.host.ask(request).await.map(drop)
    }
}
