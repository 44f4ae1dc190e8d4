//! Writing what came of tasks, in batches, until it is written: however long the database is away. What must not live here: what
//! came of them.

use super::{AGAIN, RunnerCore};
use crate::tasks::record::Settlement;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

/// So many at once.
const MOST: usize = 500;

/// Where others are about to end, it is waited so long for what comes of them, too.
const GATHERS: Duration = Duration::from_millis(1);

/// Fewer are worth while to wait with.
const FEW: usize = 32;

/// Writes what comes until nobody is there who could say more.
pub(super) async fn write(core: Arc<RunnerCore>, runner: String, mut settled: mpsc::UnboundedReceiver<Settlement>) {
    let mut batch = Vec::new();
    while settled.recv_many(&mut batch, MOST).await > 0 {
        let until = Instant::now() + GATHERS;
        while batch.len() < FEW && core.in_flight.count() > batch.len() {
            let more = timeout_at(until, settled.recv_many(&mut batch, MOST)).await;
            if !more.is_ok_and(|more| more > 0) {
                break;
            }
        }
        let written = Arc::new(std::mem::take(&mut batch));
        loop {
            match core.queue.settle(&runner, written.clone()).await {
                Ok(count) if count < written.len() => {
                    tracing::warn!("{} tasks were settled elsewhere meanwhile", written.len() - count);
                    break;
                }
                Ok(_) => break,
                Err(error) => {
                    tracing::debug!(%error, "what came of tasks cannot be written for now");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
        core.in_flight.settled(&written);
        if written.iter().any(|one| one.state == crate::tasks::TaskState::Waiting) {
            core.queue.wake();
        }
    }
}
