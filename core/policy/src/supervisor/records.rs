//! What is on record: read, registered, decided on, and what follows when it changes.
//!
//! Each of these runs beside the supervisor, one of a kind at a time. What must not live here: rollouts (`agreement`).

use super::{
    Supervisor,
    ask::Reply,
    plugin::Plugin,
    restarts::backoff,
    telling::Outbox,
    work::{self, RegistryReport, WorkReport},
};
use crate::{
    Entry, Fingerprint, Kind, OpQueue, Order, always, never,
    registry::{Actor, Agreed, Decision, Newcomer, NotDecided, Reading, Record, Registry, Snapshot, Unavailable},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tokio::time::Instant;

/// How the record is followed.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Counts the records that were taken over, so that an older read does not undo a newer one.
    taken: u64,
    reads: OpQueue<Reading>,
    registrations: OpQueue,
    decisions: Decisions,
    pub(super) outbox: Outbox,
    /// It was read at least once: who is not in it has no record.
    pub(super) known: bool,
    pub(super) outage: Option<Outage>,
    /// When the time of an open rollout is over.
    pub(super) rollouts_due: Option<Instant>,
    /// What was purged because its record says so, with the record's revision.
    pub(super) purged: BTreeSet<(String, u64)>,
    /// Artifacts that operators want to go back to, while that is put on record.
    pub(super) rollbacks: BTreeMap<String, Agreed>,
}

/// Decisions of the supervisor's own that are not on record yet. They hold here already.
#[derive(Debug, Default)]
struct Decisions {
    pending: VecDeque<(String, Decision, Actor)>,
    writes: OpQueue,
}

/// The registry cannot be used.
#[derive(Debug)]
pub(super) struct Outage {
    pub(super) why: String,
    /// When it is tried again; nothing while that is under way.
    pub(super) retry: Option<Instant>,
    attempts: u32,
    /// What was to be read meanwhile.
    missed: Reading,
}

impl Supervisor {
    /// Reads records, now or as soon as the read under way is over.
    pub(super) fn read(&mut self, reading: Reading) {
        let reading = match &mut self.records.outage {
            Some(outage) => reading.and(&std::mem::take(&mut outage.missed)),
            None => reading,
        };
        if let Some(reading) = self.records.reads.request_with(reading, Reading::join) {
            self.begin_read(reading);
        }
    }

    fn begin_read(&mut self, reading: Reading) {
        if let Some(outage) = &mut self.records.outage {
            outage.retry = None;
        }
        let reading = Reading { rollouts: self.rollouts_of_mine(), ..reading };
        let (registry, reports, began) = (self.ports.registry.clone(), self.reports.clone(), self.records.taken);
        let panicked = reading.clone();
        let lost = move || {
            let outcome = Err(work::lost_call("reading it"));
            WorkReport::Registry(RegistryReport::Read { reading: panicked, began, outcome })
        };
        work::begin(reports.clone(), lost, async move {
            let outcome = registry.read(reading.clone()).await;
            let _ = reports.send(WorkReport::Registry(RegistryReport::Read { reading, began, outcome }));
        });
    }

    /// The record was read, or not.
    pub(super) fn was_read(&mut self, reading: Reading, began: u64, outcome: Result<Snapshot, Unavailable>) {
        let next = self.records.reads.finish();
        match outcome {
            Ok(snapshot) => self.take_snapshot(reading.names, began, snapshot),
            Err(unavailable) => {
                self.registry_fails(&unavailable);
                // What was to be looked at is looked at then.
                if let Some(outage) = &mut self.records.outage {
                    Reading::join(&mut outage.missed, Reading { rollouts: BTreeSet::new(), ..reading });
                }
            }
        }
        if let Some(next) = next {
            self.begin_read(next);
        }
    }

