//! A session: orders come, replies go. What must not live here: what a database makes of an order.

use super::wire::{self, SqlCell, SqlOrder};
use crate::data::IdleTime;
use crate::tasks::{OfferedTask, TaskDesk};
use bytes::{Bytes, BytesMut};
use camlock_policy::{AskError, AskErrorCode, Asker};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// A statement, without the time for which it waits until its rows are taken.
    pub statement: Duration,
    /// A transaction, or a statement that writes, with all that it waits for: others wait for what it holds.
    pub transaction: Duration,
    /// Asking for nothing while a session is open, a transaction or not, and not taking rows.
    pub idle: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        SessionLimits {
            statement: Duration::from_secs(10),
            transaction: Duration::from_secs(10),
            idle: Duration::from_secs(5),
        }
    }
}

/// What has become of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It can be used again.
    Reusable,
    /// It must be closed: something may still go on there.
    Broken,
}

/// One ask of a plugin's, on its way to a connection.
#[derive(Debug)]
pub struct Session {
    orders: mpsc::Receiver<Result<SqlOrder, AskError>>,
    replies: mpsc::Sender<Bytes>,
    limits: SessionLimits,
    /// When it has to give back what others wait for, if it holds any such thing.
    holds_until: Option<Instant>,
    /// When it is not the connection that is waited for.
    idle: IdleTime,
    desk: Option<(TaskDesk, Asker)>,
    /// Whether something was enqueued since the transaction began.
    has_enqueued: bool,
}

/// Why a session does not go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// Nobody takes the replies any more.
    Left,
    /// With an error, which is told.
    Error(AskError),
}

impl From<AskError> for Stop {
    fn from(error: AskError) -> Self {
        Stop::Error(error)
    }
}

/// RowsToSend are told in replies of so many bytes.
const REPLY: usize = 64 << 10;

impl Session {
    pub(super) fn new(
        orders: mpsc::Receiver<Result<SqlOrder, AskError>>,
        replies: mpsc::Sender<Bytes>,
        limits: SessionLimits,
    ) -> Self {
        Session {
            orders,
            replies,
            limits,
            holds_until: None,
            idle: IdleTime::default(),
            desk: None,
            has_enqueued: false,
        }
    }

    /// The same, which notes there when its connection has nothing to do.
    pub(crate) fn counting(self, idle: IdleTime) -> Self {
        Session { idle, ..self }
    }

    /// One of this plugin's, which enqueues tasks there, if it may.
    pub(super) fn with_tasks(mut self, desk: Option<TaskDesk>, asker: &Asker) -> Self {
        self.desk = desk.map(|desk| (desk, asker.clone()));
        self
    }

    /// A task that the plugin wants within its transaction, if it may, and takes such tasks; and what time it is.
    pub(super) fn task(&mut self, plugin: &str, written: &[u8]) -> Result<(OfferedTask, i64), AskError> {
        let away = || AskError::new(AskErrorCode::Unavailable, "this host has no tasks");
        let (desk, asker) = self.desk.as_ref().ok_or_else(away)?;
        // It may have been revoked since the session began.
        asker.may("tasks")?;
        let task = desk.read(plugin, written)?;
        self.has_enqueued = true;
        Ok((task, desk.now()))
    }

    /// Where it enqueues, if it may.
    pub(super) fn desk(&self) -> Option<&TaskDesk> {
        self.desk.as_ref().map(|(desk, _)| desk)
    }

    /// The transaction is committed: what was enqueued in it may begin.
    pub(super) fn committed(&mut self) {
        if let Some((desk, _)) = self.desk.as_ref().filter(|_| self.has_enqueued) {
            desk.wake();
        }
        self.has_enqueued = false;
    }

    /// From now on it holds what others wait for, until it is [`released`](Session::release).
    pub(super) fn hold(&mut self) {
        self.holds_until.get_or_insert_with(|| Instant::now() + self.limits.transaction);
    }

    /// It holds nothing any more.
    pub(super) fn release(&mut self) {
        self.holds_until = None;
    }

    /// So long may a statement take.
    pub(super) fn statement_time(&self) -> Duration {
        self.left_of(self.limits.statement)
    }

    /// Of this time what is left until it has to give back what it holds.
    fn left_of(&self, time: Duration) -> Duration {
        let left = self.holds_until.map(|until| until.saturating_duration_since(Instant::now()));
        left.map_or(time, |left| left.min(time))
    }

    /// Why it has to give back what it holds, if it is time.
    pub(super) fn held_too_long(&self) -> Option<AskError> {
        self.holds_until.filter(|until| *until <= Instant::now())?;
        let seconds = self.limits.transaction.as_secs_f64();
        let words = format!("the transaction was not over within {seconds} s, and was taken back");
        Some(AskError::new(AskErrorCode::Limit, words))
    }

    /// The next order; none if there are no more. A session that gives none holds a connection all the same.
    pub(super) async fn next(&mut self, in_transaction: bool) -> Result<Option<SqlOrder>, Stop> {
        let since = Instant::now();
        let next = self.receive(in_transaction).await;
        self.idle.add(since.elapsed());
        next
    }

    async fn receive(&mut self, in_transaction: bool) -> Result<Option<SqlOrder>, Stop> {
        tokio::select! {
            biased;
            () = self.replies.closed() => Err(Stop::Left),
            order = tokio::time::timeout(self.left_of(self.limits.idle), self.orders.recv()) => match order {
                Ok(order) => Ok(order.transpose()?),
                Err(_) => {
                    if let Some(error) = self.held_too_long() {
                        return Err(error.into());
                    }
                    let seconds = self.limits.idle.as_secs_f64();
                    let words = match in_transaction {
                        true => format!("the transaction did nothing for {seconds} s, and was taken back"),
                        false => format!("nothing was asked of the database for {seconds} s"),
                    };
                    Err(AskError::new(AskErrorCode::Limit, words).into())
                }
            },
        }
    }

    /// Sends a reply, as soon as it is wanted.
    pub(super) async fn reply(&self, reply: Bytes) -> Result<(), Stop> {
        let since = Instant::now();
        let sent = self.replies.send_timeout(reply, self.left_of(self.limits.idle)).await;
        self.idle.add(since.elapsed());
        match sent {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(Stop::Left),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                let words = format!("nothing of the answer was read for {} s", self.limits.idle.as_secs_f64());
                let unread = || AskError::new(AskErrorCode::Limit, words);
                Err(self.held_too_long().unwrap_or_else(unread).into())
            }
        }
    }
}

/// RowsToSend on their way into replies.
pub(super) struct RowsToSend(BytesMut);

impl RowsToSend {
    pub(super) fn new() -> Self {
        RowsToSend(wire::begin(b'R'))
    }

    pub(super) fn put(&mut self, cell: SqlCell<'_>) {
        wire::put_cell(&mut self.0, cell);
    }

    /// At the end of a row: a reply, if there is enough for one.
    pub(super) fn full(&mut self) -> Option<Bytes> {
        (self.0.len() >= REPLY).then(|| wire::end(std::mem::replace(&mut self.0, wire::begin(b'R'))))
    }

    /// What is left.
    pub(super) fn rest(self) -> Option<Bytes> {
        (self.0.len() > 5).then(|| wire::end(self.0))
    }
}
