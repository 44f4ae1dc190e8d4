//! How events are written on their way between host and plugin; see `core/services/src/events/wire.rs`. What must not live here: what
//! is done with them.

use super::Event;
use crate::{HostError, HostErrorCode, TraceId};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

/// Events that were brought together.
pub(super) struct Batch {
    /// Whether none is to be tried after one that failed.
    pub(super) in_order: bool,
    subscription: Arc<str>,
    /// Of the event before: mostly the next one has the same.
    topic: Arc<str>,
    rest: Bytes,
}

fn broken() -> HostError {
    HostError::new(HostErrorCode::Invalid, "events that the host brings break off")
}

fn take(from: &mut Bytes, length: usize) -> Result<Bytes, HostError> {
    if from.len() < length {
        return Err(broken());
    }
    Ok(from.split_to(length))
}

fn take_text(from: &mut Bytes) -> Result<Bytes, HostError> {
    let length = from.try_get_u16_le().map_err(|_| broken())?;
    take(from, length.into())
}

fn shared(text: &[u8]) -> Result<Arc<str>, HostError> {
    std::str::from_utf8(text).map(Into::into).map_err(|_| broken())
}

impl Batch {
    pub(super) fn read(mut bytes: Bytes) -> Result<Self, HostError> {
        let in_order = bytes.try_get_u8().map_err(|_| broken())? != 0;
        let subscription = shared(&take_text(&mut bytes)?)?;
        Ok(Batch { in_order, subscription, topic: "".into(), rest: bytes })
    }

    /// The next event, if there is one more.
    pub(super) fn next(&mut self) -> Result<Option<Event>, HostError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let length = self.rest.try_get_u32_le().map_err(|_| broken())?;
        let mut event = take(&mut self.rest, length as usize)?;
        let position = event.try_get_u64_le().map_err(|_| broken())?;
        let attempt = event.try_get_u32_le().map_err(|_| broken())?;
        let topic = take_text(&mut event)?;
        if *topic != *self.topic.as_bytes() {
            self.topic = shared(&topic)?;
        }
        let trace_id = event.try_get_u128_le().map_err(|_| broken())?.to_le_bytes();
        let at = event.try_get_u64_le().map_err(|_| broken())?;
        let depth = event.try_get_u32_le().map_err(|_| broken())?;
        Ok(Some(Event {
            subscription: self.subscription.clone(),
            topic: self.topic.clone(),
            payload: event,
            at: UNIX_EPOCH + Duration::from_micros(at),
            trace_id: TraceId(trace_id),
            depth,
            position,
            attempt,
        }))
    }
}

/// Says of an event of the batch how it failed.
pub(super) fn put_failure(place: u16, panicked: bool, reason: &str, to: &mut BytesMut) {
    to.put_u16_le(place);
    to.put_u8(panicked.into());
    to.put_u32_le(u32::try_from(reason.len()).unwrap_or(u32::MAX));
    to.put_slice(reason.as_bytes());
}

/// An event that is to be emitted.
pub(super) fn emission(durable: bool, depth: u32, trace_id: [u8; 16], topic: &str, payload: &[u8]) -> Bytes {
    let mut asked = BytesMut::with_capacity(1 + 4 + 16 + 2 + topic.len() + payload.len());
    asked.put_u8(durable.into());
    asked.put_u32_le(depth);
    asked.put_slice(&trace_id);
    asked.put_u16_le(u16::try_from(topic.len()).unwrap_or(u16::MAX));
    asked.put_slice(topic.as_bytes());
    asked.put_slice(payload);
    asked.freeze()
}
