//! What follows for a plugin when its record changes, at once and without I/O.
//!
//! What must not live here: how records are read and written (`records`).

use super::{
    plan::Source,
    plugin::{Plugin, Why},
};
use crate::registry::Record;
use tokio::time::Instant;

impl Plugin {
    /// While an order of somebody here is on its way to the record, it may be read there before it is known here that it was
    /// obeyed; it would be obeyed twice, or answered too early. The record is left unread until the order is back.
    pub(super) fn hears_of_an_order_first(&mut self) -> bool {
        self.unread |= self.orders > 0;
        self.orders > 0
    }

    /// Takes over a record, and what follows from it at once.
    pub(super) fn follow(&mut self, record: Record, seen: Option<crate::Fingerprint>) {
        let before = self.record.take();
        let now = Instant::now();
        let config: std::sync::Arc<str> = record.config.to_string().into();
        if self.config != config {
            self.config = config;
        }
        match &before {
            None => {
                self.seen = seen.or(self.seen.take());
                // A node that comes to a fleet takes what was agreed on, whatever lies in its own directory.
                self.joins = record.agreed.is_some() && self.seen.is_none();
                self.removing = record.removed;
            }
            Some(before) => {
                self.removing |= record.removed && !before.removed;
                if record.enabled && !before.enabled && self.entry.as_ref().is_none_or(|entry| entry.problem.is_none())
                {
                    // What failed before may be tried again.
                    self.failed = None;
                }
                if !record.enabled && before.enabled {
                    self.refuse_ask(&format!("`{}` was disabled meanwhile", self.name));
                }
                if record.reloads > before.reloads && self.ask.is_none() {
                    self.renew = Some(now);
                }
                let digest = |record: &Record| record.agreed.as_ref().map(|agreed| agreed.digest);
                if digest(&record) != digest(before) {
                    self.agreed_anew(before, &record);
                }
            }
        }
        self.record = Some(record);
        self.account();
    }

    /// Something else was agreed on.
    fn agreed_anew(&mut self, before: &Record, record: &Record) {
        let Some(agreed) = &record.agreed else { return };
        let attempt = self.attempt.take_if(|attempt| attempt.agreed.digest == agreed.digest);
        let mine = attempt.filter(|attempt| matches!(attempt.why, Why::Wanted(_)));
        let Some(entry) = &self.entry else { return };
        // What lies there and was not tried yet is still a proposal.
        let tried =
            self.failed.as_ref().is_some_and(|failed| failed.source == Source::Entry(entry.fingerprint.clone()));
        if mine.is_some() || tried {
            self.seen = Some(entry.fingerprint.clone());
        }
        // Here somebody went back from just what lies there.
        let from = before.agreed.as_ref().and_then(|agreed| agreed.fingerprint.clone());
        self.turned_away = mine.and(from).filter(|from| *from == entry.fingerprint).or(self.turned_away.take());
    }

    /// What lies there when a node comes to a fleet is accounted for. What was removed and lies there still is to go.
    pub(super) fn account(&mut self) {
        let (Some(entry), Some(record)) = (&self.entry, &self.record) else { return };
        let is_agreed =
            record.agreed.as_ref().is_some_and(|agreed| agreed.fingerprint.as_ref() == Some(&entry.fingerprint));
        if std::mem::take(&mut self.joins) || is_agreed {
            self.seen = Some(entry.fingerprint.clone());
        }
        // Whatever lies there now was put there after the removal.
        self.removing &= record.removed
            && (self.serving.is_some() || self.seen.is_none() || self.seen.as_ref() == Some(&entry.fingerprint));
    }
}
