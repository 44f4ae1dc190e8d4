//! Writing what is to be kept: what comes while a write is under way is written together, in the order in which it came. What must
//! not live here: numbers.

use super::{
    SharedDurable,
    port::{EventLedger, KeptEmission},
};
use crate::events::EmittedEvent;
use bytes::Bytes;
use camlock_policy::{AskError, AskErrorCode};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::oneshot;

/// So many events are written together.
const TOGETHER: usize = 500;

/// So many may wait to be written: with more the database does not keep up.
const MOST_WAITING: usize = 10_000;

/// What waits to be written.
pub(super) struct EventWriter {
    store: Arc<dyn EventLedger>,
    waiting: Mutex<WaitingEmissions>,
}

#[derive(Default)]
struct WaitingEmissions {
    events: Vec<(KeptEmission, oneshot::Sender<Result<(), AskError>>)>,
    is_writing: bool,
}

impl EventWriter {
    pub(super) fn new(store: Arc<dyn EventLedger>) -> Self {
        EventWriter { store, waiting: Mutex::default() }
    }

    /// Keeps an event: when this returns it is on the disk.
    pub(super) async fn keep(&self, durable: &Arc<SharedDurable>, event: &EmittedEvent<'_>) -> Result<(), AskError> {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let kept = KeptEmission {
            topic: event.topic.to_owned(),
            payload: Bytes::copy_from_slice(event.payload),
            at: u64::try_from(at.as_micros()).unwrap_or(u64::MAX),
            trace_id: event.trace_id,
            depth: event.depth,
        };
        let (reply, answer) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock();
            if waiting.events.len() >= MOST_WAITING {
                let told = format!("{MOST_WAITING} events wait to be kept already: try again");
                return Err(AskError::new(AskErrorCode::Unavailable, told));
            }
            waiting.events.push((kept, reply));
            if !std::mem::replace(&mut waiting.is_writing, true) {
                durable.runtime.spawn(write(durable.clone()));
            }
        }
        answer.await.unwrap_or_else(|_| Err(AskError::new(AskErrorCode::Unavailable, "the server is ending")))
    }
}

/// Writes until nothing waits.
async fn write(durable: Arc<SharedDurable>) {
    let writer = &durable.writer;
    loop {
        let some = {
            let mut waiting = writer.waiting.lock();
            let many = waiting.events.len().min(TOGETHER);
            if many == 0 {
                waiting.is_writing = false;
                return;
            }
            waiting.events.drain(..many).collect::<Vec<_>>()
        };
        let (events, replies): (Vec<_>, Vec<_>) = some.into_iter().unzip();
        let kept = writer.store.keep(Arc::new(events)).await;
        if kept.is_ok() {
            durable.look.send_modify(|count| *count += 1);
        }
        for reply in replies {
            let _ = reply.send(kept.clone());
        }
        // Who goes on at once is written together with the others who do.
        tokio::task::yield_now().await;
    }
}
