//! Kept events on a NATS server with JetStream: an event is a message of a stream, with its number by the server and its position by
//! whoever wrote it (`append.rs`); what is known of a subscription is a row (`record.rs`) that is changed only as long as nobody else
//! has changed it, which also is how the right to bring events is got and held on to. No clock is compared with another one: who has
//! the right loses it when its row stays as it is for so long. Those given up lie in rows of their own (`given_up.rs`); what is old is
//! let go (`sweep.rs`), and what the server has lost is made good as far as it can be (`lost.rs`). What must not live here: when events
//! are brought, and what comes of it.

mod append;
mod given_up;
mod link;
mod lost;
mod place;
mod reader;
mod record;
mod sweep;

pub(super) use place::NatsUrl;

use super::{
    port::{
        BringingRight, DeadEvent, EventBatch, EventLedger, KeptEmission, KeptEvent, LedgerFuture, SubscriptionKey,
        SubscriptionRow, SubscriptionTerms, TopicClaim,
    },
    store::EventStore,
};
use append::EventAppender;
use camlock_policy::{AskError, BoxFuture, TopicPattern};
use futures_util::StreamExt;
use link::{NatsLink, unavailable};
use lost::micros;
use parking_lot::Mutex;
use reader::NatsReader;
use record::{NatsSubscription, begin, read, written};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch;

/// Whose row stays as it is for so long has lost the right to bring events.
const HELD_FOR: Duration = Duration::from_secs(15);

/// A row is written at least so often by who has the right.
const HEARD: Duration = Duration::from_secs(4);

/// So often a row is tried to be changed while others change it.
const MOST_CHANGES: usize = 100;

/// Between attempts to listen.
const PAUSE: Duration = Duration::from_secs(2);

/// Kept events on NATS. Cheap to clone.
#[derive(Clone)]
pub(super) struct NatsEvents(Arc<NatsLedger>);

struct NatsLedger {
    link: NatsLink,
    appender: EventAppender,
    /// Where events are that plugins emitted in transactions of theirs.
    outbox: EventStore,
    readers: Mutex<HashMap<SubscriptionKey, Arc<tokio::sync::Mutex<NatsReader>>>>,
    /// What is held here: when that was written last, and when its next event is due.
    held: Mutex<HashMap<SubscriptionKey, HeldRight>>,
    /// What others hold: which revision was seen, first when.
    others: Mutex<HashMap<SubscriptionKey, (u64, Instant)>>,
    /// What was registered here, and not let go of.
    registered: Mutex<HashMap<SubscriptionKey, SubscriptionTerms>>,
    /// When the stream of events was made that is known here, in microseconds since 1970.
    made: Mutex<Option<u64>>,
    /// When the one of subscriptions was.
    made_table: Mutex<Option<u64>>,
    /// Up to which number what there is has been handled, as it was seen last.
    done: Mutex<HashMap<SubscriptionKey, u64>>,
    swept: Mutex<Option<Instant>>,
}

#[derive(Clone, Copy)]
struct HeldRight {
    written: Instant,
    due: Option<Instant>,
}

/// What is to become of a row.
enum RowChange {
    Write,
    Leave,
}

impl NatsEvents {
    pub(super) fn new(url: NatsUrl, outbox: EventStore) -> Self {
        NatsEvents(Arc::new(NatsLedger {
            link: NatsLink::new(url),
            appender: EventAppender::default(),
            outbox,
            readers: Mutex::default(),
            held: Mutex::default(),
            others: Mutex::default(),
            registered: Mutex::default(),
            made: Mutex::default(),
            made_table: Mutex::default(),
            done: Mutex::default(),
            swept: Mutex::default(),
        }))
    }

    /// Does something with all of this, by itself.
    fn asked<T: Send + 'static, F>(&self, work: impl FnOnce(Arc<NatsLedger>) -> F) -> LedgerFuture<T>
    where
        F: Future<Output = Result<T, AskError>> + Send + 'static,
    {
        Box::pin(work(self.0.clone()))
    }
}

