//! Looks at the directory, and which entry of it belongs to which plugin: a pure assignment, and its effect on what is known.
//!
//! What must not live here: how the directory is read (`Sources` does that).

use super::{
    Supervisor,
    granting::ArrivalTerms,
    plan::GenerationSource,
    plugin::{AttemptReason, FailedGeneration, NextTry, Plugin, Presence, ServingGeneration},
    work::{DirectoryReport, WorkReport},
};
use crate::{Entry, Fingerprint, Kind, OpQueue, Scan, registry::Actor};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::SystemTime,
};
use tracing::field::display;

/// A plugin's entry, and another one that has the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assigned {
    pub(super) entry: Entry,
    pub(super) rival: Option<PathBuf>,
}

/// Assigns entries to names. `known` tells which plugin an entry belonged to before: it stays with it while its name cannot
/// be read, and of two with one name the known one stays.
pub(super) fn assign(entries: Vec<Entry>, known: &BTreeMap<PathBuf, String>) -> BTreeMap<String, Assigned> {
    let mut assigned: BTreeMap<String, Assigned> = BTreeMap::new();
    let is_known = |path: &Path, name: &str| known.get(path).is_some_and(|known| known == name);
    for mut entry in entries {
        if let (Some(_), Some(name)) = (&entry.problem, known.get(&entry.path)) {
            entry.name.clone_from(name);
        }
        let name = entry.name.clone();
        let Some(mut first) = assigned.remove(&name) else {
            assigned.insert(name, Assigned { entry, rival: None });
            continue;
        };
        let swap =
            first.entry.kind != Kind::BuiltIn && is_known(&entry.path, &name) && !is_known(&first.entry.path, &name);
        if swap {
            std::mem::swap(&mut first.entry, &mut entry);
        }
        first.rival.get_or_insert(entry.path);
        assigned.insert(name, first);
    }
    assigned
}

/// What is shown should the look at the directory panic. What was known holds, and the next look may do better.
const LOST: &str = "looking at the plugins directory panicked, which is a mistake of this server: see its log";

/// An entry that somebody put into the directory.
#[derive(Debug)]
pub(super) struct PlacedEntry {
    /// The look that will have seen it.
    pub(super) look: u64,
    /// What was accounted for until then.
    pub(super) before: Option<Fingerprint>,
}

/// Looks at the directory, one at a time.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// On what terms plugins come that are being installed, until that is on record.
    pub(super) arriving: BTreeMap<String, ArrivalTerms>,
    /// What was put there in place of what served.
    pub(super) placed: BTreeMap<String, PlacedEntry>,
    queue: OpQueue,
    /// So many have ended.
    pub(super) ended: u64,
    /// Why the last one found nothing, if it did not.
    pub(super) trouble: Option<String>,
    /// One of them saw what lies there.
    succeeded: bool,
    /// Folders there of which no plugin can come.
    ignored: BTreeSet<PathBuf>,
}

impl Looks {
    /// The next one that begins: it will have seen all that is there now.
    pub(super) fn next(&self) -> u64 {
        self.queue.begun() + 1
    }

    /// What is known of a plugin's entry when nothing was found of it.
    pub(super) fn nothing_found(&self) -> Presence {
        if self.succeeded { Presence::Absent } else { Presence::Unknown }
    }
}

impl Supervisor {
    /// Looks at the directory, now or as soon as the look under way is over.
    pub(super) fn look(&mut self) {
        if self.looks.queue.request() {
            self.begin_look();
        }
    }

    /// The look that will have seen all that was there when this was called.
    pub(super) fn coming_look(&mut self) -> u64 {
        self.look();
        self.looks.queue.coming()
    }

    fn begin_look(&self) {
        let (sources, reports) = (self.ports.sources.clone(), self.reports.clone());
        let looking = tokio::task::spawn_blocking(move || sources.scan());
        tokio::spawn(async move {
            let lost = |_| Scan { trouble: Some(LOST.to_owned()), ..Scan::default() };
            let scan = looking.await.unwrap_or_else(lost);
            let _ = reports.send(WorkReport::Directory(DirectoryReport::Scanned(scan)));
        });
    }

    /// Takes over what a look at the directory found.
    pub(super) fn scanned(&mut self, scan: Scan) {
        self.looks.ended = self.looks.queue.begun();
        if self.looks.queue.finish().is_some() {
            self.begin_look();
        }
        if self.looks.trouble != scan.trouble {
            if let Some(trouble) = &scan.trouble {
                tracing::error!("{trouble}");
            }
            self.looks.trouble.clone_from(&scan.trouble);
            self.shown.overview_changed = true;
        }
        let readable = scan.trouble.is_none();
        if readable {
            for folder in scan.ignored.difference(&self.looks.ignored) {
                let folder = folder.display();
                tracing::warn!(
                    "{folder} is no plugin and is ignored: it has no Cargo.toml; put a crate's own folder here, or a single \
                     file NAME.rs"
                );
            }
            self.looks.ignored = scan.ignored;
        }
        self.looks.succeeded |= readable;
        self.take_entries(if readable { scan.entries } else { Vec::new() }, readable);
        let ended = self.looks.ended;
        let placed: Vec<_> = self.looks.placed.extract_if(.., |_, placed| placed.look <= ended).collect();
        for (name, PlacedEntry { before, .. }) in placed {
            if let Some(plugin) = self.plugins.get_mut(&name) {
                plugin.was_placed(before.as_ref());
            }
        }
        // Those who waited for this look may go on.
        let asked =
            self.plugins.values().filter(|plugin| plugin.wishes.ask.is_some() || plugin.wishes.arrival.is_some());
        self.dirty.extend(asked.map(|plugin| plugin.name.clone()));
    }

