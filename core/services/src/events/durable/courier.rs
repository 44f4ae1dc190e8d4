//! Bringing kept events to one subscription, one batch after the other, for as long as this server has the right to. What must not
//! live here: how an event gets its number, and what a batch is.

use super::{
    SharedDurable, read_event,
    sql::{ADVANCE, BURY, BothSql, CLAIM, FAILED, GIVE_UP, READ, REGISTER, RELEASE, REVIVED, STILL_DEAD, TO_REPLAY},
    store::{EventCell, number, text},
};
use crate::events::{
    bring::{Attempted, BatchSize, Brought, bring},
    meters::EventMeter,
    wire::{MOST_BYTES, size_in_batch},
};
use bytes::Bytes;
use camlock_policy::{AskError, Subscription};
use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};
use tokio::{sync::watch, time::timeout};

/// It is never waited longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// So often it is looked whether somebody else who had the right to bring events has it no longer.
const LOOK: Duration = Duration::from_secs(5);

/// While a batch takes long, the right to bring events is held on to so often.
const HOLD: Duration = Duration::from_secs(4);

/// So long it is waited for a plugin that does not serve for now.
const AGAIN: Duration = Duration::from_millis(250);

/// So long it is waited for a database that is away.
const AWAY: Duration = Duration::from_secs(1);

/// A subscription as it is carried.
pub(super) struct CarriedSubscription {
    pub(super) id: String,
    /// Empty: there is one for all servers.
    pub(super) node: String,
    pub(super) plugin: Arc<str>,
    pub(super) wanted: Subscription,
    pub(super) meter: Arc<EventMeter>,
}

/// The right to bring events, and where it goes on.
struct TopicClaim {
    done: u64,
    attempts: u32,
    /// So long it is waited before the next attempt.
    due: Duration,
    epoch: i64,
    paused: bool,
    replays: u64,
}

/// When it is looked again.
enum Next {
    Now,
    After(Duration),
    /// When there is a reason to.
    Word(Duration),
}

/// Carries until it is ended, or nobody uses events any more.
pub(super) async fn carry(
    durable: Weak<SharedDurable>,
    subscription: CarriedSubscription,
    mut look: watch::Receiver<u64>,
    mut ended: watch::Receiver<bool>,
) {
    let (mut registered, mut size) = (false, BatchSize::default());
    loop {
        look.mark_unchanged();
        let Some(strong) = durable.upgrade() else { return };
        let courier = Courier { durable: strong, subscription: &subscription };
        let step = async {
            if !registered {
                courier.register().await?;
            }
            courier.step(&mut size).await
        };
        let next = tokio::select! {
            next = step => next,
            _ = ended.changed() => {
                courier.release().await;
                return;
            }
        };
        drop(courier);
        registered |= next.is_ok();
        let (time, hears) = match next {
            Ok(Next::Now) => continue,
            Ok(Next::After(time)) => (time, false),
            Ok(Next::Word(time)) => (time, true),
            Err(error) => {
                tracing::debug!(subscription = subscription.id, "kept events cannot be brought now: {}", error.message);
                (AWAY, false)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            _ = look.changed(), if hears => {}
            _ = ended.changed() => {
                if let Some(durable) = durable.upgrade() {
                    Courier { durable, subscription: &subscription }.release().await;
                }
                return;
            }
        }
    }
}

struct Courier<'a> {
    durable: Arc<SharedDurable>,
    subscription: &'a CarriedSubscription,
}