impl NatsLedger {
    /// Changes a subscription's row, if it is there, and nobody else is quicker without end: what it is now.
    async fn change(
        &self,
        key: &str,
        change: impl Fn(&mut NatsSubscription) -> RowChange + Send + Sync,
    ) -> Result<Option<NatsSubscription>, AskError> {
        let table = &self.link.streams().await?.subscriptions;
        for _ in 0..MOST_CHANGES {
            let Some(row) = table.get(key).await? else { return Ok(None) };
            let mut state: NatsSubscription = read(&row)?;
            match change(&mut state) {
                RowChange::Leave => return Ok(None),
                RowChange::Write => {}
            }
            if table.put(key, written(&state), Some(row.revision)).await?.is_some() {
                return Ok(Some(state));
            }
        }
        Err(unavailable("others change a subscription without end"))
    }

    /// The same by who has the right to.
    async fn change_held(
        &self,
        right: &BringingRight,
        due: Option<Instant>,
        change: impl Fn(&mut NatsSubscription) + Send + Sync,
    ) -> Result<(), AskError> {
        let changed = self
            .change(&right.key.row(), |state| {
                if state.holder != *right.holder || state.epoch != right.epoch {
                    return RowChange::Leave;
                }
                change(state);
                RowChange::Write
            })
            .await?;
        if changed.is_some() {
            self.held.lock().insert(right.key.clone(), HeldRight { written: Instant::now(), due });
        }
        Ok(())
    }

    async fn append(&self, events: &[KeptEmission]) -> Result<(), AskError> {
        self.link.streams().await?;
        self.appender.append(&self.link, events).await?;
        let (client, _) = self.link.open().await?;
        // Who does not hear of it looks by itself now and then.
        let _ = client.publish(self.link.word(), Vec::new().into()).await;
        Ok(())
    }