    /// Forgets what has gone and of which nothing ever came, whatever it was called.
    pub(super) fn forget(&mut self) {
        let is_known = |plugin: &Plugin| {
            let removed = plugin.record().is_none_or(|record| record.removed);
            let on_record = plugin.record().is_some() && !removed;
            let lives = plugin.serving.is_some() || plugin.candidate.is_some() || !plugin.leaving.is_empty();
            let came = plugin.past.manifest.is_some() && !removed;
            // Whoever asks is answered first.
            let awaited = plugin.wishes.ask.is_some() || plugin.wishes.arrival.is_some() || plugin.removal.is_some();
            plugin.entry().is_some() || lives || came || on_record || awaited
        };
        let forgotten = self.plugins.extract_if(.., |_, plugin| !is_known(plugin));
        self.dirty.extend(forgotten.map(|(name, _)| name));
    }

    /// Takes over what was found. What could not be looked at stays as it was known, but for what is compiled in.
    fn take_entries(&mut self, entries: Vec<Entry>, readable: bool) {
        let known = self
            .plugins
            .values()
            .filter_map(|plugin| plugin.entry().map(|entry| (entry.path.clone(), plugin.name.clone())));
        let known: BTreeMap<_, _> = known.collect();
        let built_in = self.ports.built_in.iter().map(|built_in| Entry {
            name: built_in.manifest().name.clone(),
            path: PathBuf::new(),
            kind: Kind::BuiltIn,
            fingerprint: Fingerprint(format!("built in, {}", built_in.manifest().version)),
            claims: built_in.manifest().camlock.routes.clone(),
            problem: None,
        });
        let mut assigned = assign(built_in.chain(entries).collect(), &known);
        let (mut gone, mut own_entry) = (Vec::new(), Vec::new());
        for plugin in self.plugins.values_mut() {
            let found = assigned.remove(&plugin.name);
            if found.is_none() && !readable {
                continue;
            }
            let (presence, rival) =
                found.map_or((Presence::Absent, None), |found| (Presence::Present(found.entry), found.rival));
            let entry = match &presence {
                Presence::Present(entry) => Some(entry),
                Presence::Absent | Presence::Unknown => None,
            };
            let unknown = matches!(plugin.directory.presence, Presence::Unknown);
            let known_rival = plugin.directory.rival.as_ref().map(|(path, _)| path);
            if unknown || plugin.entry() != entry || known_rival != rival.as_ref() {
                if entry.is_none() {
                    gone.push(plugin.name.clone());
                }
                let is_installed = self.looks.placed.contains_key(&plugin.name)
                    || self.looks.arriving.contains_key(&plugin.name)
                    || plugin.wishes.arrival.is_some();
                if let Some(entry) = entry.filter(|_| plugin.is_named()) {
                    // It was not there when the node came to the fleet: whatever it is, it is new.
                    plugin.directory.joins = false;
                    let is_agreed =
                        plugin.agreed_on().and_then(|agreed| agreed.fingerprint.as_ref()) == Some(&entry.fingerprint);
                    if !is_installed && !is_agreed {
                        own_entry.push((plugin.name.clone(), entry.path.clone()));
                    }
                }
                plugin.take_entry(presence, rival);
                plugin.account();
                self.dirty.insert(plugin.name.clone());
                self.shown.routes_changed = true;
            }
        }
        for name in gone {
            self.removed(&name);
        }
        for (name, path) in own_entry {
            tracing::warn!(
                plugin = name,
                "it was installed by name; {} in this server's plugins directory counts from now on in the place of that",
                path.display()
            );
            self.note(&name, None, "own-entry", &Actor::Filesystem, json!({ "path": path }));
        }
        for Assigned { entry, rival } in assigned.into_values() {
            let name = entry.name.clone();
            let mut plugin = Plugin::new(&name, Presence::Unknown, self.ports.keepings.sealer());
            plugin.take_entry(Presence::Present(entry), rival);
            tracing::info!(plugin = name, "found");
            self.plugins.insert(name.clone(), plugin);
            self.dirty.insert(name);
            self.shown.routes_changed = true;
        }
    }
}

/// Says which of two entries counts.
pub(super) fn two_of_one_name(name: &str, stays: &str, rival: &Path) -> String {
    let rival = rival.display();
    format!(
        "two entries are named `{name}`: {stays} is the one that counts, {rival} is left alone; rename or remove one"
    )
}