    fn take_snapshot(&mut self, names: Option<BTreeSet<String>>, began: u64, snapshot: Snapshot) {
        let Snapshot { records, rollouts, seen, stale } = snapshot;
        tracing::debug!(records = records.len(), "the record was read");
        let found: BTreeSet<_> = records.iter().map(|record| record.name.clone()).collect();
        for record in records {
            let seen = seen.get(&record.name).cloned();
            if !self.plugins.get_mut(&record.name).is_some_and(Plugin::waits_for_an_order) {
                self.take_record(record, seen);
            }
        }
        let asked = |name: &String| names.as_ref().is_none_or(|names| names.contains(name));
        let gone = self.plugins.values().filter(|plugin| {
            let on_record = plugin.record().is_some() && plugin.on_record.taken_at <= began;
            on_record && asked(&plugin.name) && !found.contains(&plugin.name)
        });
        let gone: Vec<_> = gone.map(|plugin| plugin.name.clone()).collect();
        for name in gone {
            self.lose_record(&name);
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
        if self.records.outage.as_ref().is_none_or(|outage| outage.why != why.0) {
            tracing::error!("the registry cannot be used: {why}; what serves goes on");
        }
        let outage = self.records.outage.get_or_insert_with(|| Outage {
            why: String::new(),
            retry: None,
            attempts: 0,
            missed: Reading { names: Some(BTreeSet::new()), ..Reading::default() },
        });
        outage.why.clone_from(&why.0);
        if outage.retry.is_none() {
            outage.attempts = (outage.attempts + 1).min(4);
            outage.retry = Some(Instant::now() + backoff(outage.attempts));
        }
        self.shown.overview_changed = true;
    }

    fn registry_works(&mut self) {
        if self.records.outage.take().is_some() {
            tracing::info!("the registry can be used again");
            self.shown.overview_changed = true;
            self.ask_again();
            self.dirty.extend(self.those_in_plain());
        }
        self.report_next();
        self.decide_pending();
    }

    /// Why the registry cannot be used, if it cannot.
    pub(super) fn registry_trouble(&self) -> Option<&String> {
        self.records.outage.as_ref().map(|outage| &outage.why)
    }

    /// It is tried again now, if it is time.
    pub(super) fn retry_registry(&mut self, now: Instant) {
        let retry = self.records.outage.as_ref().and_then(|outage| outage.retry);
        if retry.is_some_and(|due| due <= now) {
            self.read(Reading::default());
        }
        if self.records.rollouts_due.is_some_and(|due| due <= now) {
            self.records.rollouts_due = None;
            self.read(Reading { names: Some(BTreeSet::new()), ..Reading::default() });
        }
    }

    /// A plugin's record, as it is now.
    pub(super) fn take_record(&mut self, mut record: Record, seen: Option<Fingerprint>) {
        let name = record.name.clone();
        for (_, decision, _) in self.records.decisions.pending.iter().filter(|(of, _, _)| *of == name) {
            record.take(decision);
        }
        if record.removed && !self.plugins.contains_key(&name) {
            if record.purge && self.records.purged.insert((name.clone(), record.revision)) {
                self.purge_what_is_gone(&name);
            }
            return;
        }
        self.records.taken += 1;
        let taken_at = self.records.taken;
        let presence = || self.looks.nothing_found();
        let plugin = self
            .plugins
            .entry(name.clone())
            .or_insert_with(|| Plugin::new(&name, presence(), self.ports.keepings.sealer()));
        if plugin.record().is_some_and(|known| known.revision > record.revision) {
            return;
        }
        plugin.on_record.taken_at = taken_at;
        if plugin.record() == Some(&record) {
            return;
        }
        plugin.follow(record, seen);
        plugin.apply_grants(self.looks.arriving.get(&name), &self.settings);
        self.dirty.insert(name.clone());
        self.shown.routes_changed = true;
        self.open_gate(&name);
    }

    /// A plugin has no record any more. If its entry is still there, it is discovered anew.
    fn lose_record(&mut self, name: &str) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            never!("a record is lost of `{name}`, which is not known");
            return;
        };
        if plugin.waits_for_an_order() {
            return;
        }
        tracing::info!(plugin = name, "its record was deleted");
        plugin.on_record.record = None;
        plugin.wishes.attempt = None;
        plugin.directory.accounted = None;
        plugin.refuse_ask(&format!("the record of `{name}` was deleted"));
        self.dirty.insert(name.to_owned());
        self.shown.routes_changed = true;
    }

    /// Registers what has an entry and no record.
    pub(super) fn register_new(&mut self) {
        // Tried again when something was read.
        let away = self.records.outage.is_some();
        if !self.records.known || away || self.records.registrations.is_running() || self.ending.is_some() {
            return;
        }
        let is_new = |plugin: &&Plugin| match (plugin.entry(), plugin.record()) {
            (Some(entry), None) => entry.problem.is_none(),
            // It was put there anew after it had been removed.
            (Some(_), Some(record)) => record.removed && plugin.removal.is_none(),
            (None, _) => false,
        };
        let mut entries: Vec<&Entry> = self.plugins.values().filter(is_new).filter_map(Plugin::entry).collect();
        if entries.is_empty() {
            return;
        }
        // Who comes first keeps what two claim: the server's own plugins, then by path.
        entries.sort_by_key(|entry| (entry.kind != Kind::BuiltIn, &entry.path));
        let newcomers: Vec<_> = entries
            .into_iter()
            .map(|entry| {
                let terms = self.looks.arriving.get(&entry.name).cloned().unwrap_or_default();
                Newcomer {
                    name: entry.name.clone(),
                    built_in: entry.kind == Kind::BuiltIn,
                    path: entry.path.display().to_string(),
                    enabled: self.settings.new_enabled,
                    source: terms.source,
                    grants: terms.grants,
                }
            })
            .collect();
        if !self.records.registrations.request() {
            return;
        }
        let (registry, reports) = (self.ports.registry.clone(), self.reports.clone());
        let lost = || WorkReport::Registry(RegistryReport::Registered(Err(work::lost_call("registering"))));
        work::begin(reports.clone(), lost, async move {
            let outcome = registry.register(newcomers).await;
            let _ = reports.send(WorkReport::Registry(RegistryReport::Registered(outcome)));
        });
    }

    pub(super) fn registered(&mut self, outcome: Result<Vec<Record>, Unavailable>) {
        let more = self.records.registrations.finish();
        always!(more.is_none(), "plugins are registered while others are");
        match outcome {
            Ok(records) => {
                for record in records {
                    // It may have arrived while it was registered, or on terms of another server's.
                    let name = record.name.clone();
                    self.take_record(record, None);
                    self.put_arrival_on_record(&name, &Actor::Filesystem);
                }
            }
            Err(why) => self.registry_fails(&why),
        }
    }

    /// Puts on record what an operator decides.
    pub(super) fn decide(&mut self, order: Order, decision: Decision, reply: Reply) {
        let (registry, reports) = (self.ports.registry.clone(), self.reports.clone());
        if let Some(plugin) = self.plugins.get_mut(&order.plugin) {
            plugin.on_record.orders += 1;
        }
        tokio::spawn(async move {
            let outcome = write(&*registry, &order.plugin, decision, order.by.clone(), order.revision).await;
            let order = Box::new(order);
            let _ = reports.send(WorkReport::Registry(RegistryReport::Decided { order, outcome, reply }));
        });
    }

    /// An order has come back. What was written meanwhile is read now.
    pub(super) fn order_is_back(&mut self, name: &str) {
        // A plugin may have been forgotten meanwhile.
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        plugin.on_record.orders = plugin.on_record.orders.saturating_sub(1);
        if plugin.on_record.orders == 0 && std::mem::take(&mut plugin.on_record.missed_change) {
            self.read(Reading { names: Some([name.to_owned()].into()), ..Reading::default() });
        }
    }

    /// Puts on record what the supervisor decides itself. It holds here at once, and there as soon as it can be written.
    pub(super) fn decide_here(&mut self, name: &str, decision: Decision, by: Actor) {
        if let Some(record) = self.plugins.get_mut(name).and_then(|plugin| plugin.on_record.record.as_mut()) {
            record.take(&decision);
        }
        self.records.decisions.pending.push_back((name.to_owned(), decision, by));
        self.decide_pending();
    }

    fn decide_pending(&mut self) {
        if !self.records.decisions.pending.is_empty() && self.records.decisions.writes.request() {
            self.begin_decision();
        }
    }

    fn begin_decision(&mut self) {
        let Some((name, decision, by)) = self.records.decisions.pending.front().cloned() else {
            // What was asked for once more was written by the run before.
            let _ = self.records.decisions.writes.finish();
            return;
        };
        let (registry, reports) = (self.ports.registry.clone(), self.reports.clone());
        tokio::spawn(async move {
            let outcome = write(&*registry, &name, decision, by, None).await;
            let _ = reports.send(WorkReport::Registry(RegistryReport::DecidedHere(outcome)));
        });
    }

    pub(super) fn decided_here(&mut self, outcome: Result<Record, NotDecided>) {
        let more = self.records.decisions.writes.finish().is_some();
        let away = matches!(outcome, Err(NotDecided::Unavailable(_)));
        match outcome {
            Err(NotDecided::Unavailable(why)) => self.registry_fails(&why),
            Ok(record) => {
                self.records.decisions.pending.pop_front();
                self.take_record(record, None);
            }
            // Its record was deleted meanwhile: there is nothing to decide about.
            Err(NotDecided::Unknown(_) | NotDecided::Outdated(_)) => {
                self.records.decisions.pending.pop_front();
            }
        }
        match (more, away) {
            (true, _) => self.begin_decision(),
            (false, false) => self.decide_pending(),
            // It is written once the registry can be used again.
            (false, true) => {}
        }
    }
}

/// Writes a decision. Should that panic, it was not written.
pub(super) async fn write(
    registry: &dyn Registry,
    name: &str,
    decision: Decision,
    by: Actor,
    revision: Option<u64>,
) -> Result<Record, NotDecided> {
    let written = tokio::spawn(registry.decide(name, decision, by, revision)).await;
    written.unwrap_or_else(|_| Err(work::lost_call("writing it").into()))
}

impl Reading {
    /// What both want.
    fn and(self, other: &Reading) -> Reading {
        let names = match (self.names, &other.names) {
            (Some(one), Some(two)) => Some(one.union(two).cloned().collect()),
            _ => None,
        };
        Reading { names, rollouts: self.rollouts.union(&other.rollouts).copied().collect() }
    }

    /// Adds what another wants.
    fn join(&mut self, other: Reading) {
        *self = std::mem::take(self).and(&other);
    }
}