    async fn claim(&self, key: SubscriptionKey, holder: Arc<str>) -> Result<Option<TopicClaim>, AskError> {
        let table = &self.link.streams().await?.subscriptions;
        let row = key.row();
        let Some(mut found) = table.get(&row).await? else { return Ok(None) };
        let mut state: NatsSubscription = read(&found)?;
        let Some(stream) = *self.made.lock() else { return Ok(None) };
        if state.stream > stream {
            // It is not known here yet that there is a newer one.
            return Ok(None);
        }
        if state.stream < stream {
            state = state.in_stream(stream);
            let Some(revision) = table.put(&row, written(&state), Some(found.revision)).await? else {
                return Ok(None);
            };
            found.revision = revision;
        }
        let now = Instant::now();
        let held = self.held.lock().get(&key).copied().filter(|_| state.holder == *holder);
        match held {
            Some(held) if held.written.elapsed() < HEARD => {}
            // It is mine; whoever looks is to see that I am there.
            Some(held) => {
                if table.put(&row, written(&state), Some(found.revision)).await?.is_none() {
                    return Ok(None);
                }
                self.held.lock().insert(key.clone(), HeldRight { written: now, ..held });
            }
            None => {
                if !state.holder.is_empty() && state.holder != *holder && !self.is_silent(&key, found.revision) {
                    return Ok(None);
                }
                state.holder = holder.to_string();
                state.epoch += 1;
                if table.put(&row, written(&state), Some(found.revision)).await?.is_none() {
                    return Ok(None);
                }
                let due = (state.attempts > 0).then(|| now + Duration::from_millis(state.pause));
                self.held.lock().insert(key.clone(), HeldRight { written: now, due });
                self.others.lock().remove(&key);
            }
        }
        // An operator who has it go on has it go on now.
        let due = self.held.lock().get(&key).and_then(|held| held.due).filter(|_| state.pause > 0);
        Ok(Some(TopicClaim {
            right: BringingRight { key, holder, epoch: state.epoch },
            done: state.done,
            attempts: state.attempts,
            due: due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now)),
            paused: state.paused.is_some(),
            replays: state.replays.into(),
        }))
    }

    /// Whether who has the right has written nothing for too long, as far as was seen here.
    fn is_silent(&self, key: &SubscriptionKey, revision: u64) -> bool {
        let mut others = self.others.lock();
        let seen = others.entry(key.clone()).or_insert((revision, Instant::now()));
        if seen.0 != revision {
            *seen = (revision, Instant::now());
        }
        seen.1.elapsed() >= HELD_FOR
    }

    async fn register(&self, key: SubscriptionKey, terms: SubscriptionTerms) -> Result<(), AskError> {
        let head = self.last().await?;
        let made = self.made.lock().unwrap_or_default();
        self.write_registration(&key, &terms, (head, made)).await?;
        self.registered.lock().insert(key, terms);
        Ok(())
    }

    /// One that is not there begins behind that number of that stream.
    async fn write_registration(
        &self,
        key: &SubscriptionKey,
        terms: &SubscriptionTerms,
        head: (u64, u64),
    ) -> Result<(), AskError> {
        let streams = self.link.streams().await?;
        let fresh = NatsSubscription::new(key, terms, head);
        if streams.subscriptions.put(&key.row(), written(&fresh), Some(0)).await?.is_some() {
            return Ok(());
        }
        let change = |state: &mut NatsSubscription| {
            *state = std::mem::take(state).with(terms);
            RowChange::Write
        };
        self.change(&key.row(), change).await.map(drop)
    }

    /// All subscriptions.
    async fn list(&self) -> Result<Vec<SubscriptionRow>, AskError> {
        let last = self.last().await?;
        let stream = self.made.lock().unwrap_or_default();
        let listed = async {
            let made = micros(self.link.streams().await?.subscriptions.made().await?);
            let known = *self.made_table.lock();
            if known.is_some_and(|known| known != made) {
                self.register_again((last, stream)).await?;
            }
            *self.made_table.lock() = Some(made);
            self.rows(last).await
        };
        let listed = listed.await;
        match &listed {
            Ok(rows) => *self.done.lock() = rows.iter().map(|row| (row.key.clone(), row.done)).collect(),
            Err(_) => self.link.make_again_if_gone().await,
        }
        listed
    }

    async fn rows(&self, last: u64) -> Result<Vec<SubscriptionRow>, AskError> {
        let streams = self.link.streams().await?;
        let mut dead: HashMap<String, u64> = HashMap::new();
        for key in streams.dead.keys("").await? {
            let subscription = key.rsplit_once('.').map_or("", |(subscription, _)| subscription);
            *dead.entry(subscription.to_owned()).or_default() += 1;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut rows = Vec::new();
        for row in streams.subscriptions.rows("").await? {
            let state: NatsSubscription = read(&row)?;
            let key = SubscriptionKey { id: state.id, node: state.node };
            let unseen = u64::try_from(now).unwrap_or(0).saturating_sub(row.written);
            rows.push(SubscriptionRow {
                dead: dead.get(&key.row()).copied().unwrap_or(0),
                key,
                plugin: state.plugin,
                pattern: state.pattern,
                deliver: state.deliver,
                done: state.done,
                attempts: state.attempts.into(),
                paused: state.paused.unwrap_or_default(),
                reason: state.reason.unwrap_or_default(),
                delivered: state.delivered,
                failed: state.failed,
                lost: state.lost,
                unseen: Duration::from_millis(unseen),
                last,
            });
        }
        rows.sort_by(|one, other| (&one.key.id, &one.key.node).cmp(&(&other.key.id, &other.key.node)));
        Ok(rows)
    }

    async fn hear(&self, look: &watch::Sender<u64>) -> Result<(), AskError> {
        let (client, _) = self.link.open().await?;
        let mut words = client.subscribe(self.link.word()).await.map_err(unavailable)?;
        while words.next().await.is_some() {
            look.send_modify(|count| *count += 1);
        }
        Ok(())
    }
}

impl EventLedger for NatsEvents {
    fn is_there(&self) -> bool {
        true
    }

    fn keep(&self, events: Arc<Vec<KeptEmission>>) -> LedgerFuture<()> {
        self.asked(async move |ledger| ledger.append(&events).await)
    }

    /// They have them from the beginning, but for those that come from a database. While that is away the others go on.
    fn number_fresh(&self) -> LedgerFuture<u64> {
        self.asked(async move |ledger| {
            if !ledger.outbox.is_there() {
                return Ok(0);
            }
            let carried = ledger.outbox.carry_over(async |events| ledger.append(events).await).await;
            if let Err(error) = &carried {
                tracing::debug!("events of transactions are not carried over now: {}", error.message);
            }
            Ok(carried.unwrap_or(0))
        })
    }

    fn head(&self) -> LedgerFuture<u64> {
        self.asked(async move |ledger| ledger.last().await)
    }

