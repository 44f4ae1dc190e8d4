//! What is on record: read, registered, decided on, and what follows when it changes.
//!
//! Each of these runs beside the supervisor, one of a kind at a time. What must not live here: rollouts (`agreement`).

use super::{
    Supervisor,
    acts::Reply,
    plugin::Plugin,
    restarts::backoff,
    work::{self, Report},
};
use crate::{
    Entry, Kind, Order,
    registry::{Actor, Decision, Newcomer, NotDecided, Reading, Record, Snapshot, Unavailable},
};
use std::collections::{BTreeSet, VecDeque};
use tokio::time::Instant;

/// How the record is followed.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Counts what was learnt, so that an older look does not undo a newer one.
    learnt: u64,
    reading: bool,
    again: Option<Reading>,
    registering: bool,
    /// Newcomers that could not be registered are tried again when something was read.
    held_up: bool,
    /// Decisions of the supervisor's own that are not on record yet. They hold here already.
    pending: VecDeque<(String, Decision, Actor)>,
    deciding: bool,
    /// It was read at least once: who is not in it has no record.
    known: bool,
    /// Why it cannot be used, if so.
    pub(super) trouble: Option<String>,
    /// When it is tried again.
    pub(super) retry: Option<Instant>,
    attempts: u32,
    /// When the time of an open rollout is over.
    pub(super) rollouts_due: Option<Instant>,
}

impl Supervisor {
    /// Reads records, now or as soon as the look under way is over.
    pub(super) fn read(&mut self, reading: Reading) {
        if self.records.reading {
            let again = self.records.again.take();
            self.records.again = Some(again.map_or_else(|| reading.clone(), |other| other.and(&reading)));
            return;
        }
        self.records.reading = true;
        self.records.retry = None;
        let reading = Reading { rollouts: self.rollouts_of_mine(), ..reading };
        let (registry, desk, began) = (self.ports.registry.clone(), self.desk("", 0), self.records.learnt);
        let names = reading.names.clone();
        let lost = names.clone();
        let gone = move || {
            let why = Unavailable("reading it panicked, which is a mistake of this server: see its log".to_owned());
            Report::Read { names: lost, began, outcome: Err(why) }
        };
        work::begin(desk.clone(), gone, async move {
            let outcome = registry.read(reading).await;
            desk.tell(Report::Read { names, began, outcome });
        });
    }

    /// The record was read, or not.
    pub(super) fn was_read(
        &mut self,
        names: Option<BTreeSet<String>>,
        began: u64,
        outcome: Result<Snapshot, Unavailable>,
    ) {
        self.records.reading = false;
        match outcome {
            Ok(snapshot) => self.take_snapshot(names, began, snapshot),
            Err(unavailable) => {
                // What was to be looked at is looked at then.
                let reading = Reading { names, ..Reading::default() };
                let again = self.records.again.take();
                self.records.again = Some(again.map_or_else(|| reading.clone(), |other| other.and(&reading)));
                self.registry_fails(&unavailable);
                return;
            }
        }
        if let Some(again) = self.records.again.take() {
            self.read(again);
        }
    }

    fn take_snapshot(&mut self, names: Option<BTreeSet<String>>, began: u64, snapshot: Snapshot) {
        let Snapshot { records, rollouts, seen, stale } = snapshot;
        tracing::debug!(records = records.len(), "the record was read");
        let found: BTreeSet<_> = records.iter().map(|record| record.name.clone()).collect();
        for record in records {
            let seen = seen.get(&record.name).cloned();
            if !self.plugins.get_mut(&record.name).is_some_and(Plugin::hears_of_an_order_first) {
                self.learn(record, seen);
            }
        }
        let asked = |name: &String| names.as_ref().is_none_or(|names| names.contains(name));
        let gone = self.plugins.values().filter(|plugin| {
            plugin.record.is_some() && plugin.learnt <= began && asked(&plugin.name) && !found.contains(&plugin.name)
        });
        let gone: Vec<_> = gone.map(|plugin| plugin.name.clone()).collect();
        for name in gone {
            if !self.plugins.get_mut(&name).is_some_and(Plugin::hears_of_an_order_first) {
                self.unlearn(&name);
            }
        }
        self.take_rollouts(rollouts);
        self.records.known |= names.is_none();
        match stale {
            Some(why) => self.registry_fails(&Unavailable(why)),
            None => self.registry_works(),
        }
    }