impl Courier<'_> {
    async fn run(&self, sql: BothSql, values: Vec<EventCell>) -> Result<Vec<super::KeptEventRow>, AskError> {
        self.durable.store.run(sql, values).await
    }

    /// As which row it is known.
    fn key(&self) -> [EventCell; 2] {
        [text(&self.subscription.id), text(&self.subscription.node)]
    }

    /// The same, if nobody else got the right meanwhile.
    fn held(&self, claim: &TopicClaim) -> [EventCell; 4] {
        let [id, node] = self.key();
        [id, node, text(&self.durable.holder), EventCell::Number(claim.epoch)]
    }

    async fn register(&self) -> Result<(), AskError> {
        let CarriedSubscription { plugin, wanted, .. } = self.subscription;
        let [id, node] = self.key();
        let values = vec![id, node, text(plugin), text(wanted.pattern.as_str()), text(wanted.deliver.word())];
        self.run(REGISTER, values).await.map(drop)
    }

    async fn claim(&self) -> Result<Option<TopicClaim>, AskError> {
        let [id, node] = self.key();
        let rows = self.run(CLAIM, vec![text(&self.durable.holder), id, node]).await?;
        Ok(rows.first().map(|row| TopicClaim {
            done: row[0].count(),
            attempts: u32::try_from(row[1].number()).unwrap_or(0),
            due: Duration::from_millis(row[2].count()),
            epoch: row[3].number(),
            paused: row[4].number() != 0,
            replays: row[5].count(),
        }))
    }

    async fn release(&self) {
        let [id, node] = self.key();
        let _ = self.run(RELEASE, vec![text(&self.durable.holder), id, node]).await;
    }

    async fn step(&self, size: &mut BatchSize) -> Result<Next, AskError> {
        let Some(claim) = self.claim().await? else { return Ok(Next::After(LOOK)) };
        if claim.paused {
            return Ok(Next::Word(LOOK));
        }
        if claim.replays > 0 {
            return self.replay(size).await;
        }
        if claim.attempts > 0 && claim.due > Duration::ZERO {
            return Ok(Next::Word(claim.due));
        }
        let rows = self.run(READ, vec![number(claim.done)]).await?;
        let Some(first) = rows.first() else { return Ok(Next::Word(LOOK)) };
        // Numbers have no gaps: what lies between was removed.
        let lost = first[0].count() - claim.done - 1;
        let (mut batch, mut numbers, mut upto, mut bytes) = (Vec::new(), Vec::new(), claim.done, 0);
        for row in &rows {
            let attempt = if batch.is_empty() { claim.attempts + 1 } else { 1 };
            let (number, attempted) = read_event(row, attempt);
            if self.subscription.wanted.pattern.matches(&attempted.0.topic) {
                if batch.len() >= size.most() || bytes > MOST_BYTES {
                    break;
                }
                bytes += size_in_batch(&attempted.0);
                batch.push(attempted);
                numbers.push(number);
            }
            upto = number;
        }
        if batch.is_empty() {
            self.advance(&claim, upto, 0, lost).await?;
            return Ok(Next::Now);
        }
        match self.bring(&batch, size).await {
            Brought::Handled(failures) => match failures.first().filter(|failure| failure.place < batch.len()) {
                None => {
                    self.advance(&claim, upto, batch.len(), lost).await?;
                    Ok(Next::Now)
                }
                Some(failure) => {
                    let place = failure.place;
                    if place > 0 {
                        self.advance(&claim, numbers[place] - 1, place, lost).await?;
                    }
                    let attempts = if place == 0 { claim.attempts + 1 } else { 1 };
                    self.fail(&claim, (numbers[place], &batch[place]), attempts, &failure.reason).await
                }
            },
            Brought::NotServing => Ok(Next::After(AGAIN)),
            Brought::Left => Ok(Next::Now),
            Brought::NotTaken => {
                let why = "the plugin has no `event`";
                let values =
                    [vec![number(claim.attempts.into()), text(why), number(5_000)], self.held(&claim).to_vec()];
                self.run(FAILED, values.concat()).await?;
                Ok(Next::After(LOOK))
            }
            Brought::Broken(why) => {
                // It is not known which event that was: the next attempt is with one alone.
                size.shrink();
                self.fail(&claim, (numbers[0], &batch[0]), claim.attempts + 1, &why).await
            }
        }
    }

    /// Brings them, and holds on to the right meanwhile.
    async fn bring(&self, batch: &[Attempted], size: &mut BatchSize) -> Brought {
        let names = (&*self.subscription.plugin, &*self.subscription.wanted.name);
        let mut bringing = std::pin::pin!(bring(&*self.durable.deliver, names, batch, true, size));
        loop {
            match timeout(HOLD, bringing.as_mut()).await {
                Ok(brought) => return brought,
                Err(_) => drop(self.claim().await),
            }
        }
    }

    async fn advance(&self, claim: &TopicClaim, upto: u64, delivered: usize, lost: u64) -> Result<(), AskError> {
        let counts = vec![number(upto), number(delivered as u64), number(lost)];
        self.run(ADVANCE, [counts, self.held(claim).to_vec()].concat()).await?;
        self.subscription.meter.delivered.fetch_add(delivered as u64, Ordering::Relaxed);
        self.subscription.meter.dropped.fetch_add(lost, Ordering::Relaxed);
        Ok(())
    }

    /// It is tried again later, or given up.
    async fn fail(
        &self,
        claim: &TopicClaim,
        (place, (event, position, _)): (u64, &Attempted),
        attempts: u32,
        why: &str,
    ) -> Result<Next, AskError> {
        self.subscription.meter.failed.fetch_add(1, Ordering::Relaxed);
        let limits = &self.durable.limits;
        if attempts < limits.attempts {
            let pause = (limits.pause * 2_u32.saturating_pow(attempts - 1)).min(LONGEST_PAUSE);
            let milliseconds = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            let values = vec![number(attempts.into()), text(why), number(milliseconds)];
            self.run(FAILED, [values, self.held(claim).to_vec()].concat()).await?;
            return Ok(Next::Word(pause));
        }
        tracing::warn!(
            plugin = &*self.subscription.plugin,
            subscription = self.subscription.id,
            topic = &*event.topic,
            "an event was given up after {attempts} attempts: {why}"
        );
        let bury = vec![
            number(place),
            text(&event.topic),
            number(*position),
            EventCell::Bytes(Bytes::copy_from_slice(event.payload())),
            number(event.at),
            EventCell::Bytes(Bytes::copy_from_slice(&event.trace_id)),
            number(event.depth.into()),
            number(attempts.into()),
            text(why),
        ];
        let give_up = [vec![number(place), text(why)], self.held(claim).to_vec()].concat();
        let all = vec![(BURY, [bury, self.held(claim).to_vec()].concat()), (GIVE_UP, give_up)];
        self.durable.store.run_all(all).await?;
        *self.durable.dead.lock().entry(self.subscription.plugin.to_string()).or_default() += 1;
        Ok(Next::Now)
    }

    /// Tries anew what was given up, one event.
    async fn replay(&self, size: &mut BatchSize) -> Result<Next, AskError> {
        let rows = self.run(TO_REPLAY, self.key().to_vec()).await?;
        let Some(row) = rows.first() else { return Ok(Next::Now) };
        let attempts = u32::try_from(row[7].number()).unwrap_or(0);
        let (place, attempted) = read_event(row, attempts + 1);
        let [id, node] = self.key();
        let why = match self.bring(&[attempted], size).await {
            Brought::Handled(failures) => failures.into_iter().next().map(|failure| failure.reason),
            Brought::NotServing => return Ok(Next::After(AGAIN)),
            Brought::Left => return Ok(Next::Now),
            Brought::NotTaken => Some("the plugin has no `event`".to_owned()),
            Brought::Broken(why) => Some(why),
        };
        match why {
            None => {
                self.run(REVIVED, vec![id, node, number(place)]).await?;
                self.subscription.meter.delivered.fetch_add(1, Ordering::Relaxed);
                if let Some(dead) = self.durable.dead.lock().get_mut(&*self.subscription.plugin) {
                    *dead = dead.saturating_sub(1);
                }
            }
            Some(why) => {
                self.run(STILL_DEAD, vec![text(&why), id, node, number(place)]).await?;
                self.subscription.meter.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(Next::Now)
    }
}
