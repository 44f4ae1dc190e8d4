//! Reading the events of one subscription: through a consumer that goes on where it was, with what was read and is not done yet. What
//! must not live here: what is done with them.

use super::{
    append::{AT, DEPTH, POSITION, trace_of},
    link::{NatsLink, NatsStreams, PATIENCE, header_number, unavailable},
};
use crate::events::durable::port::{EventBatch, KeptEmission, KeptEvent};
use async_nats::{
    HeaderMap,
    jetstream::{
        consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull::Config},
        stream::LastRawMessageErrorKind,
    },
};
use bytes::Bytes;
use camlock_policy::{AskError, TopicPattern};
use futures_util::StreamExt;
use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// So many events are read at once.
const MOST_READ: usize = 256;

/// So long events are read one by one: whoever reads is to hold on to the right to bring them.
const OVERTAKING: Duration = Duration::from_secs(2);

/// A consumer that nobody reads from goes.
const UNREAD: Duration = Duration::from_secs(60);

/// Where reading is.
#[derive(Default)]
pub(super) struct NatsReader {
    consumer: Option<PullConsumer>,
    /// What was read and is not done, each with how many were removed before it.
    read: VecDeque<(KeptEvent, u64)>,
    /// Everything behind this is in `read`, or still to be read.
    from: u64,
    /// There is nothing more up to there.
    upto: u64,
    /// The last position of each topic.
    positions: HashMap<String, u64>,
}

impl NatsReader {
    /// The next ones behind `done`.
    pub(super) async fn next(
        &mut self,
        link: &NatsLink,
        done: u64,
        pattern: &TopicPattern,
    ) -> Result<EventBatch, AskError> {
        if done < self.from || done > self.upto || self.consumer.is_none() {
            *self = NatsReader { from: done, upto: done, ..NatsReader::default() };
        }
        self.from = done;
        while self.read.front().is_some_and(|(event, _)| event.number <= done) {
            self.read.pop_front();
        }
        let mut again = self.read.is_empty();
        while again {
            let filled = self.fill(link, done, pattern).await;
            if filled.is_err() {
                self.consumer = None;
            }
            // Whether it brought nothing but what was read already.
            again = filled? && self.read.is_empty();
        }
        let lost = self.read.front().map_or(0, |(_, lost)| *lost);
        // The next gap is told with what is behind it.
        let whole = 1 + self.read.iter().skip(1).take_while(|(_, lost)| *lost == 0).count();
        let events: Vec<KeptEvent> = self.read.iter().take(whole).map(|(event, _)| event.clone()).collect();
        let upto = match events.last() {
            Some(last) if events.len() < self.read.len() => last.number,
            Some(last) => self.upto.max(last.number),
            None => self.upto.max(done),
        };
        Ok(EventBatch { events, upto, lost })
    }

    /// Reads on; whether there is more where that came from.
    async fn fill(&mut self, link: &NatsLink, done: u64, pattern: &TopicPattern) -> Result<bool, AskError> {
        let streams = link.streams().await?;
        let head = streams.events.get_info().await.map_err(unavailable)?.state.last_sequence;
        if head <= done.max(self.upto) {
            self.upto = self.upto.max(done);
            return Ok(false);
        }
        let consumer = match &self.consumer {
            Some(consumer) => consumer,
            None => {
                let config = Config {
                    deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: done + 1 },
                    ack_policy: AckPolicy::None,
                    filter_subject: filter(link.url.prefix(), pattern),
                    inactive_threshold: UNREAD,
                    memory_storage: true,
                    num_replicas: 1,
                    ..Config::default()
                };
                let made = streams.events.create_consumer(config).await.map_err(unavailable)?;
                self.consumer.insert(made)
            }
        };
        let mut messages = consumer.fetch().max_messages(MOST_READ).messages().await.map_err(unavailable)?;
        let mut count = 0;
        loop {
            let next = timeout(PATIENCE, messages.next()).await;
            let Some(message) = next.map_err(|_| unavailable("the server does not send what it has"))? else { break };
            let (number, message) = {
                let message = message.map_err(unavailable)?;
                let number = message.info().map_err(unavailable)?.stream_sequence;
                (number, message.message.clone())
            };
            count += 1;
            let none = HeaderMap::new();
            self.take(
                link,
                pattern,
                (number, &message.subject),
                message.headers.as_ref().unwrap_or(&none),
                &message.payload,
            );
        }
        if count < MOST_READ {
            self.overtake(streams, link, (head, pattern)).await?;
        }
        Ok(count == MOST_READ)
    }

    /// Reads on up to `head`. A consumer hears a moment later than the stream of what is kept, and says that there is nothing: the stream
    /// knows.
    async fn overtake(
        &mut self,
        streams: &NatsStreams,
        link: &NatsLink,
        (head, pattern): (u64, &TopicPattern),
    ) -> Result<(), AskError> {
        let (filter, began) = (filter(link.url.prefix(), pattern), Instant::now());
        while self.upto < head && self.read.len() < MOST_READ && began.elapsed() < OVERTAKING {
            match streams.events.get_first_raw_message_by_subject(&filter, self.upto + 1).await {
                Ok(message) => {
                    self.take(link, pattern, (message.sequence, &message.subject), &message.headers, &message.payload);
                }
                Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => self.upto = head,
                Err(error) => return Err(unavailable(error)),
            }
        }
        Ok(())
    }

    /// One that was read, unless it was before.
    fn take(
        &mut self,
        link: &NatsLink,
        pattern: &TopicPattern,
        (number, subject): (u64, &str),
        headers: &HeaderMap,
        payload: &Bytes,
    ) {
        if number <= self.upto {
            return;
        }
        self.upto = number;
        let topic = topic(link.url.prefix(), subject);
        if pattern.matches(topic) {
            let event = event((number, topic), headers, payload);
            let before = self.positions.insert(event.said.topic.clone(), event.position);
            let lost = before.map_or(0, |before| event.position.saturating_sub(before + 1));
            self.read.push_back((event, lost));
        }
    }
}

/// The subjects of all topics that it matches.
fn filter(prefix: &str, pattern: &TopicPattern) -> String {
    match pattern.as_str().strip_suffix("**") {
        Some(begin) => format!("{prefix}.event.{begin}>"),
        None => format!("{prefix}.event.{pattern}.!"),
    }
}

fn topic<'a>(prefix: &str, subject: &'a str) -> &'a str {
    let rest = subject.strip_prefix(prefix).and_then(|rest| rest.strip_prefix(".event."));
    rest.and_then(|rest| rest.strip_suffix(".!")).unwrap_or_default()
}

fn event((number, topic): (u64, &str), headers: &HeaderMap, payload: &Bytes) -> KeptEvent {
    KeptEvent {
        number,
        position: header_number(headers, POSITION),
        said: KeptEmission {
            topic: topic.to_owned(),
            payload: payload.clone(),
            at: header_number(headers, AT),
            trace_id: trace_of(headers),
            depth: u32::try_from(header_number(headers, DEPTH)).unwrap_or(0),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_what_patterns_do() {
        for (pattern, subjects) in [
            ("session.*", "camlock.event.session.*.!"),
            ("plugin.**", "camlock.event.plugin.>"),
            ("**", "camlock.event.>"),
            ("a.b", "camlock.event.a.b.!"),
        ] {
            assert_eq!(filter("camlock", &pattern.parse().unwrap()), subjects, "{pattern}");
        }
    }
}
