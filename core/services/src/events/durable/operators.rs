//! Durable subscriptions, as operators see and change them. What must not live here: what is done with events.

use super::{
    DurableEvents,
    sql::{DEAD, IS_THERE, LIST, PAUSE, REPLAY, RESUME},
    store::{KeptEventRow, number, text},
};
use crate::events::operators::shown_payload;
use camlock_policy::{AskError, AskErrorCode, DeadEventView, SubscriptionState, SubscriptionView, UtcTime};
use data_encoding::HEXLOWER;
use std::time::{Duration, UNIX_EPOCH};

/// What was not carried for so long is not there any more, as far as can be known: in milliseconds.
const UNUSED_AFTER: i64 = 60_000;

fn milliseconds(at: u64) -> UtcTime {
    (UNIX_EPOCH + Duration::from_millis(at)).into()
}

fn view(row: &KeptEventRow) -> SubscriptionView {
    let (paused, reason) = (row[8].text(), row[9].text());
    let (state, why) = match (paused, row[6].number()) {
        ("", _) if row[13].number() > UNUSED_AFTER => (SubscriptionState::Unused, "nothing that serves has it"),
        ("", 0) => (SubscriptionState::Active, reason),
        ("", _) => (SubscriptionState::Retrying, reason),
        (paused, _) => (SubscriptionState::Paused, paused),
    };
    let done = row[5].count();
    SubscriptionView {
        id: row[0].text().to_owned(),
        plugin: row[2].text().to_owned(),
        pattern: row[3].text().to_owned(),
        durable: true,
        deliver: Some(row[4].text().to_owned()),
        node: Some(row[1].text().to_owned()).filter(|node| !node.is_empty()),
        state,
        reason: Some(why.to_owned()).filter(|why| !why.is_empty()),
        waiting: row[15].count().saturating_sub(done),
        delivered: row[10].count(),
        failed: row[11].count(),
        dropped: row[12].count(),
        dead: row[14].count(),
        position: Some(done),
    }
}

fn dead_view(row: &KeptEventRow) -> DeadEventView {
    DeadEventView {
        number: row[0].count(),
        topic: row[1].text().to_owned(),
        position: row[2].count(),
        payload: shown_payload(row[3].bytes()),
        at: (UNIX_EPOCH + Duration::from_micros(row[4].count())).into(),
        trace_id: HEXLOWER.encode(row[5].bytes()),
        depth: u32::try_from(row[6].number()).unwrap_or_default(),
        node: Some(row[7].text().to_owned()).filter(|node| !node.is_empty()),
        attempts: u32::try_from(row[8].number()).unwrap_or_default(),
        reason: row[9].text().to_owned(),
        died: milliseconds(row[10].count()),
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
        Ok(self.0.store.run(LIST, Vec::new()).await?.iter().map(view).collect())
    }

    async fn known(&self, id: &str) -> Result<(), AskError> {
        if !self.0.store.is_there() {
            return Err(unknown(id));
        }
        let rows = self.0.store.run(IS_THERE, vec![text(id)]).await?;
        if rows.first().is_some_and(|row| row[0].number() > 0) { Ok(()) } else { Err(unknown(id)) }
    }

    pub(in crate::events) async fn dead(
        &self,
        id: &str,
        after: u64,
        most: usize,
    ) -> Result<(Vec<DeadEventView>, bool), AskError> {
        self.known(id).await?;
        let rows = self.0.store.run(DEAD, vec![text(id), number(after), number(most as u64 + 1)]).await?;
        Ok((rows.iter().take(most).map(dead_view).collect(), rows.len() > most))
    }

    pub(in crate::events) async fn replay(&self, id: &str, event: Option<u64>) -> Result<u64, AskError> {
        self.known(id).await?;
        let rows = self.0.store.run(REPLAY, vec![text(id), number(event.unwrap_or(0))]).await?;
        if let Some(event) = event.filter(|_| rows.is_empty()) {
            let why = format!("no event {event} of `{id}` was given up");
            return Err(AskError::new(AskErrorCode::NotFound, why));
        }
        self.look_again();
        Ok(rows.len() as u64)
    }

    pub(in crate::events) async fn pause(&self, id: &str, paused: bool) -> Result<(), AskError> {
        self.known(id).await?;
        if paused {
            self.0.store.run(PAUSE, vec![text("an operator paused it"), text(id)]).await?;
        } else {
            self.0.store.run(RESUME, vec![text(id)]).await?;
        }
        self.look_again();
        Ok(())
    }
}
