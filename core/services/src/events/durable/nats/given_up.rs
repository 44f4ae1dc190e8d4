//! Events that were given up: how they get there, are shown, and are tried anew. What must not live here: when one is given up.

use super::{
    MOST_CHANGES, NatsLedger, RowChange,
    link::{NatsTable, unavailable},
    record::{BuriedEvent, NatsSubscription, begin, number_of, read, written},
};
use crate::events::durable::port::{BringingRight, DeadEvent, KeptEvent, SubscriptionKey};
use camlock_policy::AskError;

/// So many events in a row may be given up before a subscription is paused.
const MOST_GIVEN_UP: u64 = 20;

impl NatsLedger {
    pub(super) async fn give_up(
        &self,
        right: BringingRight,
        event: KeptEvent,
        attempts: u32,
        reason: String,
    ) -> Result<(), AskError> {
        let streams = self.link.streams().await?;
        let plugin = right.key.id.split(':').next().unwrap_or_default();
        let buried = BuriedEvent::new(plugin, &right.key.node, &event, attempts, reason.clone());
        // First: if this ends between the two, it is given up once more.
        streams.dead.put(&right.key.dead_row(event.number), written(&buried), None).await?;
        let change = |state: &mut NatsSubscription| {
            (state.done, state.attempts) = (event.number, 0);
            state.failed += 1;
            state.given_up += 1;
            state.reason = Some(reason.clone());
            if state.given_up >= MOST_GIVEN_UP {
                state.paused = Some(format!("events were given up one after the other, {MOST_GIVEN_UP} of them"));
            }
        };
        self.change_held(&right, None, change).await
    }

    /// The dead events of a subscription on one server or on all, in the order of their numbers.
    async fn dead_keys(&self, begin: &str) -> Result<Vec<String>, AskError> {
        let mut keys = self.link.streams().await?.dead.keys(begin).await?;
        keys.sort_by_key(|key| number_of(key));
        Ok(keys)
    }

    pub(super) async fn to_replay(&self, key: SubscriptionKey) -> Result<Option<(KeptEvent, u32)>, AskError> {
        let streams = self.link.streams().await?;
        let Some(row) = streams.subscriptions.get(&key.row()).await? else { return Ok(None) };
        for dead in self.dead_keys(&format!("{}.", key.row())).await? {
            if let Some(found) = streams.dead.get(&dead).await? {
                let buried: BuriedEvent = read(&found)?;
                if buried.replay {
                    return Ok(Some((buried.event(), buried.attempts)));
                }
            }
        }
        // Unless somebody wanted one more meanwhile.
        let mut state: NatsSubscription = read(&row)?;
        state.replays = false;
        streams.subscriptions.put(&key.row(), written(&state), Some(row.revision)).await?;
        Ok(None)
    }

    pub(super) async fn replay(&self, id: String, number: Option<u64>) -> Result<u64, AskError> {
        let table = &self.link.streams().await?.dead;
        let mut count = 0;
        for key in self.dead_keys(&begin(&id)).await? {
            if number.is_none_or(|number| number == number_of(&key)) {
                count += u64::from(begin_anew(table, &key).await?);
            }
        }
        let wants = |state: &mut NatsSubscription| {
            state.replays = true;
            RowChange::Write
        };
        for key in self.link.streams().await?.subscriptions.keys(&begin(&id)).await? {
            self.change(&key, wants).await?;
        }
        Ok(count)
    }

    pub(super) async fn still_dead(&self, key: SubscriptionKey, number: u64, reason: String) -> Result<(), AskError> {
        let table = &self.link.streams().await?.dead;
        let row = key.dead_row(number);
        let Some(found) = table.get(&row).await? else { return Ok(()) };
        let mut buried: BuriedEvent = read(&found)?;
        (buried.replay, buried.reason) = (false, reason);
        buried.attempts += 1;
        table.put(&row, written(&buried), Some(found.revision)).await.map(drop)
    }

    pub(super) async fn dead(&self, id: String, after: u64, most: usize) -> Result<Vec<DeadEvent>, AskError> {
        let table = &self.link.streams().await?.dead;
        let keys = self.dead_keys(&begin(&id)).await?;
        let mut dead = Vec::new();
        for key in keys.iter().filter(|key| number_of(key) > after).take(most) {
            if let Some(found) = table.get(key).await? {
                dead.push(read::<BuriedEvent>(&found)?.dead(found.written));
            }
        }
        Ok(dead)
    }
}

/// One is to be tried anew: whether it was there.
async fn begin_anew(table: &NatsTable, key: &str) -> Result<bool, AskError> {
    for _ in 0..MOST_CHANGES {
        let Some(found) = table.get(key).await? else { return Ok(false) };
        let mut buried: BuriedEvent = read(&found)?;
        buried.replay = true;
        if table.put(key, written(&buried), Some(found.revision)).await?.is_some() {
            return Ok(true);
        }
    }
    Err(unavailable("others change what was given up without end"))
}
