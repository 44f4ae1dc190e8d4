//! Who is suspected of having ended the process: kept on disk, for the next process to read.
//!
//! Before code of a plugin is loaded or started, a mark says so in a file; it goes when that is over. When the process ends by
//! a fault, or because a plugin ends it, `faults` notes in whose code. The next process reads both and names suspects. What
//! must not live here: what is done about a suspect.

mod faults;

use crate::{own_directory::OwnDirectory, random};
use camlock_policy::Digest;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// So many processes in a row must have ended without a note while the same plugin was loaded or started: who is killed from
/// outside says nothing of a plugin.
const UNNOTED: u32 = 3;

/// The marks of this process, and what was made of those of processes before.
#[derive(Debug)]
pub struct Suspects {
    own: OwnDirectory,
    state: Mutex<SuspectRecord>,
}

/// A plugin that is suspected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// Its name.
    pub plugin: String,
    /// Which artifact of it.
    pub digest: Digest,
    /// In which generation.
    pub generation: u64,
    /// What happened: one sentence without its subject, the plugin.
    pub reason: String,
}

/// What is carried from one process to the next.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct SuspectRecord {
    /// Suspects that nobody has put on record yet.
    pending: Vec<Suspect>,
    /// How many processes in a row ended without a note while this was loaded or started.
    unnoted: BTreeMap<Digest, u32>,
}

/// Code that runs under a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MarkedStep {
    Load,
    Start,
}

impl MarkedStep {
    fn in_words(self) -> &'static str {
        match self {
            MarkedStep::Load => "while it was loaded",
            MarkedStep::Start => "while its `start` ran",
        }
    }
}

/// Which generation is meant, in marks and in notes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GenerationName {
    pub(crate) plugin: String,
    pub(crate) generation: u64,
    pub(crate) digest: Digest,
}

#[derive(Debug, Serialize, Deserialize)]
struct RunMarkText {
    step: MarkedStep,
    of: GenerationName,
}

/// A mark on disk, as long as it exists.
#[derive(Debug)]
pub(crate) struct RunMark {
    path: PathBuf,
}

impl Drop for RunMark {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

const KEPT: &str = "kept.json";
const NOTE: &str = "note";
const MARK: &str = "mark-";

impl Suspects {
    /// Reads what processes before this one have left in a directory, which is made if need be; from now on this one is
    /// watched too. Faults are noted in the whole process.
    pub fn open(dir: &Path) -> io::Result<Arc<Self>> {
        fs::create_dir_all(dir)?;
        let mut kept = SuspectRecord::default();
        let own = OwnDirectory::within(dir, |ended, own| {
            kept.take(ended);
            // Before the other goes: whatever becomes of this process, the next one finds it here.
            write(&own.join(KEPT), &kept)
        })?;
        faults::note_into(&own.path().join(NOTE))?;
        Ok(Arc::new(Suspects { own, state: Mutex::new(kept) }))
    }

    /// Those that nobody has put on record yet.
    pub fn pending(&self) -> Vec<Suspect> {
        self.state.lock().pending.clone()
    }

    /// Why an artifact may not be loaded for now: it is suspected, and that is not on record yet.
    pub(crate) fn suspicion(&self, digest: Digest) -> Option<String> {
        self.state.lock().pending.iter().find(|one| one.digest == digest).map(|one| one.reason.clone())
    }

    /// A suspect was put on record, or nobody is concerned by it any more.
    pub fn settle(&self, suspect: &Suspect) {
        self.change(|kept| kept.pending.retain(|one| one != suspect));
    }

    fn change(&self, change: impl FnOnce(&mut SuspectRecord)) {
        let mut kept = self.state.lock();
        change(&mut kept);
        if let Err(error) = write(&self.own.path().join(KEPT), &*kept) {
            tracing::warn!(%error, "what is known of suspects could not be kept");
        }
    }

    /// Says on disk that code of a plugin is about to run.
    pub(crate) fn announce(&self, step: MarkedStep, of: GenerationName) -> Option<RunMark> {
        let plugin = of.plugin.clone();
        let mark = || -> io::Result<RunMark> {
            let path = self.own.path().join(format!("{MARK}{}", random::name()?));
            fs::write(&path, serde_json::to_vec(&RunMarkText { step, of })?)?;
            Ok(RunMark { path })
        };
        mark()
            .inspect_err(|error| tracing::warn!(plugin, %error, "should it end the server, the next one will not know"))
            .ok()
    }

