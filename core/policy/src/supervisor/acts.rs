//! What operators ask: turned into what is wanted, and answered when the outcome is known.

use super::{
    Supervisor,
    ask::{Ask, PendingAnswer, Reply},
    plugin::{Attempt, AttemptReason, Plugin, RecordedConfig},
    work::{DirectoryReport, WorkReport},
};
use crate::{
    Act, Digest, Isolation, Kept, Kind, Order, Refused, never,
    registry::{Actor, Agreed, Decision, NotDecided, Pardon, Record},
};
use tokio::sync::oneshot;

impl Supervisor {
    pub(super) fn act(&mut self, order: Order, reply: Reply) {
        let name = order.plugin.clone();
        if self.ending.is_some() {
            let _ = reply.send(Err(Refused::Ending));
            return;
        }
        let Some(plugin) = self.plugins.get(&name) else {
            let _ = reply.send(Err(Refused::Unknown(name)));
            return;
        };
        if let Err(why) = self.may(plugin, &order.act) {
            let _ = reply.send(Err(why));
            return;
        }
        let decision = match &order.act {
            // An operator says so: what was under quarantine may be tried again.
            Act::Reload { .. } => Decision { reload: true, pardon: Some(Pardon::All), ..Decision::default() },
            Act::Enable(enabled) => Decision { enabled: Some(*enabled), ..Decision::default() },
            Act::Set { enabled, config, isolation } => {
                let mut decided = Decision { enabled: *enabled, isolation: *isolation, ..Decision::default() };
                // There it can end nobody but itself: what was under quarantine may be tried.
                if *isolation == Some(Some(Isolation::Process)) && plugin.has_quarantine() {
                    (decided.reload, decided.pardon) = (true, Some(Pardon::All));
                }
                match config.clone().map(|config| plugin.ordered_config(config)).transpose() {
                    Ok(None) => decided,
                    Ok(Some((config, secrets))) => Decision { config: Some(config), secrets, ..decided },
                    Err(why) => {
                        let _ = reply.send(Err(why));
                        return;
                    }
                }
            }
            Act::Grant(grants) => Decision { grants: Some(grants.clone()), ..Decision::default() },
            Act::Remove { purge } => Decision { remove: true, purge: *purge, ..Decision::default() },
            Act::Rollback { .. } => {
                self.look_up_history(order, reply);
                return;
            }
        };
        self.decide(order, decision, reply);
    }

    /// Whether it can be done as things are.
    fn may(&self, plugin: &Plugin, act: &Act) -> Result<(), Refused> {
        let name = &plugin.name;
        let stops = match act {
            Act::Enable(enabled) => !enabled,
            Act::Set { enabled, .. } => *enabled == Some(false),
            Act::Remove { .. } => true,
            Act::Reload { .. } | Act::Rollback { .. } | Act::Grant(_) => false,
        };
        let conflict = |why: String| Err(Refused::Conflict(why));
        if plugin.record().is_none() {
            return match &plugin.failed {
                Some(failed) if self.records.outage.is_none() => {
                    conflict(format!("`{name}` is not on record yet: {}", failed.failure))
                }
                // It passes, in a moment or when the registry can be written again.
                _ => {
                    let why = self.registry_trouble().map_or("it has only just been found", String::as_str);
                    Err(Refused::Unavailable(format!("`{name}` is not on record yet: {why}")))
                }
            };
        }
        if matches!(act, Act::Reload { .. }) && !plugin.enabled() {
            return conflict(format!("`{name}` is disabled: enable it, and it is loaded"));
        }
        if matches!(act, Act::Remove { .. }) && plugin.entry().is_some_and(|entry| entry.kind == Kind::BuiltIn) {
            return conflict(format!("`{name}` is compiled into the server: it can be disabled, not removed"));
        }
        let dependents = if stops { self.dependents(name) } else { Vec::new() };
        if dependents.is_empty() {
            return Ok(());
        }
        let them = dependents.join("`, `");
        conflict(format!("`{them}` would be left without `{name}`: disable them first"))
    }