    /// It cannot be used for now. What serves goes on.
    pub(super) fn registry_fails(&mut self, why: &Unavailable) {
        if self.records.trouble.as_ref() != Some(&why.0) {
            tracing::error!("the registry cannot be used: {why}; what serves goes on");
            self.records.trouble = Some(why.0.clone());
        }
        if self.records.retry.is_none() {
            self.records.attempts = (self.records.attempts + 1).min(4);
            self.records.retry = Some(Instant::now() + backoff(self.records.attempts));
        }
        self.overview_changed = true;
    }

    fn registry_works(&mut self) {
        self.records.held_up = false;
        self.records.attempts = 0;
        if self.records.trouble.take().is_some() {
            tracing::info!("the registry can be used again");
            self.overview_changed = true;
            self.ask_again();
        }
        self.report_next();
        self.decide_pending();
    }

    /// Whether it is known who is on record.
    pub(super) fn records_known(&self) -> bool {
        self.records.known
    }

    /// It is tried again now, if it is time.
    pub(super) fn retry_registry(&mut self, now: Instant) {
        if self.records.retry.is_some_and(|due| due <= now) {
            let again = self.records.again.take().unwrap_or_default();
            self.read(Reading { names: None, ..again });
        }
        if self.records.rollouts_due.is_some_and(|due| due <= now) {
            self.records.rollouts_due = None;
            self.read(Reading { names: Some(BTreeSet::new()), ..Reading::default() });
        }
    }

    /// A plugin's record, as it is now.
    pub(super) fn learn(&mut self, mut record: Record, seen: Option<crate::Fingerprint>) {
        let name = record.name.clone();
        for (_, decision, _) in self.records.pending.iter().filter(|(of, _, _)| *of == name) {
            record.take(decision);
        }
        if record.removed && !self.plugins.contains_key(&name) {
            return;
        }
        self.records.learnt += 1;
        let learnt = self.records.learnt;
        let plugin = self.plugins.entry(name.clone()).or_insert_with(|| Plugin::new(&name));
        if plugin.record.as_ref().is_some_and(|known| known.revision > record.revision) {
            return;
        }
        plugin.learnt = learnt;
        if plugin.record.as_ref() == Some(&record) {
            return;
        }
        plugin.follow(record, seen);
        self.dirty.insert(name.clone());
        self.routes_changed = true;
        self.open_gate(&name);
    }

    /// A plugin has no record any more. If its entry is still there, it is discovered anew.
    fn unlearn(&mut self, name: &str) {
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        tracing::info!(plugin = name, "its record was deleted");
        plugin.record = None;
        plugin.attempt = None;
        plugin.seen = None;
        plugin.refuse_ask(&format!("the record of `{name}` was deleted"));
        self.dirty.insert(name.to_owned());
        self.routes_changed = true;
    }

    /// Registers what has an entry and no record.
    pub(super) fn register_new(&mut self) {
        if !self.records.known || self.records.registering || self.records.held_up || self.ending.is_some() {
            return;
        }
        let is_new = |plugin: &&Plugin| match (&plugin.entry, &plugin.record) {
            (Some(entry), None) => entry.problem.is_none(),
            // It was put there anew after it had been removed.
            (Some(_), Some(record)) => record.removed && !plugin.removing,
            (None, _) => false,
        };
        let mut entries: Vec<&Entry> =
            self.plugins.values().filter(is_new).filter_map(|plugin| plugin.entry.as_ref()).collect();
        if entries.is_empty() {
            return;
        }
        // Who comes first keeps what two claim: the server's own plugins, then by path.
        entries.sort_by_key(|entry| (entry.kind != Kind::BuiltIn, &entry.path));
        let newcomers: Vec<_> = entries
            .into_iter()
            .map(|entry| Newcomer {
                name: entry.name.clone(),
                built_in: entry.kind == Kind::BuiltIn,
                path: entry.path.display().to_string(),
                enabled: self.settings.new_enabled,
            })
            .collect();
        self.records.registering = true;
        let (registry, desk) = (self.ports.registry.clone(), self.desk("", 0));
        let lost = || Report::Registered(Err(Unavailable("registering panicked: see the log".to_owned())));
        work::begin(desk.clone(), lost, async move {
            desk.tell(Report::Registered(registry.register(newcomers).await));
        });
    }

