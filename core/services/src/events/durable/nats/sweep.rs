//! What is let go: what is old, and what belongs to a plugin that is gone. What must not live here: who is told to sweep, and when.

use super::{
    NatsLedger,
    link::{PATIENCE, unavailable},
    record::{BuriedEvent, NatsSubscription, read},
};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull::Config};
use camlock_policy::AskError;
use futures_util::{StreamExt, TryStreamExt};
use std::time::{Duration, Instant, SystemTime};

/// What everybody has had is kept for so long, and the rest for so long.
const KEPT_FOR: (Duration, Duration) = (Duration::from_secs(3_600), Duration::from_secs(604_800));

/// What is old is looked for so often.
const SWEPT: Duration = Duration::from_secs(600);

impl NatsLedger {
    pub(super) async fn purge(&self, plugin: String) -> Result<(), AskError> {
        let streams = self.link.streams().await?;
        for row in streams.dead.rows("").await? {
            if read::<BuriedEvent>(&row)?.plugin == plugin {
                streams.dead.remove(&row.key).await?;
            }
        }
        for row in streams.subscriptions.rows("").await? {
            if read::<NatsSubscription>(&row)?.plugin == plugin {
                streams.subscriptions.remove(&row.key).await?;
            }
        }
        Ok(())
    }

    /// The last number of those that were written before that.
    async fn number_before(&self, age: Duration) -> Result<u64, AskError> {
        let streams = self.link.streams().await?;
        let head = streams.events.get_info().await.map_err(unavailable)?.state.last_sequence;
        let start = SystemTime::now() - age;
        let config = Config {
            deliver_policy: DeliverPolicy::ByStartTime { start_time: start.into() },
            ack_policy: AckPolicy::None,
            headers_only: true,
            memory_storage: true,
            num_replicas: 1,
            inactive_threshold: PATIENCE,
            ..Config::default()
        };
        let consumer = streams.events.create_consumer(config).await.map_err(unavailable)?;
        let mut messages = consumer.fetch().max_messages(1).messages().await.map_err(unavailable)?;
        match messages.next().await {
            Some(message) => {
                let message = message.map_err(unavailable)?;
                Ok(message.info().map_err(unavailable)?.stream_sequence - 1)
            }
            None => Ok(head),
        }
    }

    pub(super) async fn sweep(&self) -> Result<(), AskError> {
        if self.swept.lock().is_some_and(|swept| swept.elapsed() < SWEPT) {
            return Ok(());
        }
        *self.swept.lock() = Some(Instant::now());
        let streams = self.link.streams().await?;
        let rows = self.list().await?;
        for row in rows.iter().filter(|row| row.unseen > KEPT_FOR.1) {
            streams.subscriptions.remove(&row.key.row()).await?;
        }
        let had = rows.iter().filter(|row| row.unseen <= KEPT_FOR.1).map(|row| row.done).min().unwrap_or(u64::MAX);
        let upto = self.number_before(KEPT_FOR.1).await?.max(self.number_before(KEPT_FOR.0).await?.min(had));
        let subjects = format!("{}.event.>", self.link.url.prefix());
        let found = streams.events.info_with_subjects(subjects).await.map_err(unavailable)?;
        let subjects: Vec<(String, usize)> = found.try_collect().await.map_err(unavailable)?;
        for (subject, _) in subjects.into_iter().filter(|(_, count)| *count > 1) {
            // The last of each topic stays: its position is where the next one goes on.
            let last = streams.events.get_last_raw_message_by_subject(&subject).await.map_err(unavailable)?;
            let purge = streams.events.purge().filter(subject).sequence((upto + 1).min(last.sequence));
            purge.await.map_err(unavailable)?;
        }
        Ok(())
    }
}
