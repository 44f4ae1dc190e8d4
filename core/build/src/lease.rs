//! Which artifacts a server uses, told to other servers on the same data: a list in a file that is locked for as long as the
//! server lives. A lock goes with its process, however that ends, and holds across containers, where process numbers do not.

use crate::whole::{say_in_use, temporary_beside};
use camlock_policy::Digest;
use rustix::fs::{FlockOperation, flock};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::PathBuf,
};

/// The list of one server.
#[derive(Debug)]
pub(crate) struct ArtifactLease {
    directory: PathBuf,
    /// The file as it was last written, locked.
    held: Option<(PathBuf, File)>,
}

impl ArtifactLease {
    pub(crate) fn new(directory: PathBuf) -> Self {
        ArtifactLease { directory, held: None }
    }

    /// Says what is used from now on.
    pub(crate) fn renew(&mut self, used: &BTreeSet<Digest>) {
        // The first list finds a name of its own, and the later ones keep it.
        let path = self.held.as_ref().map(|(path, _)| path.clone());
        // Without it others may remove what is used here; all that is lost then is a way back.
        if let Ok(held) = self.write(path, used) {
            self.held = Some(held);
        }
    }

    /// Locked before it has its name, so that nobody takes it for that of a server that is gone.
    fn write(&self, path: Option<PathBuf>, used: &BTreeSet<Digest>) -> io::Result<(PathBuf, File)> {
        let mut list = temporary_beside(&self.directory.join("server"))?;
        let lines: String = used.iter().map(|digest| format!("{digest}\n")).collect();
        say_in_use(list.as_file())?;
        list.write_all(lines.as_bytes())?;
        let path = path.unwrap_or_else(|| {
            let name = list.path().file_name().unwrap_or_default().to_string_lossy();
            // Without the dot it does not look temporary.
            self.directory.join(name.trim_start_matches('.'))
        });
        let file = list.persist(&path).map_err(|error| error.error)?;
        Ok((path, file))
    }

    /// What other servers use. The lists of those that are gone are removed.
    pub(crate) fn of_others(&self) -> BTreeSet<Digest> {
        let mut used = BTreeSet::new();
        let own = self.held.as_ref().map(|(path, _)| path.clone());
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if Some(&path) == own.as_ref() || entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let Ok(file) = File::open(&path) else { continue };
            if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
                // Unless it was renewed this very moment, and what lies there is another file.
                let is_same = |now: fs::Metadata| file.metadata().is_ok_and(|opened| opened.ino() == now.ino());
                if fs::metadata(&path).is_ok_and(is_same) {
                    let _ = fs::remove_file(&path);
                    continue;
                }
            }
            let lines = fs::read_to_string(&path).unwrap_or_default();
            used.extend(lines.lines().filter_map(|line| line.parse::<Digest>().ok()));
        }
        used
    }
}

impl Drop for ArtifactLease {
    fn drop(&mut self) {
        if let Some((path, _)) = &self.held {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_heard_while_they_live() {
        let dir = tempfile::tempdir().unwrap();
        let [mut one, mut other] = [(); 2].map(|()| ArtifactLease::new(dir.path().join("in-use")));
        let digests = |texts: &[&str]| texts.iter().map(|text| Digest::of(text.as_bytes())).collect::<BTreeSet<_>>();
        one.renew(&digests(&["a"]));
        other.renew(&digests(&["b", "c"]));
        assert_eq!((one.of_others(), other.of_others()), (digests(&["b", "c"]), digests(&["a"])));
        other.renew(&digests(&["c"]));
        assert_eq!(one.of_others(), digests(&["c"]));
        // Killed, it could not take its list with it.
        let (path, file) = other.held.take().unwrap();
        drop(file);
        assert_eq!(one.of_others(), BTreeSet::new());
        assert!(!path.exists());
    }
}
