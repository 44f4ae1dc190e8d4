//! A batch of events on its way through the author's handler, one after the other. What must not live here: what comes of one that
//! fails, which the host decides.

use super::{
    around::{Lineage, within},
    wire::{Batch, put_failure},
};
use crate::{Plugin, Result, deliveries::NotTaken};
use bytes::{Bytes, BytesMut};
use std::{
    future::{Future, poll_fn},
    task::Poll,
};

/// Has each handled: those that failed, as the host reads them. An error: there is no handler.
pub(crate) async fn handle_batch<P: Plugin>(plugin: &P, batch: Bytes) -> Result<Vec<u8>> {
    let mut batch = Batch::read(batch)?;
    let in_order = batch.in_order;
    let (mut failures, mut place) = (BytesMut::new(), 0);
    while let Some(event) = batch.next()? {
        let lineage = Lineage { trace_id: event.trace_id.0, depth: event.depth };
        let failed = match caught(lineage, || plugin.event(event)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) if error.is::<NotTaken>() => return Err(error),
            Ok(Err(error)) => Some((false, format!("{error:#}"))),
            Err(panic) => Some((true, panic)),
        };
        if let Some((panicked, reason)) = failed {
            put_failure(place, panicked, &reason, &mut failures);
            if in_order {
                break;
            }
        }
        place += 1;
    }
    Ok(failures.to_vec())
}

/// What came of a handler; a panic in it concerns nobody else.
async fn caught<T, F: Future<Output = T>>(lineage: Lineage, make: impl FnOnce() -> F) -> Result<T, String> {
    let told = |caught: camlock_abi::Caught| {
        crate::host::panicked("in an event's handler", &caught);
        format!("it panicked: {}", caught.message)
    };
    let handling = camlock_abi::catch(|| within(lineage, make)).map_err(told)?;
    let mut handling = std::pin::pin!(handling);
    poll_fn(|context| match camlock_abi::catch(|| within(lineage, || handling.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(outcome)) => Poll::Ready(Ok(outcome)),
        Err(panic) => Poll::Ready(Err(told(panic))),
    })
    .await
}