    /// What an operator decided is on record, or is not.
    pub(super) fn decided(&mut self, order: Order, outcome: Result<Record, NotDecided>, reply: Reply) {
        let name = order.plugin.as_str();
        self.order_is_back(name);
        let record = match outcome {
            Ok(record) => Some(record),
            Err(NotDecided::Unknown(_)) => {
                let _ = reply.send(Err(Refused::Unknown(order.plugin)));
                return;
            }
            Err(NotDecided::Outdated(revision)) => {
                let _ = reply.send(Err(Refused::Outdated(revision)));
                return;
            }
            Err(NotDecided::Unavailable(why)) => {
                self.registry_fails(&why);
                // A new generation of what is agreed on needs nobody's record.
                if !matches!(order.act, Act::Reload { .. }) {
                    let _ = reply.send(Err(Refused::Unavailable(format!("the registry cannot be written: {why}"))));
                    return;
                }
                None
            }
        };
        let look = self.coming_look();
        let Some(plugin) = self.plugins.get_mut(name) else {
            // It was taken out of the directory and forgotten while the order was written.
            let _ = reply.send(Err(Refused::Unknown(order.plugin)));
            return;
        };
        self.dirty.insert(name.to_owned());
        let by = Some(order.by);
        match order.act {
            Act::Reload { force } => {
                // What lies there, and was rolled back from, is tried again.
                let directory = &mut plugin.directory;
                if directory.rolled_back_from.is_some()
                    && directory.rolled_back_from.as_ref() == directory.fingerprint()
                {
                    directory.accounted = None;
                    directory.rolled_back_from = None;
                }
                // A canary soaks anew.
                plugin.wishes.attempt.take_if(|attempt| !matches!(attempt.reason, AttemptReason::Canary(_)));
                plugin.ask(Ask { look, force, by, replies: vec![reply] });
                self.take_own(record);
            }
            Act::Enable(_) | Act::Set { .. } => {
                let config = record.as_ref().map(RecordedConfig::from);
                let changes = config.is_some_and(|config| config != plugin.on_record.config);
                self.take_own(record);
                let moves = |plugin: &Plugin| plugin.enabled() && plugin.is_to_move(&self.settings).is_some();
                if self.plugins.get(name).is_some_and(moves)
                    && let Some(plugin) = self.plugins.get_mut(name)
                {
                    plugin.ask(Ask { look, force: false, by, replies: vec![reply] });
                } else {
                    self.settled_as_decided(name, look, by, changes, reply);
                }
            }
            Act::Grant(_) => {
                self.take_own(record);
                self.shown.answers.extend(PendingAnswer::to_all(name, [reply], &Ok(Vec::new())));
            }
            Act::Remove { .. } => {
                self.take_own(record);
                self.wait_for_removal(name, reply);
            }
            Act::Rollback { to, force } => {
                self.go_back_to(name, (to, force), by, reply);
                self.take_own(record);
            }
        }
    }

    /// Takes over what was decided here.
    fn take_own(&mut self, record: Option<Record>) {
        if let Some(record) = record {
            self.take_record(record, None);
        }
    }

