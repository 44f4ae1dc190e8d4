//! Who is suspected of having ended the process: kept on disk, for the next process to read.
//!
//! Before code of a plugin is loaded or started, a mark says so in a file; it goes when that is over. What runs, and what is under way, is
//! in another (`running`). When the process ends by a fault, or because a plugin ends it, `faults` notes in whose code. The next process
//! reads all of them, names suspects, and knows what was lost. What must not live here: what is done about a suspect.

mod faults;
pub(crate) mod running;

use self::running::RunningThen;
use crate::{own_directory::OwnDirectory, random};
use camlock_policy::Digest;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// So many processes in a row must have ended without a note while the same plugin was loaded or started: who is killed from
/// outside says nothing of a plugin.
const UNNOTED: u32 = 3;
/// Whose code ran both times when a process ended without a note, twice within so many seconds, is suspected; of several, those whose
/// code ran the third time too.
const AGAIN: u64 = 600;
/// If so many processes ended within so many seconds and nobody knows why, it was what came last.
const UNEXPLAINED: (usize, u64) = (3, 60);
/// What came within so many seconds came together: with the server's start, mostly.
const TOGETHER: u64 = 10;

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

/// What a plugin had under way in a process that died.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostRequests {
    /// The plugin.
    pub plugin: String,
    /// In which generation.
    pub generation: u64,
    /// How many requests, streams and connections.
    pub requests: u64,
    /// How the server ended, as a sentence about it goes on.
    pub how: String,
}

/// What is carried from one process to the next.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct SuspectRecord {
    /// Suspects that nobody has put on record yet.
    pending: Vec<Suspect>,
    /// How many processes in a row ended without a note while this was loaded or started.
    unnoted: BTreeMap<Digest, u32>,
    /// What was lost, and nobody was told of yet.
    lost: Vec<LostRequests>,
    /// When processes ended without a note while code of this ran, in seconds since 1970.
    ran: BTreeMap<Digest, Vec<u64>>,
    /// When processes ended and nobody was suspected.
    unexplained: Vec<u64>,
    /// Since when those that were there at the end are known.
    known_since: BTreeMap<Digest, u64>,
}

/// What is known of a process's end beside what it left.
#[derive(Clone, Copy, Debug)]
struct KnownEnd<'a> {
    /// How it ended, if nobody ended it from outside.
    by_itself: Option<&'a str>,
    /// When that was known, in seconds since 1970.
    at: u64,
}

/// In seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
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
const RUNNING: &str = "running";

impl Suspects {
    /// Reads what processes before this one have left in a directory, which is made if need be; from now on this one is
    /// watched too. Faults are noted in the whole process. `by_itself`: how the process before this one ended, where it is known that
    /// nobody ended it from outside.
    pub fn open(dir: &Path, by_itself: Option<&str>) -> io::Result<Arc<Self>> {
        fs::create_dir_all(dir)?;
        let mut kept = SuspectRecord::default();
        let at = now();
        let own = OwnDirectory::within(dir, |ended, own| {
            kept.take(ended, KnownEnd { by_itself, at });
            // Before the other goes: whatever becomes of this process, the next one finds it here.
            write(&own.join(KEPT), &kept)
        })?;
        faults::note_into(&own.path().join(NOTE))?;
        if let Err(error) = running::keep_in(&own.path().join(RUNNING)) {
            tracing::warn!(%error, "should this process end without a word, the next one will not know what ran");
        }
        Ok(Arc::new(Suspects { own, state: Mutex::new(kept) }))
    }

    /// Those that nobody has put on record yet.
    pub fn pending(&self) -> Vec<Suspect> {
        self.state.lock().pending.clone()
    }

