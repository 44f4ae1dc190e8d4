//! Bringing kept events to one subscription, one batch after the other, for as long as this server has the right to. What must not
//! live here: how an event gets its number, and what a batch is.

use super::{
    SharedDurable,
    port::{KeptEvent, SubscriptionKey, SubscriptionTerms, TopicClaim},
};
use crate::events::{
    bring::{Attempted, BatchSize, Brought, bring},
    meters::EventMeter,
    wire::{MOST_BYTES, size_in_batch},
};
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
    fn key(&self) -> SubscriptionKey {
        SubscriptionKey { id: self.subscription.id.clone(), node: self.subscription.node.clone() }
    }

    async fn register(&self) -> Result<(), AskError> {
        let CarriedSubscription { plugin, wanted, .. } = self.subscription;
        let (plugin, pattern) = (plugin.to_string(), wanted.pattern.clone());
        let terms = SubscriptionTerms { plugin, pattern, deliver: wanted.deliver.word() };
        self.durable.store.register(self.key(), terms).await
    }

    async fn claim(&self) -> Result<Option<TopicClaim>, AskError> {
        self.durable.store.claim(self.key(), self.durable.holder.clone()).await
    }

    async fn release(&self) {
        let _ = self.durable.store.release(self.key(), self.durable.holder.clone()).await;
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
        let pattern = self.subscription.wanted.pattern.clone();
        let next = self.durable.store.read(claim.right.clone(), claim.done, pattern).await?;
        let lost = next.lost;
        if next.upto == claim.done {
            return Ok(Next::Word(LOOK));
        }
        let (mut batch, mut upto, mut bytes) = (Vec::new(), next.upto, 0);
        for event in &next.events {
            let attempted = event.attempted(if batch.is_empty() { claim.attempts + 1 } else { 1 });
            if batch.len() >= size.most() || bytes > MOST_BYTES {
                upto = event.number - 1;
                break;
            }
            bytes += size_in_batch(&attempted.0);
            batch.push(attempted);
        }
        let events = &next.events[..batch.len()];
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
                        self.advance(&claim, events[place].number - 1, place, lost).await?;
                    }
                    let attempts = if place == 0 { claim.attempts + 1 } else { 1 };
                    self.fail(&claim, &events[place], attempts, &failure.reason).await
                }
            },
            Brought::NotServing => Ok(Next::After(AGAIN)),
            Brought::Left => Ok(Next::Now),
            Brought::NotTaken => {
                let why = "the plugin has no `event`";
                let store = &self.durable.store;
                store.failed(claim.right.clone(), claim.attempts, why.to_owned(), LOOK).await?;
                Ok(Next::After(LOOK))
            }
            Brought::Broken(why) => {
                // It is not known which event that was: the next attempt is with one alone.
                size.shrink();
                self.fail(&claim, &events[0], claim.attempts + 1, &why).await
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
        self.durable.store.advance(claim.right.clone(), upto, (delivered as u64, lost)).await?;
        self.subscription.meter.delivered.fetch_add(delivered as u64, Ordering::Relaxed);
        self.subscription.meter.dropped.fetch_add(lost, Ordering::Relaxed);
        Ok(())
    }

    /// It is tried again later, or given up.
    async fn fail(&self, claim: &TopicClaim, event: &KeptEvent, attempts: u32, why: &str) -> Result<Next, AskError> {
        self.subscription.meter.failed.fetch_add(1, Ordering::Relaxed);
        let limits = &self.durable.limits;
        if attempts < limits.attempts {
            let pause = (limits.pause * 2_u32.saturating_pow(attempts - 1)).min(LONGEST_PAUSE);
            self.durable.store.failed(claim.right.clone(), attempts, why.to_owned(), pause).await?;
            return Ok(Next::Word(pause));
        }
        tracing::warn!(
            plugin = &*self.subscription.plugin,
            subscription = self.subscription.id,
            topic = &*event.said.topic,
            "an event was given up after {attempts} attempts: {why}"
        );
        self.durable.store.give_up(claim.right.clone(), event.clone(), attempts, why.to_owned()).await?;
        *self.durable.dead.lock().entry(self.subscription.plugin.to_string()).or_default() += 1;
        Ok(Next::Now)
    }

    /// Tries anew what was given up, one event.
    async fn replay(&self, size: &mut BatchSize) -> Result<Next, AskError> {
        let Some((event, attempts)) = self.durable.store.to_replay(self.key()).await? else { return Ok(Next::Now) };
        let attempted = event.attempted(attempts + 1);
        let why = match self.bring(&[attempted], size).await {
            Brought::Handled(failures) => failures.into_iter().next().map(|failure| failure.reason),
            Brought::NotServing => return Ok(Next::After(AGAIN)),
            Brought::Left => return Ok(Next::Now),
            Brought::NotTaken => Some("the plugin has no `event`".to_owned()),
            Brought::Broken(why) => Some(why),
        };
        match why {
            None => {
                self.durable.store.revived(self.key(), event.number).await?;
                self.subscription.meter.delivered.fetch_add(1, Ordering::Relaxed);
                if let Some(dead) = self.durable.dead.lock().get_mut(&*self.subscription.plugin) {
                    *dead = dead.saturating_sub(1);
                }
            }
            Some(why) => {
                self.durable.store.still_dead(self.key(), event.number, why).await?;
                self.subscription.meter.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(Next::Now)
    }
}
