//! What the server has lost, noticed by when its streams were made: they are made again, and subscriptions are registered in them. What
//! must not live here: how a row is written.

use super::{NatsLedger, link::unavailable};
use camlock_policy::AskError;
use std::time::{SystemTime, UNIX_EPOCH};

impl NatsLedger {
    /// The number of the last event. If the streams are not those that were known, all begins anew.
    pub(super) async fn last(&self) -> Result<u64, AskError> {
        let info = match self.link.streams().await?.events.get_info().await {
            Ok(info) => info,
            Err(error) => {
                self.link.make_again_if_gone().await;
                return Err(unavailable(error));
            }
        };
        let made = micros(info.created.into());
        let known = *self.made.lock();
        if known.is_some_and(|known| known != made) {
            self.begin_anew(made).await?;
        }
        *self.made.lock() = Some(made);
        Ok(info.state.last_sequence)
    }

    /// The server has lost what it had. All that is in its new streams came after that: subscriptions have all of it before them.
    async fn begin_anew(&self, made: u64) -> Result<(), AskError> {
        tracing::error!(
            "NATS at {} has lost its streams `{}_…`: events that were kept and not handled, those that were given up, and where \
             subscriptions were are gone; the streams were made anew, positions begin at 1, and subscriptions hear of what is emitted \
             from now on",
            self.link.url.shown(),
            self.link.url.prefix()
        );
        // Whoever made them anew may have ended in the middle of it.
        self.link.make_again_if_gone().await;
        self.appender.forget().await;
        self.readers.lock().clear();
        self.held.lock().clear();
        self.others.lock().clear();
        self.done.lock().clear();
        let registered = self.registered.lock().clone();
        for (key, terms) in registered {
            self.write_registration(&key, &terms, (0, made)).await?;
        }
        Ok(())
    }

    /// The server has lost the subscriptions: those that are here are there again, and go on where they were seen last.
    pub(super) async fn register_again(&self, (last, stream): (u64, u64)) -> Result<(), AskError> {
        let rows = self.rows(last).await?;
        let registered = self.registered.lock().clone();
        for (key, terms) in registered.iter().filter(|(key, _)| rows.iter().all(|row| row.key != **key)) {
            let done = self.done.lock().get(key).copied().unwrap_or(last);
            tracing::error!(
                subscription = key.id,
                "NATS at {} has lost where this subscription was: it goes on behind event {done}, and may hear of some once more",
                self.link.url.shown()
            );
            self.write_registration(key, terms, (done, stream)).await?;
        }
        Ok(())
    }
}

/// Since 1970.
pub(super) fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
