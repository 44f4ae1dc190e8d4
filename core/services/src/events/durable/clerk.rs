//! What goes on beside emitting and bringing: events get their numbers, other servers are heard of, what is old goes. What must not
//! live here: how any of it is written.

use super::SharedDurable;
use camlock_policy::AskError;
use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::timeout};

/// So often it is looked without a word: for what plugins emitted by SQL of their own, and for words that were lost.
const LOOK: Duration = Duration::from_secs(1);

/// How often it is looked who wants what kept.
const REFRESH: Duration = Duration::from_secs(10);

/// How often what is old goes.
const SWEEP_AFTER: Duration = Duration::from_secs(60);

/// Works until nobody uses these events any more.
pub(super) async fn work(durable: Weak<SharedDurable>, mut look: watch::Receiver<u64>, mut ended: watch::Receiver<()>) {
    let listening = durable.upgrade().map(|durable| {
        let hearing = durable.store.listen(durable.look.clone());
        durable.runtime.spawn(hearing)
    });
    let mut clerk = Clerk { refreshed: None, swept: Instant::now(), head: 0 };
    loop {
        look.mark_unchanged();
        let Some(durable) = durable.upgrade() else { break };
        let done = clerk.look(&durable).await;
        if let Err(error) = done {
            tracing::debug!("kept events cannot be looked after now: {}", error.message);
            tokio::time::sleep(LOOK).await;
        }
        drop(durable);
        tokio::select! {
            changed = timeout(LOOK, look.changed()) => if let Ok(Err(_)) = changed { break },
            // There is never a change, but an end.
            _ = ended.changed() => break,
        }
    }
    if let Some(listening) = listening {
        listening.abort();
    }
}

struct Clerk {
    refreshed: Option<Instant>,
    swept: Instant,
    head: u64,
}

impl Clerk {
    async fn look(&mut self, durable: &Arc<SharedDurable>) -> Result<(), AskError> {
        if !durable.store.is_there() {
            return Ok(());
        }
        if self.refreshed.is_none_or(|last| last.elapsed() >= REFRESH) {
            refresh(durable).await?;
            self.refreshed = Some(Instant::now());
        }
        let in_use = !durable.wanted.read().is_empty() || self.head > 0;
        if !in_use && *durable.look.borrow() == 0 {
            // Nobody wants anything kept, and nobody kept anything.
            return Ok(());
        }
        while durable.store.number_fresh().await? > 0 {}
        let head = durable.store.head().await?;
        if std::mem::replace(&mut self.head, head) != head {
            durable.look.send_modify(|count| *count += 1);
        }
        if self.swept.elapsed() >= SWEEP_AFTER {
            self.swept = Instant::now();
            durable.store.sweep().await?;
        }
        Ok(())
    }
}

/// Looks who wants what kept, and what was given up.
async fn refresh(durable: &SharedDurable) -> Result<(), AskError> {
    let rows = durable.store.list().await?;
    let mut wanted: Vec<_> = durable.couriers.lock().values().map(|(wanted, _)| wanted.pattern.clone()).collect();
    let mut dead = BTreeMap::new();
    for row in &rows {
        wanted.extend(row.pattern.parse().ok().filter(|pattern| !wanted.contains(pattern)));
        *dead.entry(row.plugin.clone()).or_default() += row.dead;
    }
    *durable.wanted.write() = wanted;
    *durable.dead.lock() = dead;
    Ok(())
}