    /// Answers who enabled, disabled or configured it, when that has its effect.
    fn settled_as_decided(&mut self, name: &str, look: u64, by: Option<Actor>, configured: bool, reply: Reply) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            never!("`{name}` is forgotten while it is enabled");
            return;
        };
        let serves = plugin.serving.is_some();
        if plugin.enabled() && serves && configured {
            plugin.wishes.configurers.push(reply);
        } else if plugin.enabled() && !serves {
            if !plugin.directory.is_broken() {
                plugin.failed = None;
            }
            plugin.ask(Ask { look, force: false, by, replies: vec![reply] });
        } else {
            self.shown.answers.extend(PendingAnswer::to_all(name, [reply], &Ok(Vec::new())));
        }
    }

    /// Which artifacts are kept, for people.
    pub(super) fn history(&self, name: String, reply: oneshot::Sender<Vec<Kept>>) {
        let shelf = self.ports.shelf.clone();
        tokio::task::spawn_blocking(move || reply.send(shelf.history(&name)));
    }

    /// Which artifacts are kept stands in files: they are read where that may take its time.
    fn look_up_history(&self, order: Order, reply: Reply) {
        let (shelf, reports) = (self.ports.shelf.clone(), self.reports.clone());
        tokio::task::spawn_blocking(move || {
            let kept = shelf.history(&order.plugin);
            let order = Box::new(order);
            let _ = reports.send(WorkReport::Directory(DirectoryReport::History { kept, order, reply }));
        });
    }

    /// It is known which artifacts are kept.
    pub(super) fn looked_up(&mut self, history: &[Kept], order: Order, reply: Reply) {
        let Some(plugin) = self.plugins.get(&order.plugin) else {
            let _ = reply.send(Err(Refused::Unknown(order.plugin)));
            return;
        };
        if self.ending.is_some() {
            let _ = reply.send(Err(Refused::Ending));
            return;
        }
        let Act::Rollback { to, force } = order.act else {
            never!("the history of `{}` was looked up for {:?}", order.plugin, order.act);
            return;
        };
        match rollback_to(plugin, history, to) {
            Ok(kept) => {
                // That it may serve again is part of the decision.
                let decision = Decision { pardon: Some(Pardon::One(kept.digest)), ..Decision::default() };
                let agreed = Agreed { fingerprint: Some(kept.fingerprint), digest: kept.digest, version: kept.version };
                let act = Act::Rollback { to: Some(kept.digest), force };
                self.records.rollbacks.insert(order.plugin.clone(), agreed);
                self.decide(Order { act, ..order }, decision, reply);
            }
            Err(why) => drop(reply.send(Err(Refused::Conflict(why)))),
        }
    }

    fn go_back_to(&mut self, name: &str, (to, force): (Option<Digest>, bool), by: Option<Actor>, reply: Reply) {
        let agreed = self.records.rollbacks.remove(name).filter(|agreed| Some(agreed.digest) == to);
        let Some(plugin) = self.plugins.get_mut(name) else {
            never!("`{name}` is forgotten while it is rolled back");
            return;
        };
        let there = plugin.enabled() && plugin.is_there();
        let Some(agreed) = agreed.filter(|_| there) else {
            let why = format!("`{name}` is not served: enable it, or bring its entry back");
            let _ = reply.send(Err(Refused::Conflict(why)));
            return;
        };
        let reason = AttemptReason::Wanted(by.clone().unwrap_or(Actor::Program));
        plugin.wishes.attempt = Some(Attempt { agreed, reason });
        plugin.ask(Ask { look: 0, force, by, replies: vec![reply] });
    }
}

/// Which artifact to go back to.
fn rollback_to(plugin: &Plugin, history: &[Kept], to: Option<Digest>) -> Result<Kept, String> {
    let name = &plugin.name;
    let serves = plugin.served_digest();
    match to {
        Some(digest) => {
            if let Some(kept) = history.iter().find(|kept| kept.digest == digest) {
                return Ok(kept.clone());
            }
            let kept: Vec<_> = history.iter().map(|kept| format!("{} ({})", kept.digest, kept.version)).collect();
            let kept = if kept.is_empty() { "none".to_owned() } else { kept.join(", ") };
            Err(format!("{digest} is not among the kept artifacts of `{name}`: {kept}"))
        }
        None => plugin
            .past
            .previous
            .as_ref()
            .and_then(|previous| history.iter().find(|kept| kept.digest == previous.digest))
            .into_iter()
            .chain(history)
            .find(|kept| Some(kept.digest) != serves && plugin.quarantined(kept.digest).is_none())
            .cloned()
            .ok_or_else(|| format!("no other artifact of `{name}` is kept")),
    }
}
