//! An event, as it is written once and read by many. What must not live here: who hears of it.

use super::wire::put_text;
use bytes::{BufMut, Bytes, BytesMut};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// What it is about.
    pub topic: Arc<str>,
    /// When it was emitted, in microseconds since 1970.
    pub at: u64,
    /// The W3C trace id that it belongs to, or zeros.
    pub trace_id: [u8; 16],
    /// How many events led to it: 0 of one that none led to.
    pub depth: u32,
    /// All of it but where it stands, as it is brought to plugins.
    encoded: Bytes,
    /// What it says begins there.
    payload_at: usize,
}

/// The same, by many.
pub type SharedEvent = Arc<EventRecord>;

impl EventRecord {
    /// An event of now.
    pub fn now(topic: Arc<str>, payload: &[u8], trace_id: [u8; 16], depth: u32) -> Self {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        EventRecord::at(u64::try_from(at.as_micros()).unwrap_or(u64::MAX), topic, payload, trace_id, depth)
    }

    /// An event of another time.
    pub fn at(at: u64, topic: Arc<str>, payload: &[u8], trace_id: [u8; 16], depth: u32) -> Self {
        let mut encoded = BytesMut::with_capacity(2 + topic.len() + 16 + 8 + 4 + payload.len());
        put_text(&topic, &mut encoded);
        encoded.put_slice(&trace_id);
        encoded.put_u64_le(at);
        encoded.put_u32_le(depth);
        let payload_at = encoded.len();
        encoded.put_slice(payload);
        EventRecord { topic, at, trace_id, depth, encoded: encoded.freeze(), payload_at }
    }

    /// What it says.
    pub fn payload(&self) -> &[u8] {
        &self.encoded[self.payload_at..]
    }

    pub(super) fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// What it takes in memory, more or less.
    pub(super) fn size(&self) -> usize {
        self.encoded.len() + size_of::<EventRecord>()
    }
}
