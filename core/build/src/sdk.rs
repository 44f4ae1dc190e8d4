//! The SDK's source, which travels in the program: a plugin with `camlock-plugin = "1"` is built with the SDK of the server
//! that loads it, whatever a registry has.

use sha2::{Digest as _, Sha256};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// The files of camlock-plugin, and below `abi/`, `macros/`, `testkit/` and so on those of the others, with manifests that stand
/// alone.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

static DIGEST: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = Sha256::new();
    for (name, content) in FILES {
        for part in [name.as_bytes(), content] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
});

/// What tells this SDK from another.
pub fn digest() -> &'static str {
    &DIGEST
}

/// The SDK's source on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// The crate `camlock-plugin`.
    pub plugin: PathBuf,
    /// The crate `camlock-abi`.
    pub abi: PathBuf,
    /// The crate `camlock-testkit`, which only tests use; but cargo wants to know of it.
    pub testkit: PathBuf,
}

impl Unpacked {
    /// The crates, by their names.
    pub fn crates(&self) -> [(&'static str, &Path); 3] {
        [("camlock-plugin", &self.plugin), ("camlock-abi", &self.abi), ("camlock-testkit", &self.testkit)]
    }
}

/// Unpacks the SDK below a directory, under its digest, unless it is there. Two processes may do so at once.
pub fn unpack(below: &Path) -> io::Result<Unpacked> {
    let whole = below.join(&digest()[..16]);
    if !whole.is_dir() {
        fs::create_dir_all(below)?;
        let temporary = tempfile::Builder::new().prefix(".unpacking-").tempdir_in(below)?;
        let sources = temporary.path().join("sdk");
        let written = write_all(&sources).and_then(|()| fs::rename(&sources, &whole));
        // Unless somebody else was faster.
        written.or_else(|error| if whole.is_dir() { Ok(()) } else { Err(error) })?;
    }
    Ok(Unpacked { abi: whole.join("abi"), testkit: whole.join("testkit"), plugin: whole })
}

fn write_all(into: &Path) -> io::Result<()> {
    for (name, content) in FILES {
        let path = into.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, content)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_whole_and_stands_alone() {
        let dir = tempfile::tempdir().unwrap();
        let unpacked = unpack(&dir.path().join("sdk")).unwrap();
        assert_eq!(unpack(&dir.path().join("sdk")).unwrap(), unpacked);
        for (name, package) in unpacked.crates() {
            assert!(package.join("src/lib.rs").is_file());
            let text = fs::read_to_string(package.join("Cargo.toml")).unwrap();
            assert!(!text.contains("workspace"), "{text}");
            let table: toml::Table = text.parse().unwrap();
            assert_eq!(table["package"]["name"].as_str(), Some(name));
            assert_eq!(table["package"]["version"].as_str(), Some(env!("CARGO_PKG_VERSION")));
        }
        assert!(FILES.iter().all(|(name, _)| !name.contains("tests/")));
        assert_eq!(fs::read_dir(dir.path().join("sdk")).unwrap().count(), 1, "nothing temporary is left");
    }
}
