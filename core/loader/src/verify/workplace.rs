//! Where verifying children work: whatever one writes there goes with it.

use crate::{own_directory::OwnDirectory, random};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A place for the working directories of this process's children. What children of killed processes left is removed.
#[derive(Clone, Debug)]
pub(super) struct Workplace(Arc<OwnDirectory>);

impl Workplace {
    pub(super) fn at(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Workplace(Arc::new(OwnDirectory::within(&dir.canonicalize()?, |_, _| Ok(()))?)))
    }

    pub(super) fn for_one_child(&self) -> io::Result<WorkingDirectory> {
        let path = self.0.path().join(random::name()?);
        fs::create_dir(&path)?;
        Ok(WorkingDirectory(path))
    }
}

/// The working directory of one child. It goes, with its contents, when this is dropped.
#[derive(Debug)]
pub(super) struct WorkingDirectory(PathBuf);

impl WorkingDirectory {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for WorkingDirectory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "what a plugin wrote while it was verified could not be removed");
        }
    }
}
