//! One plugin, wherever it lies, looked at and built without a server.
//!
//! The builder looks at plugins directories; so a directory is made in which nothing lies but a link to this plugin. What cargo
//! keeps between builds lies in the user's cache directory, or where `build.dir` says. What must not live here: what is printed.

use crate::{Failed, config::Config, config::Profile};
use camlock_build::{Builder, BuilderOptions, CompilerListener};
use camlock_embed::build_options;
use camlock_policy::{BuildPriority, BuildProgress, Built, Entry, Failure, Sources};
use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

/// Where camlock keeps what may be deleted.
pub(crate) fn cache() -> Result<PathBuf, Failed> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    let none = "there is no cache directory: neither XDG_CACHE_HOME nor HOME names one; set one of them";
    Ok(base.ok_or(none)?.join("camlock"))
}

/// A directory with one plugin in it.
pub(crate) struct Alone {
    directory: TempDir,
    /// Where the plugin really lies.
    pub(crate) path: PathBuf,
}

impl Alone {
    /// Of the plugin at this path: its folder, its `Cargo.toml`, its `.rs` or its `.so` file.
    pub(crate) fn new(path: &Path) -> Result<Self, Failed> {
        let told = |why: &str| Failed::from(format!("{}: {why}", path.display()));
        let mut real = path.canonicalize().map_err(|error| told(&format!("it cannot be found: {error}")))?;
        if real.file_name().is_some_and(|name| name == "Cargo.toml") {
            real.pop();
        }
        let extension = real.extension().and_then(|extension| extension.to_str());
        let promising =
            if real.is_dir() { real.join("Cargo.toml").is_file() } else { matches!(extension, Some("rs" | "so")) };
        if !promising {
            return Err(told("no plugin lies there; name a folder with a Cargo.toml, a .rs file, or a .so file"));
        }
        let name = real.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // A server passes such names over; whoever names one here means it.
        let name = match name.trim_start_matches(['.', '_']) {
            "" | "target" => "plugin",
            name => name,
        };
        let directory =
            tempfile::tempdir().map_err(|error| Failed::from(format!("no directory can be made: {error}")))?;
        symlink(&real, directory.path().join(name))
            .map_err(|error| Failed::from(format!("{} cannot be made: {error}", directory.path().display())))?;
        Ok(Alone { directory, path: real })
    }

    /// The directory.
    pub(crate) fn plugins(&self) -> &Path {
        self.directory.path()
    }
}

/// A plugin and what builds it.
pub(crate) struct Workshop {
    pub(crate) alone: Alone,
    pub(crate) entry: Entry,
    builder: Builder,
}

impl Workshop {
    /// For the plugin at this path.
    pub(crate) fn open(
        path: &Path,
        config: &Config,
        profile: Profile,
        listener: Option<CompilerListener>,
    ) -> Result<Self, Failed> {
        let alone = Alone::new(path)?;
        let builds = builds(config)?;
        let options = build_options(alone.plugins(), &builds, &config.settings, profile.into());
        let builder = Builder::new(BuilderOptions { listener, ..options });
        let entry = builder.scan().entries.into_iter().next();
        let entry = entry.ok_or_else(|| format!("{}: no plugin lies there", alone.path.display()))?;
        Ok(Workshop { alone, entry, builder })
    }

    /// Builds it; a prebuilt one is its own outcome. Nothing of it goes on when the user interrupts.
    pub(crate) async fn build(
        &self,
        progress: impl Fn(BuildProgress) + Send + Sync + 'static,
    ) -> Result<Result<Built, Failure>, Failed> {
        if let Some(problem) = &self.entry.problem {
            return Ok(Err(problem.clone()));
        }
        let listen =
            |kind| signal(kind).map_err(|error| Failed::from(format!("signals cannot be waited for: {error}")));
        let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        let interrupted = tokio::select! {
            built = self.builder.build(&self.entry, BuildPriority::Asked, Arc::new(progress)) => return Ok(built),
            _ = interrupt.recv() => "interrupted",
            _ = terminate.recv() => "ended by SIGTERM",
        };
        self.builder.end();
        Err(interrupted.into())
    }
}

impl Workshop {
    /// The `Cargo.lock` that it was built with.
    pub(crate) fn lock(&self) -> Option<Vec<u8>> {
        self.builder.lock_of(&self.entry.name)
    }
}

/// Where cargo keeps what it needs again.
pub(crate) fn builds(config: &Config) -> Result<PathBuf, Failed> {
    let builds = config.builds.clone().map_or_else(cache, Ok)?;
    fs::create_dir_all(&builds).map_err(|error| {
        format!("{} cannot be made: {error}; set XDG_CACHE_HOME, or build.dir in camlock.toml", builds.display())
    })?;
    Ok(builds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_a_plugin_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        ["hello/Cargo.toml", "_draft.rs", "x.so", "notes.txt", "empty/x"].into_iter().for_each(write);
        let linked = |name: &str| {
            let alone = Alone::new(&dir.path().join(name)).map_err(|failed| failed.reason)?;
            let entry = fs::read_dir(alone.plugins()).unwrap().next().unwrap().unwrap();
            Ok::<_, String>(entry.file_name().into_string().unwrap())
        };
        assert_eq!(linked("hello").unwrap(), "hello");
        assert_eq!(linked("hello/Cargo.toml").unwrap(), "hello");
        assert_eq!(linked("_draft.rs").unwrap(), "draft.rs");
        assert_eq!(linked("x.so").unwrap(), "x.so");
        for name in ["notes.txt", "empty"] {
            assert!(linked(name).unwrap_err().contains("no plugin lies there; name a folder"), "{name}");
        }
        assert!(linked("nothing").unwrap_err().contains("it cannot be found"));
    }
}
