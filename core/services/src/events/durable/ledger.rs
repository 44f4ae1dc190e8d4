//! Kept events in a database: what is asked of them, as statements. What must not live here: the statements (`sql.rs`), and how they
//! are run (`store.rs`).

use super::{
    port::{
        BringingRight, DeadEvent, EventBatch, EventLedger, KeptEmission, KeptEvent, LedgerFuture, SubscriptionKey,
        SubscriptionRow, SubscriptionTerms, TopicClaim,
    },
    sql::{
        ADVANCE, BURY, CLAIM, DEAD, FAILED, GIVE_UP, IS_THERE, LIST, PAUSE, PURGE, READ, REGISTER, RELEASE, REPLAY,
        RESUME, REVIVED, STILL_DEAD, SWEEP, TO_REPLAY,
    },
    store::{EventCell, EventStore, KeptEventRow, number, text},
};
use crate::data::drive;
use camlock_policy::{BoxFuture, TopicPattern};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_postgres::AsyncMessage;

/// Between attempts to listen.
const PAUSE_TO_LISTEN: Duration = Duration::from_secs(2);

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// An event of a row that begins so.
fn read_event(row: &KeptEventRow) -> KeptEvent {
    KeptEvent {
        number: row[0].count(),
        position: row[2].count(),
        said: KeptEmission {
            topic: row[1].text().to_owned(),
            payload: row[3].bytes().to_vec().into(),
            at: row[4].count(),
            trace_id: row[5].bytes().try_into().unwrap_or_default(),
            depth: u32::try_from(row[6].number()).unwrap_or_default(),
        },
    }
}

fn small(cell: &EventCell) -> u32 {
    u32::try_from(cell.number()).unwrap_or_default()
}

impl BringingRight {
    fn cells(&self) -> [EventCell; 4] {
        [text(&self.key.id), text(&self.key.node), text(&self.holder), EventCell::Number(self.epoch)]
    }
}

impl EventLedger for EventStore {
    fn is_there(&self) -> bool {
        EventStore::is_there(self)
    }

    fn keep(&self, events: Arc<Vec<KeptEmission>>) -> LedgerFuture<()> {
        let store = self.clone();
        Box::pin(async move { store.keep_all(events).await })
    }

    fn number_fresh(&self) -> LedgerFuture<u64> {
        let store = self.clone();
        Box::pin(async move { store.number_some().await })
    }

    fn head(&self) -> LedgerFuture<u64> {
        let store = self.clone();
        Box::pin(async move { store.last_number().await })
    }

    /// In a file nobody else keeps anything.
    fn listen(&self, look: watch::Sender<u64>) -> BoxFuture<()> {
        let Some(connections) = self.connections().cloned() else { return Box::pin(std::future::pending()) };
        Box::pin(async move {
            loop {
                if let Ok(link) = connections.link().await {
                    let heard = look.clone();
                    let driver = connections.runtime().spawn(drive(link.messages, move |message| {
                        if let AsyncMessage::Notification(_) = message {
                            heard.send_modify(|count| *count += 1);
                        }
                    }));
                    let _ends = EndsDriving(driver.abort_handle());
                    if link.client.batch_execute("LISTEN camlock_events").await.is_ok() {
                        let _ = driver.await;
                    }
                }
                tokio::time::sleep(PAUSE_TO_LISTEN).await;
            }
        })
    }

    fn register(&self, key: SubscriptionKey, terms: SubscriptionTerms) -> LedgerFuture<()> {
        let SubscriptionTerms { plugin, pattern, deliver } = terms;
        let values = vec![text(&key.id), text(&key.node), text(&plugin), text(pattern.as_str()), text(deliver)];
        let store = self.clone();
        Box::pin(async move { store.run(REGISTER, values).await.map(drop) })
    }

    fn claim(&self, key: SubscriptionKey, holder: Arc<str>) -> LedgerFuture<Option<TopicClaim>> {
        let store = self.clone();
        Box::pin(async move {
            let rows = store.run(CLAIM, vec![text(&holder), text(&key.id), text(&key.node)]).await?;
            Ok(rows.first().map(|row| TopicClaim {
                done: row[0].count(),
                attempts: small(&row[1]),
                due: Duration::from_millis(row[2].count()),
                right: BringingRight { key, holder, epoch: row[3].number() },
                paused: row[4].number() != 0,
                replays: row[5].count(),
            }))
        })
    }

    fn release(&self, key: SubscriptionKey, holder: Arc<str>) -> LedgerFuture<()> {
        let store = self.clone();
        let values = vec![text(&holder), text(&key.id), text(&key.node)];
        Box::pin(async move { store.run(RELEASE, values).await.map(drop) })
    }

