//! Rows, as they come.

use super::{
    Row, SqlValue,
    wire::{self, DatabaseReply},
};
use crate::{HostError, HostErrorCode};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use serde::de::DeserializeOwned;
use std::{future::poll_fn, pin::Pin, sync::Arc};

/// The host's side of a session.
#[derive(Debug)]
pub(super) struct Replies {
    body: Body,
    pending: BytesMut,
    /// An order was given, and its last reply has not been read.
    pub(super) is_busy: bool,
}

impl Replies {
    pub(super) fn new(body: Body) -> Self {
        Replies { body, pending: BytesMut::new(), is_busy: true }
    }

    async fn next(&mut self) -> Result<DatabaseReply, HostError> {
        loop {
            if let Some(reply) = wire::take_reply(&mut self.pending)? {
                match reply {
                    DatabaseReply::Error(error) => {
                        self.is_busy = false;
                        return Err(error);
                    }
                    DatabaseReply::Done(_) => self.is_busy = false,
                    DatabaseReply::Columns(_) | DatabaseReply::Rows(_) => {}
                }
                return Ok(reply);
            }
            let frame = poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await;
            let gone = |words: String| HostError::new(HostErrorCode::Unavailable, words);
            match frame {
                None => return Err(gone("the host ended the session".to_owned())),
                Some(Err(error)) => return Err(gone(format!("the answer broke off: {error}"))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.pending.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    /// Reads on until the order is done: how many rows it changed.
    pub(super) async fn finish(&mut self) -> Result<u64, HostError> {
        loop {
            if let DatabaseReply::Done(changed) = self.next().await? {
                return Ok(changed);
            }
        }
    }
}

#[derive(Debug)]
enum RowSource<'a> {
    Own(Replies),
    Transaction(&'a mut Replies),
}

/// The rows of a query. They are read as they are asked for: however many there are, few are in memory.
#[derive(Debug)]
pub struct RowStream<'a> {
    source: RowSource<'a>,
    columns: Arc<[String]>,
    /// Rows that have come.
    come: Bytes,
    /// How many rows were changed, once that is known.
    changed: Option<u64>,
}

impl RowStream<'static> {
    pub(super) async fn begin(replies: Replies) -> Result<Self, HostError> {
        RowStream::of(RowSource::Own(replies)).await
    }
}

impl<'a> RowStream<'a> {
    pub(super) async fn within(replies: &'a mut Replies) -> Result<Self, HostError> {
        RowStream::of(RowSource::Transaction(replies)).await
    }

    async fn of(source: RowSource<'a>) -> Result<Self, HostError> {
        let mut rows = RowStream { source, columns: Arc::new([]), come: Bytes::new(), changed: None };
        // What is wrong with a statement is told here.
        match rows.replies().next().await? {
            DatabaseReply::Columns(columns) => rows.columns = columns.into(),
            DatabaseReply::Done(changed) => rows.changed = Some(changed),
            DatabaseReply::Rows(_) | DatabaseReply::Error(_) => {}
        }
        Ok(rows)
    }

    fn replies(&mut self) -> &mut Replies {
        match &mut self.source {
            RowSource::Own(replies) => replies,
            RowSource::Transaction(replies) => replies,
        }
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The next row; none at the end.
    pub async fn next(&mut self) -> Result<Option<Row>, HostError> {
        while self.come.is_empty() {
            if self.changed.is_some() {
                return Ok(None);
            }
            match self.replies().next().await? {
                DatabaseReply::Rows(rows) => self.come = rows,
                DatabaseReply::Done(changed) => self.changed = Some(changed),
                DatabaseReply::Columns(_) | DatabaseReply::Error(_) => {}
            }
        }
        let values: Vec<SqlValue> = wire::take_row(&mut self.come, self.columns.len())?;
        Ok(Some(Row::new(self.columns.clone(), values)))
    }

    /// All that are left, each read as a type of the author's: a struct with fields that are called as the columns.
    pub async fn into_of<T: DeserializeOwned>(mut self) -> Result<Vec<T>, HostError> {
        let mut all = Vec::new();
        while let Some(row) = self.next().await? {
            all.push(row.into_of()?);
        }
        Ok(all)
    }

    /// The one that is left: an error if there is none, or another.
    pub async fn into_one(mut self) -> Result<Row, HostError> {
        let one = self.next().await?;
        let one = one.ok_or_else(|| HostError::new(HostErrorCode::NotFound, "the query has no row"))?;
        match self.next().await? {
            None => Ok(one),
            Some(_) => Err(wire::invalid("the query has more than one row")),
        }
    }

    /// Passes over all that are left, and says how many rows the statement changed.
    pub async fn finish(mut self) -> Result<u64, HostError> {
        match self.changed {
            Some(changed) => Ok(changed),
            None => self.replies().finish().await,
        }
    }
}
