//! What follows for a plugin when its record changes, at once and without I/O.
//!
//! What must not live here: how records are read and written (`records`).

use super::{
    plan::GenerationSource,
    plugin::{Attempt, AttemptReason, Plugin, Presence, RecordedConfig, Removal, Renewal, RenewalCause},
};
use crate::{Fingerprint, Refused, Stage, registry::Record};
use tokio::time::Instant;

impl Plugin {
    /// While an order of somebody here is on its way to the record, it may be read there before it is known here that it was
    /// obeyed; it would be obeyed twice, or answered too early. The record is not taken over until the order is back.
    pub(super) fn waits_for_an_order(&mut self) -> bool {
        let waits = self.on_record.orders > 0;
        self.on_record.missed_change |= waits;
        waits
    }

    /// Takes over a record, and what follows from it at once.
    pub(super) fn follow(&mut self, record: Record, seen: Option<Fingerprint>) {
        let before = self.on_record.record.take();
        let config = RecordedConfig::from(&record);
        if self.on_record.config != config {
            self.on_record.config = config;
            // A candidate that it did not fit may be tried again.
            let serves = self.serving.as_ref().map(|serving| serving.generation);
            self.failed.take_if(|failed| failed.failure.stage == Stage::Config && Some(failed.generation) != serves);
        }
        match &before {
            None => {
                self.directory.accounted = seen.or(self.directory.accounted.take());
                // A node that comes to a fleet takes what was agreed on, whatever lies in its own directory.
                self.directory.joins = record.agreed.is_some() && self.directory.accounted.is_none();
                self.set_removal(record.removed && self.has_something_to_go(&record));
            }
            Some(before) => {
                let is_new = record.removed && !before.removed && self.has_something_to_go(&record);
                self.set_removal(self.removal.is_some() || is_new);
                if record.enabled && !before.enabled && !self.directory.is_broken() {
                    // What failed before may be tried again.
                    self.failed = None;
                }
                if !record.enabled && before.enabled {
                    self.refuse_ask(&format!("`{}` was disabled meanwhile", self.name));
                }
                if record.reloads > before.reloads && self.wishes.ask.is_none() {
                    self.wishes.renewal = Some(Renewal { due: Instant::now(), cause: RenewalCause::Requested });
                }
                let digest = |record: &Record| record.agreed.as_ref().map(|agreed| agreed.digest);
                if digest(&record) != digest(before) {
                    self.agreed_anew(before, &record);
                }
            }
        }
        self.on_record.record = Some(record);
        self.account();
    }

    /// Something else was agreed on.
    fn agreed_anew(&mut self, before: &Record, record: &Record) {
        let Some(agreed) = &record.agreed else { return };
        // A canary is about what was agreed on before.
        let is_over = |attempt: &mut Attempt| {
            attempt.agreed.digest == agreed.digest || matches!(attempt.reason, AttemptReason::Canary(_))
        };
        let attempt = self.wishes.attempt.take_if(is_over);
        let mine = attempt.filter(|attempt| matches!(attempt.reason, AttemptReason::Wanted(_)));
        let Some(fingerprint) = self.directory.fingerprint().cloned() else { return };
        // What lies there and was not tried yet is still a proposal.
        let tried =
            self.failed.as_ref().is_some_and(|failed| failed.source == GenerationSource::Entry(fingerprint.clone()));
        if mine.is_some() || tried {
            self.directory.accounted = Some(fingerprint.clone());
        }
        let from = before.agreed.as_ref().and_then(|agreed| agreed.fingerprint.clone());
        self.directory.is_superseded =
            mine.is_none() && from.as_ref() == Some(&fingerprint) && record.source.catalog().is_some();
        // Here somebody went back from just what lies there.
        if let Some(from) = mine.and(from).filter(|from| *from == fingerprint) {
            self.directory.rolled_back_from = Some(from);
        }
    }

    /// What lies there when a node comes to a fleet is accounted for. What was removed and lies there still is to go.
    pub(super) fn account(&mut self) {
        let (Some(fingerprint), Some(record)) = (self.directory.fingerprint().cloned(), self.record()) else { return };
        let removed = record.removed;
        let is_agreed = record.agreed.as_ref().is_some_and(|agreed| self.is_of_entry(agreed));
        let joins = std::mem::take(&mut self.directory.joins);
        let accounted = &mut self.directory.accounted;
        if joins || is_agreed {
            *accounted = Some(fingerprint.clone());
        }
        // Whatever lies there now was put there after the removal.
        let is_old = self.serving.is_some() || accounted.is_none() || accounted.as_ref() == Some(&fingerprint);
        self.set_removal(self.removal.is_some() && removed && is_old);
    }

    /// Whether there is anything to do before a plugin that was removed is gone from here.
    fn has_something_to_go(&self, record: &Record) -> bool {
        let lay_here = self.directory.lay_here() && record.source.catalog().is_none();
        !matches!(self.directory.presence, Presence::Absent) || self.is_alive() || record.purge || lay_here
    }

    /// Its entry is to go, or is not any more; whoever waited for that hears of it.
    fn set_removal(&mut self, to_go: bool) {
        match (&mut self.removal, to_go) {
            (None, true) => self.removal = Some(Removal::Stopping(Vec::new())),
            (Some(removal), false) => {
                let why = format!("`{}` was put into the plugins directory anew meanwhile", self.name);
                for reply in std::mem::take(removal.replies()) {
                    let _ = reply.send(Err(Refused::Conflict(why.clone())));
                }
                self.removal = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }
}