    fn read(&self, _right: BringingRight, done: u64, pattern: TopicPattern) -> LedgerFuture<EventBatch> {
        let store = self.clone();
        Box::pin(async move {
            let rows = store.run(READ, vec![number(done)]).await?;
            let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
                return Ok(EventBatch { upto: done, ..EventBatch::default() });
            };
            // Numbers have no gaps: what lies between was removed.
            let (lost, upto) = (first[0].count() - done - 1, last[0].count());
            let events = rows.iter().filter(|row| pattern.matches(row[1].text())).map(read_event).collect();
            Ok(EventBatch { events, upto, lost })
        })
    }

    fn advance(&self, right: BringingRight, upto: u64, (delivered, lost): (u64, u64)) -> LedgerFuture<()> {
        let store = self.clone();
        let values = [vec![number(upto), number(delivered), number(lost)], right.cells().to_vec()].concat();
        Box::pin(async move { store.run(ADVANCE, values).await.map(drop) })
    }

    fn failed(&self, right: BringingRight, attempts: u32, reason: String, pause: Duration) -> LedgerFuture<()> {
        let store = self.clone();
        let values = vec![number(attempts.into()), text(&reason), number(milliseconds(pause))];
        let values = [values, right.cells().to_vec()].concat();
        Box::pin(async move { store.run(FAILED, values).await.map(drop) })
    }

    fn give_up(&self, right: BringingRight, event: KeptEvent, attempts: u32, reason: String) -> LedgerFuture<()> {
        let store = self.clone();
        let KeptEvent { number: place, position, said } = event;
        let bury = vec![
            number(place),
            text(&said.topic),
            number(position),
            EventCell::Bytes(said.payload),
            number(said.at),
            EventCell::Bytes(said.trace_id.to_vec().into()),
            number(said.depth.into()),
            number(attempts.into()),
            text(&reason),
        ];
        let give_up = vec![number(place), text(&reason)];
        let with = |values: Vec<EventCell>| [values, right.cells().to_vec()].concat();
        let all = vec![(BURY, with(bury)), (GIVE_UP, with(give_up))];
        Box::pin(async move { store.run_all(all).await })
    }

    fn to_replay(&self, key: SubscriptionKey) -> LedgerFuture<Option<(KeptEvent, u32)>> {
        let store = self.clone();
        Box::pin(async move {
            let rows = store.run(TO_REPLAY, vec![text(&key.id), text(&key.node)]).await?;
            Ok(rows.first().map(|row| (read_event(row), small(&row[7]))))
        })
    }

    fn revived(&self, key: SubscriptionKey, place: u64) -> LedgerFuture<()> {
        let store = self.clone();
        let values = vec![text(&key.id), text(&key.node), number(place)];
        Box::pin(async move { store.run(REVIVED, values).await.map(drop) })
    }

    fn still_dead(&self, key: SubscriptionKey, place: u64, reason: String) -> LedgerFuture<()> {
        let store = self.clone();
        let values = vec![text(&reason), text(&key.id), text(&key.node), number(place)];
        Box::pin(async move { store.run(STILL_DEAD, values).await.map(drop) })
    }

    fn dead(&self, id: String, after: u64, most: usize) -> LedgerFuture<Vec<DeadEvent>> {
        let store = self.clone();
        Box::pin(async move {
            let rows = store.run(DEAD, vec![text(&id), number(after), number(most as u64)]).await?;
            let read = |row: &KeptEventRow| DeadEvent {
                event: read_event(row),
                node: row[7].text().to_owned(),
                attempts: small(&row[8]),
                reason: row[9].text().to_owned(),
                died: row[10].count(),
            };
            Ok(rows.iter().map(read).collect())
        })
    }

    fn replay(&self, id: String, place: Option<u64>) -> LedgerFuture<u64> {
        let store = self.clone();
        Box::pin(async move {
            let rows = store.run(REPLAY, vec![text(&id), number(place.unwrap_or(0))]).await?;
            Ok(rows.len() as u64)
        })
    }

    fn list(&self) -> LedgerFuture<Vec<SubscriptionRow>> {
        let store = self.clone();
        Box::pin(async move { Ok(store.run(LIST, Vec::new()).await?.iter().map(row).collect()) })
    }

    fn is_known(&self, id: String) -> LedgerFuture<bool> {
        let store = self.clone();
        Box::pin(async move {
            let rows = store.run(IS_THERE, vec![text(&id)]).await?;
            Ok(rows.first().is_some_and(|row| row[0].number() > 0))
        })
    }

    fn pause(&self, id: String, reason: Option<String>) -> LedgerFuture<()> {
        let store = self.clone();
        Box::pin(async move {
            match reason {
                Some(reason) => store.run(PAUSE, vec![text(&reason), text(&id)]).await.map(drop),
                None => store.run(RESUME, vec![text(&id)]).await.map(drop),
            }
        })
    }

    fn purge(&self, plugin: String) -> LedgerFuture<()> {
        let store = self.clone();
        let all = PURGE.into_iter().map(|sql| (sql, vec![text(&plugin)])).collect();
        Box::pin(async move { store.run_all(all).await })
    }

    fn sweep(&self) -> LedgerFuture<()> {
        let store = self.clone();
        let all = SWEEP.into_iter().map(|sql| (sql, Vec::new())).collect();
        Box::pin(async move { store.run_all(all).await })
    }
}

fn row(row: &KeptEventRow) -> SubscriptionRow {
    SubscriptionRow {
        key: SubscriptionKey { id: row[0].text().to_owned(), node: row[1].text().to_owned() },
        plugin: row[2].text().to_owned(),
        pattern: row[3].text().to_owned(),
        deliver: row[4].text().to_owned(),
        done: row[5].count(),
        attempts: row[6].count(),
        paused: row[8].text().to_owned(),
        reason: row[9].text().to_owned(),
        delivered: row[10].count(),
        failed: row[11].count(),
        lost: row[12].count(),
        unseen: Duration::from_millis(row[13].count()),
        dead: row[14].count(),
        last: row[15].count(),
    }
}

/// However listening ends, nothing is left behind.
struct EndsDriving(tokio::task::AbortHandle);

impl Drop for EndsDriving {
    fn drop(&mut self) {
        self.0.abort();
    }
}