    /// What was lost with processes before this one, and was not told yet; it is told now.
    pub fn take_lost(&self) -> Vec<LostRequests> {
        let lost = self.state.lock().lost.clone();
        if !lost.is_empty() {
            self.change(|kept| kept.lost.clear());
        }
        lost
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
    fn take(&mut self, ended: &Path, end: KnownEnd<'_>) {
        let before: SuspectRecord = read(&ended.join(KEPT)).unwrap_or_default();
        self.pending.extend(before.pending);
        self.lost.extend(before.lost);
        let note = fs::read_to_string(ended.join(NOTE)).unwrap_or_default();
        let notes: Vec<_> = note.lines().filter_map(faults::FaultNote::parse).collect();
        if notes.contains(&faults::FaultNote::InOrder) {
            self.unnoted.extend(before.unnoted);
            self.ran.extend(before.ran);
            self.unexplained.extend(before.unexplained);
            self.known_since.extend(before.known_since);
            return;
        }
        let running = RunningThen::parse(&fs::read(ended.join(RUNNING)).unwrap_or_default());
        for there in &running.there {
            let digest = there.name.digest;
            self.known_since.insert(digest, before.known_since.get(&digest).copied().unwrap_or(there.since));
        }
        let entries = fs::read_dir(ended).map(|entries| entries.flatten().collect()).unwrap_or_else(|_| Vec::new());
        let is_mark = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(MARK);
        let marks: Vec<RunMarkText> =
            entries.iter().filter(|entry| is_mark(entry)).filter_map(|entry| read(&entry.path())).collect();
        let first = notes.into_iter().find_map(|note| match note {
            faults::FaultNote::InOrder => None,
            faults::FaultNote::Ended { how, of } => Some((how, of)),
        });
        let noted = first.as_ref().map(|(how, _)| how.clone());
        let how = noted.as_deref().or(end.by_itself).unwrap_or("ended");
        self.lost.extend(running.there.iter().filter(|there| there.requests > 0).map(|there| {
            let GenerationName { plugin, generation, .. } = there.name.clone();
            LostRequests { plugin, generation, requests: there.requests, how: how.to_owned() }
        }));
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
                // Who is killed from outside says nothing of what ran.
                if noted.is_some() || end.by_itself.is_some() {
                    self.suspect_what_ran(&before.ran, &running.inside, how, end.at);
                    self.suspect_what_came_last(before.unexplained, &running, end.at);
                }
            }
        }
    }

    /// Nobody knows in whose code it ended; it is known whose code ran.
    fn suspect_what_ran(&mut self, before: &BTreeMap<Digest, Vec<u64>>, ran: &[GenerationName], how: &str, at: u64) {
        let times = |name: &GenerationName| {
            let earlier = before.get(&name.digest).into_iter().flatten().copied();
            earlier.filter(|earlier| at.saturating_sub(*earlier) <= AGAIN).chain([at]).collect::<Vec<_>>()
        };
        let again: Vec<_> = ran.iter().filter(|name| times(name).len() >= 2).collect();
        for name in ran {
            let times = times(name);
            let enough = if again.len() == 1 { 2 } else { 3 };
            if times.len() >= enough {
                let times = times.len();
                self.pend(
                    name.clone(),
                    format!("the server {how}, {times} times within 10 minutes while code of it was running"),
                );
            } else {
                self.ran.insert(name.digest, times);
            }
        }
    }

    /// Nobody is suspected: time and again, something must be done.
    fn suspect_what_came_last(&mut self, before: Vec<u64>, running: &RunningThen, at: u64) {
        if !self.pending.is_empty() {
            return;
        }
        self.unexplained =
            before.into_iter().filter(|time| at.saturating_sub(*time) <= UNEXPLAINED.1).chain([at]).collect();
        let since = |name: &GenerationName| self.known_since.get(&name.digest).copied().unwrap_or(0);
        let mut there: Vec<_> = running.there.iter().map(|there| &there.name).collect();
        there.sort_by_key(|name| since(name));
        // Of those that came together nobody is the last.
        let last = match there[..] {
            [] => None,
            [.., before, last] if since(last).saturating_sub(since(before)) <= TOGETHER => None,
            [.., last] => Some(last.clone()),
        };
        if let (Some(last), true) = (last, self.unexplained.len() >= UNEXPLAINED.0) {
            self.unexplained.clear();
            self.pend(last, format!("the server ended {} times within a minute, and this came last", UNEXPLAINED.0));
        }
    }

    fn pend(&mut self, of: GenerationName, reason: String) {
        let GenerationName { plugin, generation, digest } = of;
        self.pending.push(Suspect { plugin, digest, generation, reason });
    }

    fn suspect(&mut self, of: GenerationName, how: &str, step: Option<MarkedStep>) {
        let when = step.map_or("in its code while it served", MarkedStep::in_words);
        self.pend(of, format!("the server {how} {when}"));
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
    use super::{running::ThereThen, *};

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
        kept.take(dir.path(), KnownEnd { by_itself: None, at: 0 });
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

    const AT_ONCE: KnownEnd<'_> = KnownEnd { by_itself: Some("exited with status 4"), at: 0 };

    /// What follows if these were there, each known since then, and code of these ran.
    fn ran(record: &mut SuspectRecord, inside: &[&str], at: u64) {
        let before = std::mem::take(&mut record.ran);
        let inside: Vec<_> = inside.iter().map(|plugin| named(plugin)).collect();
        record.suspect_what_ran(&before, &inside, "exited with status 4", at);
    }

    #[test]
    fn whose_code_ran_twice_is_suspected_and_of_several_who_ran_thrice() {
        let told = |times| {
            format!(
                "one: the server exited with status 4, {times} times within 10 minutes while code of it was running"
            )
        };
        let mut record = SuspectRecord::default();
        ran(&mut record, &["one", "two"], 0);
        assert_eq!(reasons(&record), [""; 0]);
        ran(&mut record, &["one"], AGAIN);
        assert_eq!(reasons(&record), [told(2)]);
        let mut record = SuspectRecord::default();
        ran(&mut record, &["one"], 0);
        ran(&mut record, &["one"], AGAIN + 1);
        assert_eq!(reasons(&record), [""; 0], "that is long ago");
        let mut record = SuspectRecord::default();
        ran(&mut record, &["one", "two"], 0);
        ran(&mut record, &["one", "two"], 1);
        assert_eq!(reasons(&record), [""; 0], "it may have been either");
        ran(&mut record, &["one", "three"], 2);
        assert_eq!(reasons(&record), [told(3)]);
    }

    fn there(plugin: &str) -> ThereThen {
        ThereThen { name: named(plugin), requests: 0, since: 0 }
    }

    #[test]
    fn what_came_last_is_left_out_if_nothing_else_is_known() {
        let running = RunningThen { there: ["new", "old"].map(there).to_vec(), inside: vec![] };
        let known_since = BTreeMap::from([(named("old").digest, 1), (named("new").digest, 12)]);
        let mut record = SuspectRecord { known_since, ..SuspectRecord::default() };
        for at in [100, 110, 120] {
            assert_eq!(reasons(&record), [""; 0]);
            let before = std::mem::take(&mut record.unexplained);
            record.suspect_what_came_last(before, &running, at);
        }
        assert_eq!(reasons(&record), ["new: the server ended 3 times within a minute, and this came last"]);
        let mut record = SuspectRecord::default();
        for at in [100, 110, 120] {
            let before = std::mem::take(&mut record.unexplained);
            record.suspect_what_came_last(before, &running, at);
        }
        assert_eq!(reasons(&record), [""; 0], "they came together");
        let dir = tempfile::tempdir().unwrap();
        record.take(dir.path(), AT_ONCE);
        assert_eq!(reasons(&record), [""; 0], "there was nobody");
    }
}