    pub(super) fn registered(&mut self, outcome: Result<Vec<Record>, Unavailable>) {
        self.records.registering = false;
        match outcome {
            Ok(records) => {
                for record in records {
                    self.learn(record, None);
                }
            }
            Err(why) => {
                self.records.held_up = true;
                self.registry_fails(&why);
            }
        }
    }

    /// Puts on record what an operator decides.
    pub(super) fn decide(&mut self, order: Order, decision: Decision, reply: Reply) {
        let (registry, desk) = (self.ports.registry.clone(), self.desk(&order.plugin, 0));
        if let Some(plugin) = self.plugins.get_mut(&order.plugin) {
            plugin.orders += 1;
        }
        tokio::spawn(async move {
            let Order { plugin, by, revision, .. } = &order;
            let outcome = tokio::spawn(registry.decide(plugin, decision, by.clone(), *revision)).await;
            let panicked =
                || Unavailable("writing it panicked, which is a mistake of this server: see its log".to_owned());
            let outcome = outcome.unwrap_or_else(|_| Err(panicked().into()));
            desk.tell(Report::Decided(Box::new(order), outcome, reply));
        });
    }

    /// An order has come back. What was written meanwhile is read now.
    pub(super) fn order_is_back(&mut self, name: &str) {
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        plugin.orders = plugin.orders.saturating_sub(1);
        if plugin.orders == 0 && std::mem::take(&mut plugin.unread) {
            self.read(Reading { names: Some([name.to_owned()].into()), ..Reading::default() });
        }
    }

    /// Puts on record what the supervisor decides itself. It holds here at once, and there as soon as it can be written.
    pub(super) fn decide_here(&mut self, name: &str, decision: Decision, by: Actor) {
        if let Some(record) = self.plugins.get_mut(name).and_then(|plugin| plugin.record.as_mut()) {
            record.take(&decision);
        }
        self.records.pending.push_back((name.to_owned(), decision, by));
        self.decide_pending();
    }

    fn decide_pending(&mut self) {
        let Some((name, decision, by)) = self.records.pending.front().cloned().filter(|_| !self.records.deciding)
        else {
            return;
        };
        self.records.deciding = true;
        let (registry, desk) = (self.ports.registry.clone(), self.desk(&name, 0));
        tokio::spawn(async move {
            let outcome = registry.decide(&name, decision, by, None).await;
            desk.tell(Report::DecidedHere(outcome));
        });
    }

    pub(super) fn decided_here(&mut self, outcome: Result<Record, NotDecided>) {
        self.records.deciding = false;
        match outcome {
            Err(NotDecided::Unavailable(why)) => {
                self.registry_fails(&why);
                return;
            }
            Ok(record) => {
                self.records.pending.pop_front();
                self.learn(record, None);
            }
            // Its record was deleted meanwhile: there is nothing to decide about.
            Err(_) => drop(self.records.pending.pop_front()),
        }
        self.decide_pending();
    }
}

impl Reading {
    /// Both.
    fn and(self, other: &Reading) -> Reading {
        let names = match (self.names, &other.names) {
            (Some(one), Some(two)) => Some(one.union(two).cloned().collect()),
            _ => None,
        };
        Reading { names, rollouts: self.rollouts.union(&other.rollouts).copied().collect() }
    }
}
