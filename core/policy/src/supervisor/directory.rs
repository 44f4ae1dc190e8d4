//! Which entry of the directory belongs to which plugin: a pure assignment, and its effect on what is known.

use super::{
    Supervisor,
    plan::Source,
    plugin::{Failed, Plugin, Why},
};
use crate::{Entry, Fingerprint, Kind, Scan};
use std::{
    collections::BTreeMap,
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

impl Supervisor {
    /// Takes over what a look at the directory found.
    pub(super) fn scanned(&mut self, scan: Scan) {
        if std::mem::take(&mut self.scans.again) {
            self.scans.running = false;
            self.look();
        } else {
            self.scans.running = false;
        }
        for folder in scan.ignored.difference(&self.ignored) {
            let folder = folder.display();
            tracing::warn!(
                "{folder} is no plugin and is ignored: it has no Cargo.toml; put a crate's own folder here, or a single file \
                 NAME.rs"
            );
        }
        if scan.trouble.is_none() {
            self.ignored = scan.ignored;
        }
        if self.trouble != scan.trouble {
            if let Some(trouble) = &scan.trouble {
                tracing::error!("{trouble}");
            }
            self.trouble = scan.trouble.clone();
            self.overview_changed = true;
        }
        // What could not be looked at stays as it was known.
        if scan.trouble.is_none() {
            self.take_entries(scan.entries);
        } else if self.plugins.is_empty() {
            self.take_entries(Vec::new());
        }
        self.forget();
        // Asks that waited for this look may go on.
        let asked = self.plugins.values().filter(|plugin| plugin.ask.is_some()).map(|plugin| plugin.name.clone());
        self.dirty.extend(asked);
    }

    /// Forgets entries that have gone and of which nothing ever came, whatever they were called.
    fn forget(&mut self) {
        let is_known = |plugin: &mut Plugin| {
            let Plugin { entry, record, manifest, serving, candidate, leaving, ask, .. } = plugin;
            let removed = record.as_ref().is_none_or(|record| record.removed);
            let came =
                manifest.is_some() && !removed || serving.is_some() || candidate.is_some() || !leaving.is_empty();
            let on_record = record.is_some() && !removed;
            // Whoever asks is answered first.
            entry.is_some() || came || on_record || ask.is_some()
        };
        let forgotten = self.plugins.extract_if(.., |_, plugin| !is_known(plugin));
        self.dirty.extend(forgotten.map(|(name, _)| name));
    }

    fn take_entries(&mut self, entries: Vec<Entry>) {
        let known = self
            .plugins
            .values()
            .filter_map(|plugin| plugin.entry.as_ref().map(|entry| (entry.path.clone(), plugin.name.clone())));
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
        let mut gone = Vec::new();
        for plugin in self.plugins.values_mut() {
            let found = assigned.remove(&plugin.name);
            let (entry, rival) = found.map_or((None, None), |found| (Some(found.entry), found.rival));
            if plugin.entry != entry || plugin.rival.as_ref().map(|(path, _)| path) != rival.as_ref() {
                if entry.is_none() {
                    gone.push(plugin.name.clone());
                }
                plugin.take(entry, rival);
                plugin.account();
                self.dirty.insert(plugin.name.clone());
                self.routes_changed = true;
            }
        }
        for name in gone {
            self.removed(&name);
        }
        for Assigned { entry, rival } in assigned.into_values() {
            let name = entry.name.clone();
            let mut plugin = Plugin::new(&name);
            plugin.take(Some(entry), rival);
            tracing::info!(plugin = name, "found");
            self.plugins.insert(name.clone(), plugin);
            self.dirty.insert(name);
            self.routes_changed = true;
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
    fn take(&mut self, entry: Option<Entry>, rival: Option<PathBuf>) {
        // What an operator wanted in place of the entry was about the entry as it was.
        let changed =
            entry.as_ref().map(|entry| &entry.fingerprint) != self.entry.as_ref().map(|entry| &entry.fingerprint);
        if changed {
            self.attempt.take_if(|attempt| matches!(attempt.why, Why::Wanted(_)));
        }
        self.rival = match rival {
            None => None,
            Some(rival) => {
                let known = self.rival.take().filter(|(known, _)| *known == rival);
                Some(known.unwrap_or_else(|| {
                    let stays = entry.as_ref().map(|entry| entry.path.display().to_string()).unwrap_or_default();
                    tracing::error!(plugin = self.name, "{}", two_of_one_name(&self.name, &stays, &rival));
                    (rival, SystemTime::now())
                }))
            }
        };
        self.entry = entry;
        let Some(Entry { problem, fingerprint, .. }) = &self.entry else { return };
        match problem {
            Some(problem) => {
                self.generations += 1;
                let stage = display(problem.stage);
                tracing::error!(plugin = self.name, generation = self.generations, stage, "{problem}");
                self.failed = Some(Failed {
                    generation: self.generations,
                    source: Source::Entry(fingerprint.clone()),
                    failure: problem.clone(),
                    at: SystemTime::now(),
                    attempts: 1,
                    retry: None,
                    refused: None,
                });
            }
            // What is served is what lies there again: the failure was about something else.
            None => {
                let source = Source::Entry(fingerprint.clone());
                let serves = |serving: &super::plugin::Serving| match &serving.source {
                    Source::Kept(digest) => self.settled().is_some_and(|agreed| agreed.digest == *digest),
                    entry => *entry == source,
                };
                if self.serving.as_ref().is_some_and(serves)
                    && self.failed.as_ref().is_some_and(|failed| failed.source != source)
                {
                    self.failed = None;
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
