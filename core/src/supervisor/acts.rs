//! What operators ask: turned into what is wanted, and answered when the outcome is known.

use super::{
    Supervisor,
    plugin::{Answer, Ask, Plugin},
    work::Report,
};
use crate::{Act, Digest, Done, Kept, Refused};
use tokio::sync::oneshot;

pub(super) type Reply = oneshot::Sender<Result<Done, Refused>>;

impl Supervisor {
    pub(super) fn act(&mut self, name: &str, act: Act, reply: Reply) {
        if self.ending.is_some() {
            let _ = reply.send(Err(Refused::Ending));
            return;
        }
        if !self.plugins.contains_key(name) {
            let _ = reply.send(Err(Refused::Unknown(name.to_owned())));
            return;
        }
        let outcome = match act {
            Act::Reload { force } => self.reload(name, force, reply),
            Act::Rollback { to } => {
                self.look_up_history(name, to, reply);
                Ok(())
            }
            Act::Enable(true) => self.enable(name, reply),
            Act::Enable(false) => self.disable(name, reply),
            Act::Set { .. } | Act::Remove => Err((reply, "there is no registry".to_owned())),
        };
        if let Err((reply, why)) = outcome {
            let _ = reply.send(Err(Refused::Conflict(why)));
        }
        self.dirty.insert(name.to_owned());
    }

    fn reload(&mut self, name: &str, force: bool, reply: Reply) -> Result<(), (Reply, String)> {
        let scan = self.coming_scan();
        let Some(plugin) = self.plugins.get_mut(name) else { return Ok(()) };
        if !plugin.enabled {
            return Err((reply, format!("`{name}` is disabled: enable it, and it is loaded")));
        }
        // An operator says so: what was under quarantine may be tried again.
        plugin.quarantine.clear();
        plugin.held = None;
        plugin.ask(scan, force, reply);
        Ok(())
    }

    /// Which artifacts are kept, for people.
    pub(super) fn history(&self, name: String, reply: oneshot::Sender<Vec<Kept>>) {
        let shelf = self.ports.shelf.clone();
        tokio::task::spawn_blocking(move || reply.send(shelf.history(&name)));
    }

    /// Which artifacts are kept stands in files: they are read where that may take its time.
    fn look_up_history(&self, name: &str, to: Option<Digest>, reply: Reply) {
        let (shelf, desk) = (self.ports.shelf.clone(), self.desk(name, 0));
        tokio::task::spawn_blocking(move || {
            let history = shelf.history(&desk.about.plugin);
            desk.tell(Report::History(history, to, reply));
        });
    }

    /// It is known which artifacts are kept.
    pub(super) fn looked_up(&mut self, name: &str, history: &[Kept], to: Option<Digest>, reply: Reply) {
        let Some(plugin) = self.plugins.get(name).filter(|_| self.ending.is_none()) else {
            let _ = reply.send(Err(Refused::Ending));
            return;
        };
        let outcome = match rollback_to(plugin, history, to) {
            Ok(digest) => self.roll_back(name, digest, reply),
            Err(why) => Err((reply, why)),
        };
        if let Err((reply, why)) = outcome {
            let _ = reply.send(Err(Refused::Conflict(why)));
        }
    }

    fn roll_back(&mut self, name: &str, digest: Digest, reply: Reply) -> Result<(), (Reply, String)> {
        let Some(plugin) = self.plugins.get_mut(name) else { return Ok(()) };
        let Some(entry) = plugin.entry.as_ref().filter(|_| plugin.enabled) else {
            return Err((reply, format!("`{name}` is not served: enable it, or bring its entry back")));
        };
        plugin.quarantine.remove(&digest);
        plugin.held = Some((entry.mark.clone(), digest));
        plugin.revision += 1;
        plugin.ask(0, false, reply);
        Ok(())
    }

    fn enable(&mut self, name: &str, reply: Reply) -> Result<(), (Reply, String)> {
        let scan = self.coming_scan();
        let Some(plugin) = self.plugins.get_mut(name) else { return Ok(()) };
        if plugin.enabled && plugin.serving.is_some() {
            self.answers.push(Answer { plugin: name.to_owned(), reply, outcome: Ok(Vec::new()) });
            return Ok(());
        }
        plugin.revision += u64::from(!plugin.enabled);
        plugin.enabled = true;
        // What failed before may be tried again.
        if plugin.entry.as_ref().is_none_or(|entry| entry.problem.is_none()) {
            plugin.failed = None;
        }
        plugin.ask(scan, false, reply);
        self.routes_changed = true;
        Ok(())
    }

    fn disable(&mut self, name: &str, reply: Reply) -> Result<(), (Reply, String)> {
        let dependents = self.dependents(name);
        if !dependents.is_empty() {
            let them = dependents.join("`, `");
            return Err((reply, format!("`{them}` would be left without `{name}`: disable them first")));
        }
        let Some(plugin) = self.plugins.get_mut(name) else { return Ok(()) };
        plugin.revision += u64::from(plugin.enabled);
        plugin.enabled = false;
        plugin.refuse_ask(&format!("`{name}` was disabled meanwhile"));
        self.answers.push(Answer { plugin: name.to_owned(), reply, outcome: Ok(Vec::new()) });
        self.routes_changed = true;
        Ok(())
    }
}

impl Plugin {
    fn ask(&mut self, scan: u64, force: bool, reply: Reply) {
        let ask = Ask { scan, force, replies: vec![reply] };
        self.ask = Some(match self.ask.take() {
            Some(first) => first.and(ask),
            None => ask,
        });
    }

    /// Answers those who ask that it cannot be done.
    pub(super) fn refuse_ask(&mut self, why: &str) {
        let of_candidate = self.candidate.as_mut().and_then(|bid| bid.ask.take());
        for reply in self.ask.take().into_iter().chain(of_candidate).flat_map(|ask| ask.replies) {
            let _ = reply.send(Err(Refused::Conflict(why.to_owned())));
        }
    }
}

/// Which artifact to go back to.
fn rollback_to(plugin: &Plugin, history: &[Kept], to: Option<Digest>) -> Result<Digest, String> {
    let name = &plugin.name;
    let serves = plugin.serving.as_ref().and_then(|serving| serving.candidate.digest());
    match to {
        Some(digest) if history.iter().any(|kept| kept.digest == digest) => Ok(digest),
        Some(digest) => {
            let kept: Vec<_> = history.iter().map(|kept| format!("{} ({})", kept.digest, kept.version)).collect();
            let kept = if kept.is_empty() { "none".to_owned() } else { kept.join(", ") };
            Err(format!("{digest} is not among the kept artifacts of `{name}`: {kept}"))
        }
        None => plugin
            .previous
            .and_then(|previous| history.iter().find(|kept| kept.digest == previous))
            .into_iter()
            .chain(history)
            .find(|kept| Some(kept.digest) != serves && !plugin.quarantine.contains_key(&kept.digest))
            .map(|kept| kept.digest)
            .ok_or_else(|| format!("no other artifact of `{name}` is kept")),
    }
}