    fn listen(&self, look: watch::Sender<u64>) -> BoxFuture<()> {
        let ledger = self.0.clone();
        Box::pin(async move {
            loop {
                if let Err(error) = ledger.hear(&look).await {
                    tracing::debug!("word of kept events is not heard now: {}", error.message);
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
    }

    fn register(&self, key: SubscriptionKey, terms: SubscriptionTerms) -> LedgerFuture<()> {
        self.asked(async move |ledger| ledger.register(key, terms).await)
    }

    fn claim(&self, key: SubscriptionKey, holder: Arc<str>) -> LedgerFuture<Option<TopicClaim>> {
        self.asked(async move |ledger| ledger.claim(key, holder).await)
    }

    fn release(&self, key: SubscriptionKey, holder: Arc<str>) -> LedgerFuture<()> {
        self.asked(async move |ledger| {
            ledger.held.lock().remove(&key);
            ledger.readers.lock().remove(&key);
            ledger.registered.lock().remove(&key);
            let change = |state: &mut NatsSubscription| {
                if state.holder != *holder {
                    return RowChange::Leave;
                }
                state.holder.clear();
                RowChange::Write
            };
            ledger.change(&key.row(), change).await.map(drop)
        })
    }

    fn read(&self, right: BringingRight, done: u64, pattern: TopicPattern) -> LedgerFuture<EventBatch> {
        self.asked(async move |ledger| {
            let reader = ledger.readers.lock().entry(right.key).or_default().clone();
            let mut reader = reader.lock().await;
            reader.next(&ledger.link, done, &pattern).await
        })
    }

    fn advance(&self, right: BringingRight, upto: u64, (delivered, lost): (u64, u64)) -> LedgerFuture<()> {
        self.asked(async move |ledger| {
            let change = |state: &mut NatsSubscription| {
                (state.done, state.attempts) = (upto, 0);
                state.delivered += delivered;
                state.lost += lost;
                if delivered > 0 {
                    (state.given_up, state.reason) = (0, None);
                }
            };
            ledger.change_held(&right, None, change).await
        })
    }

    fn failed(&self, right: BringingRight, attempts: u32, reason: String, pause: Duration) -> LedgerFuture<()> {
        self.asked(async move |ledger| {
            let change = |state: &mut NatsSubscription| {
                (state.attempts, state.reason) = (attempts, Some(reason.clone()));
                state.failed += 1;
                state.pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            };
            ledger.change_held(&right, Some(Instant::now() + pause), change).await
        })
    }

    fn give_up(&self, right: BringingRight, event: KeptEvent, attempts: u32, reason: String) -> LedgerFuture<()> {
        self.asked(async move |ledger| ledger.give_up(right, event, attempts, reason).await)
    }

    fn to_replay(&self, key: SubscriptionKey) -> LedgerFuture<Option<(KeptEvent, u32)>> {
        self.asked(async move |ledger| ledger.to_replay(key).await)
    }

    fn revived(&self, key: SubscriptionKey, number: u64) -> LedgerFuture<()> {
        self.asked(async move |ledger| ledger.link.streams().await?.dead.remove(&key.dead_row(number)).await)
    }

    fn still_dead(&self, key: SubscriptionKey, number: u64, reason: String) -> LedgerFuture<()> {
        self.asked(async move |ledger| ledger.still_dead(key, number, reason).await)
    }

    fn dead(&self, id: String, after: u64, most: usize) -> LedgerFuture<Vec<DeadEvent>> {
        self.asked(async move |ledger| ledger.dead(id, after, most).await)
    }

    fn replay(&self, id: String, number: Option<u64>) -> LedgerFuture<u64> {
        self.asked(async move |ledger| ledger.replay(id, number).await)
    }

    fn list(&self) -> LedgerFuture<Vec<SubscriptionRow>> {
        self.asked(async move |ledger| ledger.list().await)
    }

    fn is_known(&self, id: String) -> LedgerFuture<bool> {
        self.asked(async move |ledger| {
            Ok(!ledger.link.streams().await?.subscriptions.keys(&begin(&id)).await?.is_empty())
        })
    }

    fn pause(&self, id: String, reason: Option<String>) -> LedgerFuture<()> {
        self.asked(async move |ledger| {
            let change = |state: &mut NatsSubscription| {
                state.paused = reason.clone();
                if reason.is_none() {
                    (state.given_up, state.pause) = (0, 0);
                }
                RowChange::Write
            };
            for key in ledger.link.streams().await?.subscriptions.keys(&begin(&id)).await? {
                ledger.change(&key, change).await?;
            }
            Ok(())
        })
    }

    fn purge(&self, plugin: String) -> LedgerFuture<()> {
        self.asked(async move |ledger| ledger.purge(plugin).await)
    }

    fn sweep(&self) -> LedgerFuture<()> {
        self.asked(async move |ledger| ledger.sweep().await)
    }
}
