//! Events: hearing of them, and emitting. What must not live here: how they cross, but for what these asks are made of.

mod around;
mod emit;
mod handle;
mod stream;
mod wire;

pub use emit::{EmittedEvent, Events};
pub use stream::EventStream;

pub(crate) use handle::handle_batch;

/// The trace of an event that is emitted now, and how many led to it.
pub(crate) fn lineage() -> ([u8; 16], u32) {
    let around::Lineage { trace_id, depth } = around::next();
    (trace_id, depth)
}

use crate::{HostError, HostErrorCode, TraceId};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::{sync::Arc, time::SystemTime};

/// Something that happened: see [`Plugin::event`](crate::Plugin::event).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// The subscription of the manifest that it comes by: its name, or its pattern.
    pub subscription: Arc<str>,
    /// What it is about.
    pub topic: Arc<str>,
    /// What it says; mostly JSON.
    pub payload: Bytes,
    /// When it was emitted.
    pub at: SystemTime,
    /// The trace that it belongs to.
    pub trace_id: TraceId,
    /// How many events led to it: 0 of one that none led to.
    pub depth: u32,
    /// Its place among the events of its topic that are kept, from 1 on; 0 if it is not kept.
    pub position: u64,
    /// How often it was tried with this.
    pub attempt: u32,
}

impl Event {
    /// One as a host would bring it, for tests.
    pub fn new(topic: &str, payload: impl Into<Bytes>) -> Self {
        Event {
            subscription: topic.into(),
            topic: topic.into(),
            payload: payload.into(),
            at: SystemTime::now(),
            trace_id: TraceId([0; 16]),
            depth: 0,
            position: 0,
            attempt: 1,
        }
    }

    /// What it says, as a type; the error says where it does not fit.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HostError> {
        let mut text = serde_json::Deserializer::from_slice(&self.payload);
        serde_path_to_error::deserialize(&mut text).map_err(|error| {
            HostError::new(HostErrorCode::Invalid, format!("the event `{}` is not as expected: {error}", self.topic))
        })
    }
}
