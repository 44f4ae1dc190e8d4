//! How events are written for plugins, and what plugins say of them. What must not live here: what is done about it.
//!
//! A batch begins with a byte (1: after the first that fails, the others are not tried) and the subscription's name. Then come
//! events: the length of the rest, where it stands (0: it is not kept), how often it was tried, its topic, trace id, time, depth, and
//! what it says. The answer names each that failed: its place in the batch, how, and a sentence. Numbers are little-endian.

use super::{EmittedEvent, record::EventRecord};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use camlock_policy::{AskError, AskErrorCode};

/// So many events are brought at once.
pub(super) const MOST_EVENTS: usize = 256;

/// With so many bytes the next batch begins.
pub(super) const MOST_BYTES: usize = 1 << 20;

/// Of what a plugin says about one that failed, so much is kept.
const MOST_REASON: usize = 2_000;

/// How a handler failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HandlerFailure {
    /// At which event of the batch.
    pub(super) place: usize,
    /// Whether it panicked.
    pub(super) panicked: bool,
    /// One sentence.
    pub(super) reason: String,
}

pub(super) fn put_text(text: &str, to: &mut BytesMut) {
    to.put_u16_le(u16::try_from(text.len()).unwrap_or(u16::MAX));
    to.put_slice(text.as_bytes());
}

/// Begins a batch for a subscription.
pub(super) fn begin_batch(subscription: &str, in_order: bool, bytes: usize) -> BytesMut {
    let mut batch = BytesMut::with_capacity(3 + subscription.len() + bytes);
    batch.put_u8(in_order.into());
    put_text(subscription, &mut batch);
    batch
}

/// One event more.
pub(super) fn put_event(event: &EventRecord, position: u64, attempt: u32, to: &mut BytesMut) {
    to.put_u32_le(u32::try_from(event.encoded().len() + 12).unwrap_or(u32::MAX));
    to.put_u64_le(position);
    to.put_u32_le(attempt);
    to.put_slice(event.encoded());
}

/// What an event takes in a batch.
pub(super) fn size_in_batch(event: &EventRecord) -> usize {
    event.encoded().len() + 16
}

/// What a plugin says of a batch.
pub(super) fn read_failures(mut answer: Bytes) -> Result<Vec<HandlerFailure>, String> {
    let broken = |_| "what the plugin says of events breaks off".to_owned();
    let mut failures = Vec::new();
    while !answer.is_empty() {
        let place = usize::from(answer.try_get_u16_le().map_err(broken)?);
        let panicked = answer.try_get_u8().map_err(broken)? != 0;
        let length = answer.try_get_u32_le().map_err(broken)? as usize;
        if answer.len() < length {
            return Err("what the plugin says of events breaks off".to_owned());
        }
        let told = answer.split_to(length);
        let told = String::from_utf8_lossy(&told[..length.min(MOST_REASON)]).into_owned();
        failures.push(HandlerFailure { place, panicked, reason: told });
    }
    Ok(failures)
}

/// What a plugin asks to emit: whether it is to be kept, its depth, trace id, topic, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AskedEmission {
    pub(super) durable: bool,
    pub(super) depth: u32,
    pub(super) trace_id: [u8; 16],
    pub(super) topic: String,
    pub(super) payload: Bytes,
}

impl AskedEmission {
    pub(super) fn event(&self) -> EmittedEvent<'_> {
        let AskedEmission { topic, payload, trace_id, depth, .. } = self;
        EmittedEvent { topic, payload, trace_id: *trace_id, depth: *depth }
    }
}

pub(super) fn read_emission(mut asked: Bytes) -> Result<AskedEmission, AskError> {
    let invalid = |why: &str| AskError::new(AskErrorCode::Invalid, format!("an event that is emitted {why}"));
    let broken = |_| invalid("breaks off");
    let durable = asked.try_get_u8().map_err(broken)? != 0;
    let depth = asked.try_get_u32_le().map_err(broken)?;
    let trace_id = asked.try_get_u128_le().map_err(broken)?.to_le_bytes();
    let length = usize::from(asked.try_get_u16_le().map_err(broken)?);
    if asked.len() < length {
        return Err(invalid("breaks off"));
    }
    let topic =
        String::from_utf8(asked.split_to(length).to_vec()).map_err(|_| invalid("has a topic that is no UTF-8"))?;
    Ok(AskedEmission { durable, depth, trace_id, topic, payload: asked })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_off_is_no_answer() {
        assert_eq!(read_failures(Bytes::new()), Ok(Vec::new()));
        let mut told = BytesMut::new();
        told.put_u16_le(7);
        told.put_u8(1);
        told.put_u32_le(3);
        told.put_slice(b"why");
        let whole = told.freeze();
        let failure = HandlerFailure { place: 7, panicked: true, reason: "why".to_owned() };
        assert_eq!(read_failures(whole.clone()), Ok(vec![failure]));
        for length in 1..whole.len() {
            assert!(read_failures(whole.slice(..length)).is_err(), "{length}");
        }
        for length in 0..20 {
            assert!(read_emission(Bytes::from(vec![0; length])).is_err(), "{length}");
        }
    }
}
