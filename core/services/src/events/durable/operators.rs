//! Durable subscriptions, as operators see and change them. What must not live here: what is done with events.

use super::{
    DurableEvents,
    port::{DeadEvent, SubscriptionRow},
};
use crate::events::operators::shown_payload;
use camlock_policy::{AskError, AskErrorCode, DeadEventView, SubscriptionState, SubscriptionView, UtcTime};
use data_encoding::HEXLOWER;
use std::time::{Duration, UNIX_EPOCH};

/// What was not carried for so long is not there any more, as far as can be known.
const UNUSED_AFTER: Duration = Duration::from_secs(60);

fn milliseconds(at: u64) -> UtcTime {
    (UNIX_EPOCH + Duration::from_millis(at)).into()
}

fn view(row: &SubscriptionRow) -> SubscriptionView {
    let reason = row.reason.clone();
    let (state, why) = match (&*row.paused, row.attempts) {
        ("", _) if row.unseen > UNUSED_AFTER => (SubscriptionState::Unused, "nothing that serves has it".to_owned()),
        ("", 0) => (SubscriptionState::Active, reason),
        ("", _) => (SubscriptionState::Retrying, reason),
        (paused, _) => (SubscriptionState::Paused, paused.to_owned()),
    };
    SubscriptionView {
        id: row.key.id.clone(),
        plugin: row.plugin.clone(),
        pattern: row.pattern.clone(),
        durable: true,
        deliver: Some(row.deliver.clone()),
        node: Some(row.key.node.clone()).filter(|node| !node.is_empty()),
        state,
        reason: Some(why).filter(|why| !why.is_empty()),
        waiting: row.last.saturating_sub(row.done),
        delivered: row.delivered,
        failed: row.failed,
        dropped: row.lost,
        dead: row.dead,
        position: Some(row.done),
    }
}

fn dead_view(dead: &DeadEvent) -> DeadEventView {
    let said = &dead.event.said;
    DeadEventView {
        number: dead.event.number,
        topic: said.topic.clone(),
        position: dead.event.position,
        payload: shown_payload(&said.payload),
        at: (UNIX_EPOCH + Duration::from_micros(said.at)).into(),
        trace_id: HEXLOWER.encode(&said.trace_id),
        depth: said.depth,
        node: Some(dead.node.clone()).filter(|node| !node.is_empty()),
        attempts: dead.attempts,
        reason: dead.reason.clone(),
        died: milliseconds(dead.died),
    }
}

pub(in crate::events) fn unknown(id: &str) -> AskError {
    AskError::new(AskErrorCode::NotFound, format!("there is no subscription `{id}`"))
}

impl DurableEvents {
    pub(in crate::events) async fn views(&self) -> Result<Vec<SubscriptionView>, AskError> {
        if !self.0.store.is_there() {
            return Ok(Vec::new());
        }
        Ok(self.0.store.list().await?.iter().map(view).collect())
    }

    async fn known(&self, id: &str) -> Result<(), AskError> {
        if !self.0.store.is_there() {
            return Err(unknown(id));
        }
        if self.0.store.is_known(id.to_owned()).await? { Ok(()) } else { Err(unknown(id)) }
    }

    pub(in crate::events) async fn dead(
        &self,
        id: &str,
        after: u64,
        most: usize,
    ) -> Result<(Vec<DeadEventView>, bool), AskError> {
        self.known(id).await?;
        let rows = self.0.store.dead(id.to_owned(), after, most + 1).await?;
        Ok((rows.iter().take(most).map(dead_view).collect(), rows.len() > most))
    }

    pub(in crate::events) async fn replay(&self, id: &str, event: Option<u64>) -> Result<u64, AskError> {
        self.known(id).await?;
        let replayed = self.0.store.replay(id.to_owned(), event).await?;
        if let Some(event) = event.filter(|_| replayed == 0) {
            let why = format!("no event {event} of `{id}` was given up");
            return Err(AskError::new(AskErrorCode::NotFound, why));
        }
        self.look_again();
        Ok(replayed)
    }

    pub(in crate::events) async fn pause(&self, id: &str, paused: bool) -> Result<(), AskError> {
        self.known(id).await?;
        let reason = paused.then(|| "an operator paused it".to_owned());
        self.0.store.pause(id.to_owned(), reason).await?;
        self.look_again();
        Ok(())
    }
}
