//! What is known of artifacts that were kept: core's port `Shelf`, in files.
//!
//! One small file for each plugin and fingerprint, written under a temporary name and renamed, so that two servers may share the
//! directory. The bytes themselves lie in the loader's staging directory, and are only removed from here. What must not live
//! here: judging whether bytes are what they were; whoever loads them does.

use crate::{lease::ArtifactLease, whole::write_whole, words::in_words};
use camlock_policy::{Digest, Failure, Fingerprint, Kept, Shelf, Stage, manifest::check_name};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The shelf of one server.
#[derive(Debug)]
pub struct FileShelf {
    records: PathBuf,
    artifacts: PathBuf,
    lease: Mutex<ArtifactLease>,
}

/// A file without a record is perhaps about to have one: it was staged, and is being verified.
const YOUNG: Duration = Duration::from_secs(3600);

impl FileShelf {
    /// The shelf below a data directory, for artifacts that lie in the loader's staging directory.
    pub fn new(data: &Path, artifacts: impl Into<PathBuf>) -> Self {
        let shelf = data.join("shelf");
        FileShelf {
            records: shelf.join("plugins"),
            artifacts: artifacts.into(),
            lease: Mutex::new(ArtifactLease::new(shelf.join("in-use"))),
        }
    }

    /// Where a plugin's records are. Names come from people; only a good one is a directory's.
    fn directory(&self, name: &str) -> Option<PathBuf> {
        check_name(name).is_ok().then(|| self.records.join(name))
    }

    /// Where an artifact's bytes are, if they are kept.
    pub fn artifact(&self, digest: Digest) -> PathBuf {
        self.artifacts.join(format!("{}.so", digest.hex()))
    }

    /// A plugin's records with their files, the newest first.
    fn records(&self, directory: &Path) -> Vec<(PathBuf, Kept)> {
        let files = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_record = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
        let mut all: Vec<_> = files.filter(is_record).filter_map(|path| Some((read(&path)?, path))).collect();
        all.sort_by(|(one, _), (other, _)| (other.at, &other.fingerprint).cmp(&(one.at, &one.fingerprint)));
        all.into_iter().map(|(kept, path)| (path, kept)).collect()
    }
}

fn read(path: &Path) -> Option<Kept> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// The name of a record: fingerprints are anybody's text.
fn file_name(fingerprint: &Fingerprint) -> String {
    format!("{}.json", &Digest::of(fingerprint.0.as_bytes()).hex()[..32])
}

impl Shelf for FileShelf {
    fn find(&self, name: &str, fingerprint: &Fingerprint) -> Option<Digest> {
        let kept = read(&self.directory(name)?.join(file_name(fingerprint)))?;
        (kept.name == name && kept.fingerprint == *fingerprint && self.artifact(kept.digest).is_file())
            .then_some(kept.digest)
    }

    fn record(&self, kept: &Kept) -> Result<(), Failure> {
        let failed = |error: &io::Error| {
            let (place, why) = (self.records.display(), in_words(error));
            let reason = format!(
                "what was built cannot be recorded in {place}: {why}; it serves, but is built again after a restart"
            );
            Failure::transient(Stage::Build, reason)
        };
        let Some(directory) = self.directory(&kept.name) else {
            return Err(Failure::new(Stage::Manifest, format!("`{}` is no name for a plugin", kept.name)));
        };
        let bytes = serde_json::to_vec(kept).map_err(|error| failed(&error.into()))?;
        write_whole(&directory.join(file_name(&kept.fingerprint)), &bytes).map_err(|error| failed(&error))
    }

    fn history(&self, name: &str) -> Vec<Kept> {
        let Some(directory) = self.directory(name) else { return Vec::new() };
        let mut seen = BTreeSet::new();
        let all = self.records(&directory).into_iter().map(|(_, kept)| kept);
        all.filter(|kept| seen.insert(kept.digest) && self.artifact(kept.digest).is_file()).collect()
    }

