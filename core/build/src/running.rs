//! A note of every build that runs, so that a server that starts ends what one that was killed has left running.

use crate::{child, regular::read_own, whole::write_whole};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Who runs a build.
#[derive(Debug, Serialize, Deserialize)]
struct BuildNoteFile {
    /// The value of the variable by which its processes are known.
    id: String,
    /// The server, and when it was started: its number alone may be another's by now.
    server: u32,
    server_started: String,
}

/// The note of one build, gone when the build is.
#[derive(Debug)]
pub(crate) struct BuildNote {
    pub(crate) id: String,
    path: PathBuf,
}

impl BuildNote {
    /// Notes a build.
    pub(crate) fn note(directory: &Path) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let server = std::process::id();
        let server_started = started(server).unwrap_or_default();
        let id = format!("{server}-{server_started}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let path = directory.join(&id);
        let note = BuildNoteFile { id: id.clone(), server, server_started };
        // Without it the build runs all the same; a full disk shows soon enough.
        let _ = serde_json::to_vec(&note).map(|bytes| write_whole(&path, &bytes));
        BuildNote { id, path }
    }
}

impl Drop for BuildNote {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// When a process was started, as the system counts.
fn started(process: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may contain anything.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19).map(str::to_owned)
}

/// Ends what is left of builds whose server is gone.
pub(crate) fn end_leftovers(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let note = read_own(&entry.path()).ok().and_then(|bytes| serde_json::from_slice::<BuildNoteFile>(&bytes).ok());
        let Some(note) = note else { continue };
        if Pid::from_raw(note.server.cast_signed()).is_some()
            && started(note.server).as_ref() == Some(&note.server_started)
        {
            continue;
        }
        child::end_all_of(&note.id);
        let _ = fs::remove_file(entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn what_a_dead_server_left_is_ended_and_a_living_ones_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mine = BuildNote::note(dir.path());
        let mut left = Command::new("sleep").arg("1000").env(child::TAG, "4194304-1-1").spawn().unwrap();
        let mut living = Command::new("sleep").arg("1000").env(child::TAG, &mine.id).spawn().unwrap();
        // Where a child is just beginning, nobody can read yet whose it is.
        for child in [&left, &living] {
            let environment = || fs::read(format!("/proc/{}/environ", child.id())).unwrap_or_default();
            while !environment().windows(child::TAG.len()).any(|part| part == child::TAG.as_bytes()) {
                std::thread::yield_now();
            }
        }
        let note = BuildNoteFile { id: "4194304-1-1".to_owned(), server: 4_194_304, server_started: "1".to_owned() };
        fs::write(dir.path().join(&note.id), serde_json::to_vec(&note).unwrap()).unwrap();
        end_leftovers(dir.path());
        assert!(!left.wait().unwrap().success());
        assert!(living.try_wait().unwrap().is_none());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        drop(mine);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        living.kill().unwrap();
        living.wait().unwrap();
    }
}
