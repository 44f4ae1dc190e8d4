//! Installing: an act like any other. It goes on when whoever asked for it has gone, it is in the journal before it begins, and
//! whoever waits hears what came of the plugin.
//!
//! What must not live here: files and archives (`Install` has them), and how something is sent.

use super::{
    Supervisor,
    ask::{Arrival, PendingAnswer},
    directory::PlacedEntry,
    granting::ArrivalTerms,
    plugin::Plugin,
    work::{self, DirectoryReport, WorkReport, WorkReports},
};
use crate::{
    Act, Arriving, Headline, Installation, Installed, Kind, NotInstalled, Order, Placement, Refused, Upload, never,
    registry::{Actor, Record},
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, OnceLock},
};
use tokio::sync::oneshot;

type InstallReply = oneshot::Sender<Result<Placement, NotInstalled>>;

/// What was announced: a name, and the terms that held for it before.
type Announced = Arc<OnceLock<(String, Option<ArrivalTerms>)>>;

/// Tells the supervisor what arrives, and waits until it knows.
fn announce(reports: WorkReports, terms: ArrivalTerms, announced: Announced) -> Arriving {
    Box::new(move |name| {
        let (known, wait) = oneshot::channel();
        let report = DirectoryReport::Arriving { plugin: name.to_owned(), terms, known };
        // Without a supervisor there is nobody who could load it.
        if reports.send(WorkReport::Directory(report)).is_ok()
            && let Ok(before) = wait.blocking_recv()
        {
            let _ = announced.set((name.to_owned(), before));
        }
    })
}

impl Supervisor {
    /// Puts something into the plugins directory, beside the supervisor.
    pub(super) fn install(&mut self, installation: Installation, reply: InstallReply) {
        if self.ending.is_some() {
            let _ = reply.send(Err(NotInstalled::Ending));
            return;
        }
        let Some(install) = self.ports.install.clone() else {
            let _ = reply.send(Err(NotInstalled::Unsupported));
            return;
        };
        let Installation { source, name, replace, origin, grants, by, held } = installation;
        // Whose name it has is known only once it was looked at; who wants it is on record before that.
        let detail = json!({ "from": source.word(), "replace": replace });
        self.note_of_server("installing", &by, detail);
        // Whoever names the plugin knows what it takes the place of.
        let by_name = if name.is_some() { BTreeMap::new() } else { self.installed_by_name() };
        let upload = Upload { source, name, replace, there: self.entries_by_name(), by_name };
        let reports = self.reports.clone();
        let announced = Announced::default();
        let arriving = announce(reports.clone(), ArrivalTerms { source: origin, grants }, announced.clone());
        tokio::spawn(async move {
            let outcome = tokio::spawn(install.install(upload, arriving)).await;
            let outcome = outcome.unwrap_or_else(|_| Err(NotInstalled::Failed(work::lost_call("installing it").0)));
            drop(held);
            let before = announced.get().cloned();
            let _ = reports.send(WorkReport::Directory(DirectoryReport::Installed { by, before, outcome, reply }));
        });
    }

    /// Those that came from catalogs, each with which.
    fn installed_by_name(&self) -> BTreeMap<String, String> {
        let records = self.plugins.values().filter_map(Plugin::record).filter(|record| !record.removed);
        let catalog = |record: &Record| Some((record.name.clone(), record.source.catalog()?.to_owned()));
        records.filter_map(catalog).collect()
    }

    /// The plugins that have an entry, and where that lies.
    fn entries_by_name(&self) -> BTreeMap<String, Option<PathBuf>> {
        let entries = self.plugins.values().filter_map(|plugin| Some((&plugin.name, plugin.entry()?)));
        let path = |(name, entry): (&String, &crate::Entry)| {
            (name.clone(), (entry.kind != Kind::BuiltIn).then(|| entry.path.clone()))
        };
        entries.map(path).collect()
    }

    /// It lies in the directory, or could not be put there.
    pub(super) fn installed(&mut self, by: Actor, outcome: Result<Installed, NotInstalled>, reply: InstallReply) {
        let Installed { plugin: name, path } = match outcome {
            Ok(installed) => installed,
            Err(why) => {
                self.note_of_server("install-failed", &by, json!({ "reason": why.to_string() }));
                let _ = reply.send(Err(why));
                return;
            }
        };
        self.note(&name, None, "installed", &by, json!({ "path": path }));
        self.put_arrival_on_record(&name, &by);
        let (answer, outcome) = oneshot::channel();
        let replaced = self.plugins.get(&name).is_some_and(Plugin::enabled);
        let _ = reply.send(Ok(Placement { plugin: name.clone(), path, replaced, outcome }));
        if replaced {
            let look = self.looks.next();
            let before = self.plugins.get(&name).and_then(|plugin| plugin.directory.accounted.clone());
            self.looks.placed.insert(name.clone(), PlacedEntry { look, before });
            let act = Act::Reload { force: false };
            self.act(Order { plugin: name, act, by, revision: None }, answer);
            return;
        }
        let look = self.coming_look();
        let nothing = self.looks.nothing_found();
        let plugin = self
            .plugins
            .entry(name.clone())
            .or_insert_with(|| Plugin::new(&name, nothing, self.ports.keepings.sealer()));
        let arrival = plugin.wishes.arrival.get_or_insert_with(|| Arrival { look, replies: Vec::new() });
        arrival.look = look;
        arrival.replies.push(answer);
        self.dirty.insert(name);
    }

    /// Answers those who installed a plugin, once it is known what came of it.
    pub(super) fn answer_arrival(&mut self, name: &str) {
        let trouble = self.registry_trouble().cloned();
        let Some(plugin) = self.plugins.get_mut(name) else {
            never!("`{name}` rests and is not known");
            return;
        };
        let looked = |arrival: &mut Arrival| arrival.look <= self.looks.ended;
        let known = match (plugin.headline(), &trouble) {
            (Headline::Starting, Some(_)) => plugin.record().is_none(),
            (Headline::Starting, None) => false,
            // A newer one may be on its way to where another serves.
            (Headline::Serving, _) => plugin.candidate.is_none(),
            _ => true,
        };
        let Some(arrival) = plugin.wishes.arrival.take_if(|arrival| known && looked(arrival)) else { return };
        let outcome = match (plugin.headline(), &plugin.failed, trouble) {
            (Headline::Starting, _, Some(why)) => {
                Err(Refused::Unavailable(format!("`{name}` is installed, and not on record yet: {why}")))
            }
            (Headline::Missing, ..) => {
                Err(Refused::Conflict(format!("the entry of `{name}` is gone from the plugins directory")))
            }
            (Headline::Failed | Headline::Quarantined, Some(failed), _) => Err(Refused::Failed {
                failure: failed.failure.clone(),
                generation: failed.generation,
                plugin: plugin.view(),
            }),
            _ => Ok(Vec::new()),
        };
        self.shown.answers.extend(PendingAnswer::to_all(name, arrival.replies, &outcome));
    }
}