    /// A plugin was loaded and started: what was counted against it does not count any more.
    pub(crate) fn started(&self, digest: Digest) {
        if self.state.lock().unnoted.contains_key(&digest) {
            self.change(|kept| {
                kept.unnoted.remove(&digest);
            });
        }
    }
}

impl SuspectRecord {
    /// Draws conclusions from what a process left.
    fn take(&mut self, ended: &Path) {
        let before: SuspectRecord = read(&ended.join(KEPT)).unwrap_or_default();
        self.pending.extend(before.pending);
        let note = fs::read_to_string(ended.join(NOTE)).unwrap_or_default();
        let notes: Vec<_> = note.lines().filter_map(faults::FaultNote::parse).collect();
        if notes.contains(&faults::FaultNote::InOrder) {
            self.unnoted.extend(before.unnoted);
            return;
        }
        let entries = fs::read_dir(ended).map(|entries| entries.flatten().collect()).unwrap_or_else(|_| Vec::new());
        let is_mark = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(MARK);
        let marks: Vec<RunMarkText> =
            entries.iter().filter(|entry| is_mark(entry)).filter_map(|entry| read(&entry.path())).collect();
        let first = notes.into_iter().find_map(|note| match note {
            faults::FaultNote::InOrder => None,
            faults::FaultNote::Ended { how, of } => Some((how, of)),
        });
        match first {
            Some((how, Some(of))) => {
                let step = marks.iter().find(|mark| mark.of == of).map(|mark| mark.step);
                self.suspect(of, &how, step);
            }
            // Nobody's code was seen there; but there was only one that had just begun.
            Some((how, None)) if marks.len() == 1 => {
                self.suspect(marks[0].of.clone(), &how, Some(marks[0].step));
            }
            _ => {
                for RunMarkText { step, of } in marks {
                    let times = before.unnoted.get(&of.digest).copied().unwrap_or(0) + 1;
                    if times >= UNNOTED {
                        self.suspect(of, &format!("ended {times} times in a row"), Some(step));
                    } else {
                        self.unnoted.insert(of.digest, times);
                    }
                }
            }
        }
    }

    fn suspect(&mut self, of: GenerationName, how: &str, step: Option<MarkedStep>) {
        let GenerationName { plugin, generation, digest } = of;
        let when = step.map_or("in its code while it served", MarkedStep::in_words);
        let reason = format!("the server {how} {when}");
        self.pending.push(Suspect { plugin, digest, generation, reason });
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes under a temporary name, then renames: nobody ever sees half a file.
fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let temporary = path.with_extension("new");
    fs::write(&temporary, serde_json::to_vec(value)?)?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(plugin: &str) -> GenerationName {
        GenerationName { plugin: plugin.to_owned(), generation: 3, digest: Digest::of(plugin.as_bytes()) }
    }

    fn ended(note: &str, marks: &[(MarkedStep, &str)], before: &SuspectRecord) -> SuspectRecord {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NOTE), note).unwrap();
        write(&dir.path().join(KEPT), before).unwrap();
        for (step, plugin) in marks {
            let mark = RunMarkText { step: *step, of: named(plugin) };
            fs::write(dir.path().join(format!("{MARK}{plugin}")), serde_json::to_vec(&mark).unwrap()).unwrap();
        }
        let mut kept = SuspectRecord::default();
        kept.take(dir.path());
        kept
    }

    fn reasons(kept: &SuspectRecord) -> Vec<String> {
        kept.pending.iter().map(|one| format!("{}: {}", one.plugin, one.reason)).collect()
    }

    #[test]
    fn conclusions() {
        let nothing = SuspectRecord::default();
        let both = [(MarkedStep::Load, "one"), (MarkedStep::Start, "two")];
        let of_two = format!("ended with SIGABRT\t{}\n", serde_json::to_string(&named("two")).unwrap());
        assert_eq!(
            reasons(&ended(&of_two, &both, &nothing)),
            ["two: the server ended with SIGABRT while its `start` ran"]
        );
        assert_eq!(
            reasons(&ended(&of_two, &[], &nothing)),
            ["two: the server ended with SIGABRT in its code while it served"]
        );
        let of_nobody = "ended with SIGSEGV\t\n";
        assert_eq!(
            reasons(&ended(of_nobody, &both[..1], &nothing)),
            ["one: the server ended with SIGSEGV while it was loaded"]
        );
        assert_eq!(reasons(&ended(of_nobody, &both, &nothing)), [""; 0], "it may have been either");
        assert_eq!(
            reasons(&ended(&format!("{of_two}in order\n"), &both, &nothing)),
            [""; 0],
            "it went on, and ended well"
        );
    }

    #[test]
    fn one_that_is_killed_is_no_suspect_until_it_happens_again_and_again() {
        let mut kept = SuspectRecord::default();
        for _ in 1..UNNOTED {
            kept = ended("", &[(MarkedStep::Start, "one")], &kept);
            assert_eq!(reasons(&kept), [""; 0]);
        }
        let third = ended("", &[(MarkedStep::Start, "one")], &kept);
        assert_eq!(reasons(&third), ["one: the server ended 3 times in a row while its `start` ran"]);
        // In between it ended while others were started.
        let other = ended("", &[(MarkedStep::Start, "two")], &kept);
        assert_eq!(other.unnoted.get(&named("one").digest), None);
        // What nobody put on record yet is there the next time.
        assert_eq!(reasons(&ended("in order\n", &[], &third)), reasons(&third));
    }
}