impl Plugin {
    /// Somebody put just this there. It is tried, though it lay there before and something else was agreed on since.
    fn was_placed(&mut self, before: Option<&Fingerprint>) {
        let is_agreed = self.agreed_on().is_some_and(|agreed| self.is_of_entry(agreed));
        let there = self.directory.fingerprint();
        if !is_agreed && before == there && self.directory.accounted.as_ref() == there {
            self.directory.accounted = None;
            self.directory.rolled_back_from = None;
        }
    }

    fn take_entry(&mut self, presence: Presence, rival: Option<PathBuf>) {
        let before = self.directory.fingerprint().cloned();
        self.directory.presence = presence;
        // What an operator wanted in place of the entry was about the entry as it was.
        if self.directory.fingerprint() != before.as_ref() {
            self.wishes.attempt.take_if(|attempt| !matches!(attempt.reason, AttemptReason::Rollout(_)));
            self.directory.is_superseded = false;
        }
        let known = self.directory.rival.take();
        self.directory.rival = rival.map(|rival| match known {
            Some(known) if known.0 == rival => known,
            _ => {
                let stays = self.entry().map(|entry| entry.path.display().to_string()).unwrap_or_default();
                tracing::error!(plugin = self.name, "{}", two_of_one_name(&self.name, &stays, &rival));
                (rival, SystemTime::now())
            }
        });
        let Some(Entry { problem, fingerprint, .. }) = self.entry() else {
            // What is to serve of it now is another matter.
            let is_named = self.is_named();
            self.failed.take_if(|failed| is_named && matches!(failed.source, GenerationSource::Entry(_)));
            return;
        };
        let source = GenerationSource::Entry(fingerprint.clone());
        match problem.clone() {
            Some(problem) => {
                self.past.generations += 1;
                let stage = display(problem.stage);
                tracing::error!(plugin = self.name, generation = self.past.generations, stage, "{problem}");
                self.failed = Some(FailedGeneration {
                    generation: self.past.generations,
                    source,
                    failure: problem,
                    at: SystemTime::now(),
                    attempts: 1,
                    next_try: NextTry::Never,
                    fallback_failed: false,
                });
            }
            // What is served is what lies there again: the failure was about something else.
            None => {
                let serves = |serving: &ServingGeneration| match &serving.source {
                    GenerationSource::Kept(digest) => self.settled().is_some_and(|agreed| agreed.digest == *digest),
                    entry => *entry == source,
                };
                if self.serving.as_ref().is_some_and(serves) {
                    self.failed.take_if(|failed| failed.source != source);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Failure, Stage};

    fn entry(name: &str, path: &str, kind: Kind) -> Entry {
        Entry {
            name: name.to_owned(),
            path: path.into(),
            kind,
            fingerprint: Fingerprint(path.to_owned()),
            claims: Vec::new(),
            problem: None,
        }
    }

    fn outcome(entries: Vec<Entry>, known: &[(&str, &str)]) -> Vec<(String, String, Option<String>)> {
        let known = known.iter().map(|(path, name)| (path.into(), (*name).to_owned())).collect();
        let shown = |path: &Path| path.display().to_string();
        assign(entries, &known)
            .into_iter()
            .map(|(name, assigned)| (name, shown(&assigned.entry.path), assigned.rival.as_deref().map(shown)))
            .collect()
    }

    fn row(name: &str, path: &str, rival: Option<&str>) -> (String, String, Option<String>) {
        (name.to_owned(), path.to_owned(), rival.map(str::to_owned))
    }

    #[test]
    fn of_two_with_one_name_the_known_one_stays() {
        let two = || vec![entry("hello", "a.rs", Kind::SingleFile), entry("hello", "b", Kind::Crate)];
        assert_eq!(outcome(two(), &[]), [row("hello", "a.rs", Some("b"))]);
        assert_eq!(outcome(two(), &[("b", "hello")]), [row("hello", "b", Some("a.rs"))]);
        let built_in = vec![entry("hello", "", Kind::BuiltIn), entry("hello", "b", Kind::Crate)];
        assert_eq!(outcome(built_in, &[("b", "hello")]), [row("hello", "", Some("b"))]);
    }

    #[test]
    fn a_manifest_that_cannot_be_read_stays_with_its_plugin() {
        let mut broken = entry("folder", "folder", Kind::Crate);
        broken.problem = Some(Failure::new(Stage::Manifest, "broken"));
        assert_eq!(outcome(vec![broken.clone()], &[("folder", "hello")]), [row("hello", "folder", None)]);
        assert_eq!(outcome(vec![broken], &[]), [row("folder", "folder", None)]);
    }

    #[test]
    fn a_package_that_is_renamed_is_another_plugin() {
        let renamed = vec![entry("fresh", "folder", Kind::Crate)];
        assert_eq!(outcome(renamed, &[("folder", "hello")]), [row("fresh", "folder", None)]);
    }
}
