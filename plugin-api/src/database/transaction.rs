//! Transactions: one ask, which is in the middle as long as they last.

use super::{RowStream, SqlParams, rows::Replies, wire};
use crate::{HostError, HostErrorCode, TaskOptions, tasks::for_transaction};
use bytes::Bytes;
use http_body::Frame;
use serde::Serialize;
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::sync::mpsc;

/// What the host is told.
#[derive(Debug)]
pub(super) struct Orders(mpsc::UnboundedReceiver<Bytes>);

pub(super) fn orders() -> (mpsc::UnboundedSender<Bytes>, Orders) {
    let (give, orders) = mpsc::unbounded_channel();
    (give, Orders(orders))
}

impl http_body::Body for Orders {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|order| order.map(|order| Ok(Frame::data(order))))
    }
}

/// Several statements of which all are done or none. Dropping it takes back what was done.
///
/// The host ends one that does nothing for 5 seconds: others wait for what it holds.
#[derive(Debug)]
pub struct Transaction {
    orders: mpsc::UnboundedSender<Bytes>,
    replies: Replies,
}

impl Transaction {
    pub(super) async fn begin(orders: mpsc::UnboundedSender<Bytes>, replies: Replies) -> Result<Self, HostError> {
        let mut transaction = Transaction { orders, replies };
        transaction.replies.is_busy = false;
        transaction.command(b'B').await?;
        Ok(transaction)
    }

    /// Runs a statement that has rows. They come as they are taken; what is not taken is passed over by the next statement.
    pub async fn query(&mut self, sql: &str, params: impl SqlParams) -> Result<RowStream<'_>, HostError> {
        self.give(wire::statement(sql, &params.into_values())?).await?;
        RowStream::within(&mut self.replies).await
    }

    /// Runs a statement, and says how many rows it changed.
    pub async fn execute(&mut self, sql: &str, params: impl SqlParams) -> Result<u64, HostError> {
        self.query(sql, params).await?.finish().await
    }

    /// Enqueues a task within this transaction: it is there exactly if that is committed. Back comes its id, or that of the one
    /// which it was to be unique with. It takes the permission `tasks`.
    pub async fn enqueue(
        &mut self,
        kind: &str,
        input: impl Serialize,
        options: TaskOptions,
    ) -> Result<String, HostError> {
        self.give(wire::task(&for_transaction(kind, input, options)?)).await?;
        Ok(self.replies.finish().await?.to_string())
    }

    /// Emits an event exactly if the transaction is committed: it is kept, for durable subscriptions. It takes the permission
    /// `events:emit:TOPIC`; without it the transaction is taken back.
    pub async fn emit(&mut self, topic: &str, payload: impl AsRef<[u8]>) -> Result<(), HostError> {
        let (trace_id, depth) = crate::events::lineage();
        self.give(wire::emission(depth, trace_id, topic, payload.as_ref())?).await?;
        self.replies.finish().await.map(drop)
    }

    /// Makes it last.
    pub async fn commit(mut self) -> Result<(), HostError> {
        self.command(b'C').await
    }

    /// Takes it back. Dropping it does the same, but does not say when it was done.
    pub async fn rollback(mut self) -> Result<(), HostError> {
        self.command(b'R').await
    }

    async fn command(&mut self, kind: u8) -> Result<(), HostError> {
        self.give(wire::command(kind)).await?;
        self.replies.finish().await.map(drop)
    }

    async fn give(&mut self, order: Bytes) -> Result<(), HostError> {
        if self.replies.is_busy {
            // Of the statement before; its error was that statement's.
            let _ = self.replies.finish().await;
        }
        let gone = |_| HostError::new(HostErrorCode::Unavailable, "the host ended the transaction");
        self.orders.send(order).map_err(gone)?;
        self.replies.is_busy = true;
        Ok(())
    }
}
