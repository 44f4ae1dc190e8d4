//! Writing events, each with its position among those of its topic: it is written only if what its writer knows to be the last of the
//! topic is the last. Many are under way at once, each behind the one before. What must not live here: reading.

use super::link::{NatsLink, header_number, unavailable};
use crate::events::durable::{fresh_id, port::KeptEmission};
use async_nats::{
    HeaderMap, HeaderValue,
    jetstream::{
        context::{PublishError, PublishErrorKind},
        message::PublishMessage,
        stream::LastRawMessageErrorKind,
    },
};
use camlock_policy::AskError;
use data_encoding::HEXLOWER;
use std::collections::HashMap;
use tokio::sync::Mutex;

pub(super) const POSITION: &str = "Camlock-Position";
pub(super) const AT: &str = "Camlock-At";
pub(super) const TRACE: &str = "Camlock-Trace";
pub(super) const DEPTH: &str = "Camlock-Depth";

/// So many topics are known at once.
const MOST_TOPICS: usize = 10_000;

/// So often others may be quicker before it is given up.
const MOST_ROUNDS: usize = 1_000;

/// The last event of a topic: its number, and its position.
type TopicHead = (u64, u64);

#[derive(Default)]
pub(super) struct EventAppender(Mutex<AppenderState>);

#[derive(Default)]
struct AppenderState {
    heads: HashMap<String, TopicHead>,
    /// No other writer's messages are called so.
    id: String,
    count: u64,
}

/// Whether somebody else has written meanwhile.
fn was_late(error: &PublishError) -> bool {
    matches!(error.kind(), PublishErrorKind::WrongLastSequence | PublishErrorKind::WrongLastMessageId)
}

impl EventAppender {
    /// Nothing that was known of topics holds any more.
    pub(super) async fn forget(&self) {
        self.0.lock().await.heads.clear();
    }

    /// Writes all of these, in their order. If it fails, some of them may have been written.
    pub(super) async fn append(&self, link: &NatsLink, events: &[KeptEmission]) -> Result<(), AskError> {
        // Also so that what one caller writes does not come between what another one does.
        let mut state = self.0.lock().await;
        if state.id.is_empty() {
            state.id = fresh_id();
        }
        if state.heads.len() > MOST_TOPICS {
            state.heads.clear();
        }
        let mut rest = events;
        for _ in 0..MOST_ROUNDS {
            match round(link, &mut state, rest).await {
                Ok(written) => rest = &rest[written..],
                Err(error) => {
                    // Nothing is known of what was under way.
                    state.heads.clear();
                    return Err(error);
                }
            }
            if rest.is_empty() {
                return Ok(());
            }
        }
        Err(unavailable("others write the same topics without end"))
    }
}

/// Writes as many as it can until somebody else comes between: how many.
async fn round(link: &NatsLink, state: &mut AppenderState, events: &[KeptEmission]) -> Result<usize, AskError> {
    let (_, context) = link.open().await?;
    let (mut under_way, mut last_id) = (Vec::with_capacity(events.len()), None::<String>);
    let mut positions: HashMap<&str, u64> = HashMap::new();
    for event in events {
        let mut message = PublishMessage::build();
        let position = match positions.get(&*event.topic) {
            Some(position) => position + 1,
            None => {
                let (number, position) = head(link, state, &event.topic).await?;
                message = message.expected_last_subject_sequence(number);
                position + 1
            }
        };
        positions.insert(&event.topic, position);
        state.count += 1;
        let id = format!("{}-{}", state.id, state.count);
        // Nobody has written anything since the one before: so what is known of topics is still true.
        if let Some(last_id) = &last_id {
            message = message.expected_last_message_id(last_id);
        }
        for (name, number) in [(POSITION, position), (AT, event.at), (DEPTH, event.depth.into())] {
            message = message.header(name, HeaderValue::from(number));
        }
        message =
            message.message_id(&id).header(TRACE, HEXLOWER.encode(&event.trace_id)).payload(event.payload.clone());
        last_id = Some(id);
        let sent = context.send_publish(link.subject(&event.topic), message).await.map_err(unavailable)?;
        under_way.push((event, position, sent));
    }
    let (mut written, mut is_late, mut failed) = (0, false, None);
    for (event, position, sent) in under_way {
        match sent.await {
            Ok(acknowledged) if !is_late => {
                state.heads.insert(event.topic.clone(), (acknowledged.sequence, position));
                written += 1;
            }
            // It was behind one that was not written: that cannot be.
            Ok(_) => failed = Some(unavailable("it wrote what it was told not to")),
            Err(error) if was_late(&error) => {
                is_late = true;
                state.heads.remove(&event.topic);
            }
            Err(error) => failed = Some(unavailable(error)),
        }
    }
    failed.map_or(Ok(written), Err)
}

/// The last of a topic, as it is known here, or as the server knows it.
async fn head(link: &NatsLink, state: &mut AppenderState, topic: &str) -> Result<TopicHead, AskError> {
    if let Some(head) = state.heads.get(topic) {
        return Ok(*head);
    }
    let streams = link.streams().await?;
    let head = match streams.events.get_last_raw_message_by_subject(&link.subject(topic)).await {
        Ok(message) => (message.sequence, header_number(&message.headers, POSITION)),
        Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => (0, 0),
        Err(error) => return Err(unavailable(error)),
    };
    state.heads.insert(topic.to_owned(), head);
    Ok(head)
}

/// What a header says of the trace.
pub(super) fn trace_of(headers: &HeaderMap) -> [u8; 16] {
    let text = headers.get(TRACE).map(|value| value.as_str().as_bytes()).unwrap_or_default();
    HEXLOWER.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).unwrap_or_default()
}
