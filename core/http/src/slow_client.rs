//! Clients that do not read what is written to them: their connections are cut when their time is over, or soon after the farewell
//! of the generation whose answer they do not read. What must not live here: HTTP/2 streams that are not read on a connection that
//! is.

use crate::{Dispatch, connection_state::ConnectionState};
use std::{
    sync::Arc,
    task::Context,
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    time::{Interval, interval},
};

/// How long an answer may still be read after the farewell of its generation. Well within `limits.farewell`.
pub(crate) const AFTER_FAREWELL: Duration = Duration::from_secs(3);
/// How often a connection is looked at that takes nothing.
const CHECK: Duration = Duration::from_millis(500);

/// Watches what one connection takes.
pub(crate) struct SlowClient {
    dispatch: Dispatch,
    state: Arc<ConnectionState>,
    limit: Duration,
    /// The key of the generation whose answer is written.
    answered_by: u64,
    /// Only a connection that takes nothing costs a timer.
    checks: Option<Interval>,
    farewell: Option<AnswersFarewell>,
}

/// The farewell of the generation whose answer is not read.
struct AnswersFarewell {
    /// None if the generation is gone from here already.
    receiver: Option<watch::Receiver<bool>>,
    said_at: Option<Instant>,
}

impl SlowClient {
    pub(crate) fn new(dispatch: Dispatch, state: Arc<ConnectionState>, limit: Duration) -> Self {
        SlowClient { dispatch, state, limit, answered_by: 0, checks: None, farewell: None }
    }

    /// There is another answer to be written.
    pub(crate) fn answered_by(&mut self, generation: u64) {
        self.answered_by = generation;
        self.farewell = None;
    }

    /// Whether the client has had its time; if not, this is woken to look again while it takes nothing.
    #[inline]
    pub(crate) fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        match self.state.write_blocked_since() {
            None => false,
            Some(since) => self.has_had_its_time(since, context),
        }
    }

    #[cold]
    fn has_had_its_time(&mut self, since: Instant, context: &mut Context<'_>) -> bool {
        let checks = self.checks.get_or_insert_with(|| interval(CHECK));
        while checks.poll_tick(context).is_ready() {}
        let now = Instant::now();
        let nothing_for = now.saturating_duration_since(since);
        if nothing_for >= self.limit {
            tracing::debug!("a client read nothing for {:?}: its connection is cut", self.limit);
            return true;
        }
        if self.state.stream_was_cut() && nothing_for >= CHECK {
            return true;
        }
        if self.answered_by == 0 {
            return false;
        }
        let farewell = self.farewell.get_or_insert_with(|| AnswersFarewell {
            receiver: self.dispatch.generation(self.answered_by).map(|generation| generation.farewell.clone()),
            said_at: None,
        });
        if farewell.receiver.as_ref().is_none_or(|receiver| *receiver.borrow()) {
            let said_at = *farewell.said_at.get_or_insert(now);
            return now.saturating_duration_since(said_at) >= AFTER_FAREWELL;
        }
        false
    }
}
