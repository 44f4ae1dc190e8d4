//! What stands above a directory and decides how cargo builds there: its configuration, and rustup's toolchain file.
//!
//! Of `.cargo/config.toml` everything is honoured that cargo honours, but not where things are put (`build.target-dir`,
//! `build.build-dir`), for which platform (`build.target`), and how panics go: the command line that we give says those.

use crate::{
    tools::Tools,
    tree::{Hash, SOURCES, Trees},
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// What holds in a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    /// Of all configuration, the nearest first.
    pub(crate) config: Hash,
    /// Of the toolchain file that holds.
    pub(crate) toolchain: Option<Hash>,
    /// Some configuration says for which platform to build.
    pub(crate) names_target: bool,
}

/// The surroundings of directories, each looked at once in a round.
#[derive(Debug, Default)]
pub(crate) struct SurroundingsCache {
    known: HashMap<PathBuf, Surroundings>,
}

impl SurroundingsCache {
    pub(crate) fn next_round(&mut self) {
        self.known.clear();
    }

    /// What holds in a directory, given by its physical path.
    pub(crate) fn of(&mut self, trees: &mut Trees, tools: &Tools, directory: &Path) -> Surroundings {
        if let Some(known) = self.known.get(directory) {
            return known.clone();
        }
        let mut here = match directory.parent() {
            Some(parent) => self.of(trees, tools, parent),
            // Where all else ends, cargo looks into its own home.
            None => {
                let mut home = Surroundings::default();
                if let Some(cargo_home) = tools.cargo_home() {
                    home.take_config(trees, &cargo_home);
                }
                home
            }
        };
        here.take_config(trees, &directory.join(".cargo"));
        for name in ["rust-toolchain.toml", "rust-toolchain"] {
            let file = trees.look(&directory.join(name), SOURCES).seen();
            if file.is_there {
                here.toolchain = Some(file.digest);
            }
        }
        self.known.insert(directory.to_owned(), here.clone());
        here
    }
}

impl Surroundings {
    fn take_config(&mut self, trees: &mut Trees, directory: &Path) {
        for name in ["config.toml", "config"] {
            let tree = trees.look(&directory.join(name), SOURCES);
            if tree.seen().is_there {
                self.config =
                    Sha256::new().chain_update(self.config).chain_update(tree.seen().digest).finalize().into();
                let text = tree.text(Path::new("")).unwrap_or_default();
                self.names_target |= names_target(&String::from_utf8_lossy(&text));
            }
        }
    }
}

fn names_target(config: &str) -> bool {
    let table = config.parse::<toml::Table>().unwrap_or_default();
    table.get("build").and_then(toml::Value::as_table).is_some_and(|build| build.contains_key("target"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_stands_above_counts() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().canonicalize().unwrap().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let tools = Tools::from_environment();
        let look = || SurroundingsCache::default().of(&mut Trees::new(PathBuf::from("/nowhere")), &tools, &inner);
        let nothing = look();
        fs::create_dir_all(dir.path().join("a/.cargo")).unwrap();
        fs::write(dir.path().join("a/.cargo/config.toml"), "[build]\ntarget = \"wasm32-wasip1\"\n").unwrap();
        let configured = look();
        assert!(configured.config != nothing.config && configured.names_target && configured.toolchain.is_none());
        fs::write(dir.path().join("rust-toolchain.toml"), "[toolchain]\nchannel = \"stable\"\n").unwrap();
        let above = look().toolchain;
        assert!(above.is_some());
        fs::write(inner.join("rust-toolchain"), "nightly").unwrap();
        assert!(look().toolchain.is_some_and(|nearest| Some(nearest) != above));
    }
}
