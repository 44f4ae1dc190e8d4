//! Whether directories can be used, and what lies in the plugins directory that a server could not use.

use super::Finding;
use crate::{commands::workshop, config::Config, print};
use camlock_build::{Builder, Profile};
use camlock_embed::build_options;
use camlock_policy::Sources;
use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

/// A build of a plugin with its dependencies takes some hundred megabytes.
const ROOM: u64 = 1 << 30;

pub(super) fn look(config: &Config) -> Vec<Finding> {
    let mut findings = vec![settings(config), writable("data directory", &config.data, "--data")];
    findings.extend(private(&config.data));
    if let Some(builds) = &config.builds {
        findings.push(writable("build directory", builds, "build.dir"));
    }
    findings.extend(room(config.builds.as_deref().unwrap_or(&config.data)));
    findings.extend(plugins(config));
    findings
}

fn settings(config: &Config) -> Finding {
    let found = match &config.file {
        Some(file) => format!("from {}", file.display()),
        None => "there is no camlock.toml: the defaults hold".to_owned(),
    };
    Finding::good("settings", found)
}

/// The directory itself, or the nearest one above it that is there.
fn nearest(path: &Path) -> &Path {
    path.ancestors().find(|path| path.exists()).unwrap_or(path)
}

fn writable(about: &'static str, path: &Path, flag: &str) -> Finding {
    let there = nearest(path);
    let probe = there.join(format!(".camlock-probe-{}", std::process::id()));
    let tried = if there.is_dir() {
        File::create(&probe).and_then(|_| fs::remove_file(&probe))
    } else {
        Err(io::Error::from(io::ErrorKind::NotADirectory))
    };
    match tried {
        Ok(()) if there == path => Finding::good(about, path.display().to_string()),
        Ok(()) => Finding::good(about, format!("{} (it is made when it is needed)", path.display())),
        Err(error) => Finding::wrong(
            about,
            format!("{} cannot be written to: {error}", there.display()),
            format!("give this user leave to write there, or name another with {flag}"),
        ),
    }
}

fn private(data: &Path) -> Option<Finding> {
    let metadata = fs::metadata(data).ok()?;
    (metadata.is_dir() && metadata.mode() & 0o077 != 0).then(|| {
        let found = format!("others may look into {}, where the admin token lies", data.display());
        Finding::warning("data directory", found, "`camlock serve` mends that when it starts, or `chmod 700` does now")
    })
}

fn room(path: &Path) -> Option<Finding> {
    let there = nearest(path);
    let space = rustix::fs::statvfs(there).ok()?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let told = format!("{} MiB are free in {}", free >> 20, there.display());
    Some(if free < ROOM {
        Finding::warning(
            "disk",
            format!("only {told}"),
            "free some: the first build of a plugin takes some hundred MiB",
        )
    } else {
        Finding::good("disk", told)
    })
}

fn plugins(config: &Config) -> Vec<Finding> {
    const ABOUT: &str = "plugins";
    let path = &config.plugins;
    if !path.exists() {
        let found = format!("{} is not there yet", path.display());
        let remedy = format!(
            "`camlock new NAME --in {}` makes it, with a plugin in it; or name another with --plugins",
            path.display()
        );
        return vec![Finding::warning(ABOUT, found, remedy)];
    }
    // Only looked at: nothing is built.
    let builds = match workshop::builds(config) {
        Ok(builds) => builds,
        Err(failed) => {
            return vec![Finding::wrong("cache directory", failed.reason, "give this user leave to write there")];
        }
    };
    let scan = Builder::new(build_options(path, &builds, &config.settings, Profile::Quick)).scan();
    if let Some(trouble) = scan.trouble {
        return vec![Finding::wrong(ABOUT, trouble, "or name another directory with --plugins")];
    }
    let count = print::counted(scan.entries.len(), "plugin");
    let mut findings = vec![Finding::good(ABOUT, format!("{count} in {}", path.display()))];
    for entry in &scan.entries {
        if let Some(problem) = &entry.problem {
            let found = format!("{}: {}", entry.path.display(), problem.reason);
            findings.push(Finding::wrong(
                ABOUT,
                found,
                format!("mend it, or remove it; `camlock check {}`", entry.path.display()),
            ));
        }
    }
    for (index, entry) in scan.entries.iter().enumerate() {
        if let Some(first) = scan.entries[..index].iter().find(|first| first.name == entry.name) {
            let found =
                format!("`{}` lies there twice: {} and {}", entry.name, first.path.display(), entry.path.display());
            findings.push(Finding::wrong(
                ABOUT,
                found,
                "rename or remove one: only the one that was there first is served",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Level;

    #[test]
    fn directories_are_tried() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(writable("data directory", dir.path(), "--data").level, Level::Good);
        let deeper = dir.path().join("a/b");
        assert!(writable("data directory", &deeper, "--data").found.ends_with("(it is made when it is needed)"));
        assert!(!deeper.exists());
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let finding = writable("data directory", &file.join("x"), "--data");
        assert!(finding.level == Level::Wrong && finding.found.contains("not a directory"), "{finding:?}");
        assert!(room(dir.path()).is_some());
    }
}