    fn sweep(&self, keep: &dyn Fn(&str) -> usize, in_use: &BTreeSet<Digest>) {
        let mut used = in_use.clone();
        {
            let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
            lease.renew(in_use);
            used.extend(lease.of_others());
        }
        let (mut kept, mut dropped) = (used.clone(), BTreeSet::new());
        for directory in fs::read_dir(&self.records).into_iter().flatten().flatten() {
            let mut newest = BTreeSet::new();
            for (path, record) in self.records(&directory.path()) {
                if newest.len() < keep(&record.name) || newest.contains(&record.digest) {
                    newest.insert(record.digest);
                } else if !used.contains(&record.digest) && fs::remove_file(path).is_ok() {
                    dropped.insert(record.digest);
                }
            }
            kept.extend(newest);
        }
        for entry in fs::read_dir(&self.artifacts).into_iter().flatten().flatten() {
            let path = entry.path();
            let digest = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".so")?.parse::<Digest>().ok());
            let Some(digest) = digest.filter(|digest| !kept.contains(digest)) else { continue };
            let age = entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|at| at.elapsed().ok());
            if dropped.contains(&digest) || age.is_some_and(|age| age > YOUNG) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::File,
        time::{SystemTime, UNIX_EPOCH},
    };

    struct Store {
        dir: tempfile::TempDir,
    }

    impl Store {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("artifacts")).unwrap();
            Store { dir }
        }

        fn shelf(&self) -> FileShelf {
            FileShelf::new(self.dir.path(), self.dir.path().join("artifacts"))
        }

        fn artifact(&self, text: &str) -> PathBuf {
            self.dir.path().join("artifacts").join(format!("{}.so", Digest::of(text.as_bytes()).hex()))
        }

        /// Keeps an artifact with this content.
        fn keep(&self, shelf: &FileShelf, name: &str, text: &str, second: u64) -> Digest {
            fs::write(self.artifact(text), text).unwrap();
            let kept = Kept {
                name: name.to_owned(),
                version: "1.0.0".to_owned(),
                fingerprint: Fingerprint(format!("fingerprint of {text}")),
                digest: Digest::of(text.as_bytes()),
                at: UNIX_EPOCH + Duration::from_secs(second),
            };
            shelf.record(&kept).unwrap();
            kept.digest
        }

        fn is_there(&self, text: &str) -> bool {
            self.artifact(text).exists()
        }
    }

    fn fingerprint(text: &str) -> Fingerprint {
        Fingerprint(format!("fingerprint of {text}"))
    }

    #[test]
    fn what_is_recorded_is_found_by_whoever_looks() {
        let store = Store::new();
        let one = store.keep(&store.shelf(), "hello", "one", 1);
        let two = store.keep(&store.shelf(), "hello", "two", 2);
        let shelf = store.shelf();
        assert_eq!(shelf.find("hello", &fingerprint("one")), Some(one));
        assert_eq!(shelf.find("other", &fingerprint("one")), None);
        assert_eq!(shelf.find("hello", &fingerprint("three")), None);
        assert_eq!(shelf.find("../hello", &fingerprint("one")), None);
        let digests =
            |shelf: &FileShelf| shelf.history("hello").into_iter().map(|kept| kept.digest).collect::<Vec<_>>();
        assert_eq!(digests(&shelf), [two, one]);
        // Bytes that are gone are no artifact.
        fs::remove_file(store.artifact("two")).unwrap();
        assert_eq!((shelf.find("hello", &fingerprint("two")), digests(&shelf)), (None, vec![one]));
        // Nor is half a record one.
        fs::write(store.dir.path().join("shelf/plugins/hello").join(file_name(&fingerprint("one"))), "{\"name\":")
            .unwrap();
        assert_eq!(shelf.find("hello", &fingerprint("one")), None);
    }

    #[test]
    fn the_newest_and_what_is_used_are_kept() {
        let store = Store::new();
        let (shelf, other) = (store.shelf(), store.shelf());
        let digests: Vec<Digest> =
            (0..6).map(|age| store.keep(&shelf, "hello", &format!("build {age}"), age)).collect();
        store.keep(&shelf, "lonely", "lonely", 0);
        other.sweep(&|_| 10, &BTreeSet::from([digests[1]]));
        shelf.sweep(&|_| 2, &BTreeSet::from([digests[0]]));
        let there: Vec<bool> = (0..6).map(|age| store.is_there(&format!("build {age}"))).collect();
        assert_eq!(there, [true, true, false, false, true, true]);
        assert!(store.is_there("lonely"));
        assert_eq!(shelf.history("hello").len(), 4);
        // A server that has ended uses nothing any more.
        drop(other);
        shelf.sweep(&|_| 2, &BTreeSet::new());
        assert!(!store.is_there("build 0") && !store.is_there("build 1"));
        assert_eq!(fs::read_dir(store.dir.path().join("shelf/in-use")).unwrap().count(), 1);
    }

    #[test]
    fn a_file_without_a_record_has_an_hour() {
        let store = Store::new();
        let shelf = store.shelf();
        fs::write(store.artifact("young"), "young").unwrap();
        fs::write(store.artifact("old"), "old").unwrap();
        let old = File::options().write(true).open(store.artifact("old")).unwrap();
        old.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
        fs::write(store.dir.path().join("artifacts/README"), "not ours").unwrap();
        shelf.sweep(&|_| 0, &BTreeSet::new());
        assert!(store.is_there("young") && !store.is_there("old"));
        assert!(store.dir.path().join("artifacts/README").exists());
    }

    #[test]
    fn one_artifact_of_two_plugins_or_marks_goes_with_the_last() {
        let store = Store::new();
        let shelf = store.shelf();
        store.keep(&shelf, "hello", "same", 1);
        store.keep(&shelf, "other", "same", 1);
        store.keep(&shelf, "hello", "newer", 2);
        shelf.sweep(&|_| 1, &BTreeSet::new());
        assert!(store.is_there("same"));
        assert_eq!(
            (shelf.find("hello", &fingerprint("same")), shelf.find("other", &fingerprint("same")).is_some()),
            (None, true)
        );
    }

    #[test]
    fn a_record_that_cannot_be_written_is_told() {
        let store = Store::new();
        fs::write(store.dir.path().join("shelf"), "a file in the way").unwrap();
        let kept = Kept {
            name: "hello".to_owned(),
            version: String::new(),
            fingerprint: fingerprint("x"),
            digest: Digest::of(b"x"),
            at: UNIX_EPOCH,
        };
        let failure = store.shelf().record(&kept).unwrap_err();
        assert!(failure.transient && failure.reason.contains("cannot be recorded in"), "{failure}");
        let unnamed = Kept { name: "../x".to_owned(), ..kept };
        assert!(!store.shelf().record(&unnamed).unwrap_err().transient);
    }
}
