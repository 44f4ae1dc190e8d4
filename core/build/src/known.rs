//! What earlier builds of a plugin taught: what it is made of besides its own tree. It is kept on disk, so that a restart
//! comes to the same fingerprints.
//!
//! What must not live here: what is made of it.

use crate::{regular::read_own, tree::Hash, whole::write_whole};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
};

/// What is known of one plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct BuildKnowledge {
    /// Files outside of all packages that its sources include.
    pub(crate) included: BTreeMap<PathBuf, Included>,
    /// Environment variables that its sources read.
    pub(crate) variables: BTreeSet<String>,
    /// How many units the last build had.
    pub(crate) units: Option<usize>,
    /// The compiler of the last build: what counts where there is none any more.
    pub(crate) compiler: Option<String>,
    /// The author's lock file that was last taken over.
    pub(crate) lock: Option<String>,
    /// The packages that it was built of besides itself, each with what it was made of.
    pub(crate) packages: BTreeMap<String, String>,
}

/// How an included file counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Included {
    /// By its content.
    Always,
    /// It was heard of in a build that failed. It counts once it is no longer what it was then (none: it was not there): so
    /// that the failed build is not tried again for having taught something.
    Since(Option<String>),
}

/// Where it is kept.
#[derive(Clone, Debug)]
pub(crate) struct KnowledgeStore {
    directory: PathBuf,
}

impl KnowledgeStore {
    pub(crate) fn at(directory: PathBuf) -> Self {
        KnowledgeStore { directory }
    }

    fn path(&self, plugin: &str) -> PathBuf {
        self.directory.join(format!("{plugin}.json"))
    }

    /// What is known of a plugin; nothing if that cannot be read.
    pub(crate) fn of(&self, plugin: &str) -> BuildKnowledge {
        let text = read_own(&self.path(plugin)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    pub(crate) fn keep(&self, plugin: &str, known: &BuildKnowledge) -> io::Result<()> {
        write_whole(&self.path(plugin), &serde_json::to_vec(known)?)
    }
}

/// As it is written in files.
pub(crate) fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_kept_is_known_again() {
        let dir = tempfile::tempdir().unwrap();
        let memory = KnowledgeStore::at(dir.path().join("known"));
        assert_eq!(memory.of("hello"), BuildKnowledge::default());
        let known = BuildKnowledge {
            included: BTreeMap::from([
                (PathBuf::from("/srv/a"), Included::Always),
                (PathBuf::from("/srv/b"), Included::Since(None)),
            ]),
            units: Some(7),
            ..BuildKnowledge::default()
        };
        memory.keep("hello", &known).unwrap();
        assert_eq!(memory.of("hello"), known);
        assert_eq!(fs::read_dir(dir.path().join("known")).unwrap().count(), 1, "no temporary file is left");
        fs::write(dir.path().join("known/hello.json"), "{").unwrap();
        assert_eq!(memory.of("hello"), BuildKnowledge::default());
    }
}
