//! Whether directories can be used, and what lies in the plugins directory that a server could not use.

use crate::{
    commands::workshop,
    config::Config,
    print::{self, quoted_path},
};
use camlock_api::Finding;
use camlock_build::{Builder, Profile};
use camlock_embed::build_options;
use camlock_policy::Sources;
use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

/// A build of a plugin with its dependencies takes some hundred megabytes; so do the sources that cargo downloads.
const BUILD_ROOM: u64 = 1 << 30;
/// What else is written is small: the registry, artifacts, what is verified.
const SMALL_ROOM: u64 = 128 << 20;
/// So many ignored folders are named.
const NAMED: usize = 10;

pub(super) fn look(config: &Config) -> Vec<Finding> {
    let mut findings = vec![settings(config), writable("data directory", &config.data, "--data")];
    findings.extend(private(&config.data));
    if let Some(builds) = &config.builds {
        findings.push(writable("build directory", builds, "build.dir"));
    }
    findings.extend(room(&places(config)));
    findings.extend(plugins(config));
    findings
}

fn settings(config: &Config) -> Finding {
    let found = match &config.file {
        Some(file) => format!("from {}", quoted_path(file)),
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
        Ok(()) if there == path => Finding::good(about, quoted_path(path)),
        Ok(()) => Finding::good(about, format!("{} (it is made when it is needed)", quoted_path(path))),
        Err(error) => Finding::wrong(
            about,
            format!("{} cannot be written to: {error}", quoted_path(there)),
            format!("give this user leave to write there, or name another with {flag}"),
        ),
    }
}

fn private(data: &Path) -> Option<Finding> {
    let metadata = fs::metadata(data).ok()?;
    (metadata.is_dir() && metadata.mode() & 0o077 != 0).then(|| {
        let found = format!("others may look into {}, where the admin token lies", quoted_path(data));
        Finding::warning("data directory", found, "`camlock serve` mends that when it starts, or `chmod 700` does now")
    })
}

/// A directory that something is written to, and how much room that takes.
struct WrittenPlace {
    what: &'static str,
    path: PathBuf,
    room: u64,
}

fn places(config: &Config) -> Vec<WrittenPlace> {
    let place = |what, path: &Path, room| WrittenPlace { what, path: path.to_owned(), room };
    let mut places = vec![
        place("the data directory", &config.data, if config.builds.is_none() { BUILD_ROOM } else { SMALL_ROOM }),
        place("the plugins directory", &config.plugins, SMALL_ROOM),
        place("temporary files", &env::temp_dir(), SMALL_ROOM),
    ];
    places.extend(config.builds.as_ref().map(|builds| place("the build directory", builds, BUILD_ROOM)));
    let cargo = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    places.extend(cargo.map(|cargo| place("what cargo downloads", &cargo, SMALL_ROOM)));
    places
}

/// How much room each file system has on which something is written.
fn room(places: &[WrittenPlace]) -> Vec<Finding> {
    let mut systems: BTreeMap<u64, Vec<&WrittenPlace>> = BTreeMap::new();
    let mut findings = Vec::new();
    for place in places {
        match fs::metadata(nearest(&place.path)) {
            Ok(metadata) => systems.entry(metadata.dev()).or_default().push(place),
            Err(error) => findings.push(unknown_room(place, &error)),
        }
    }
    findings.extend(systems.into_values().filter_map(|places| room_of(&places)));
    findings
}

/// How much room there is on the one file system of these places.
fn room_of(places: &[&WrittenPlace]) -> Option<Finding> {
    let first = places.first()?;
    let space = match rustix::fs::statvfs(nearest(&first.path)) {
        Ok(space) => space,
        Err(error) => return Some(unknown_room(first, &error.into())),
    };
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let room = places.iter().map(|place| place.room).max().unwrap_or_default();
    let named: Vec<_> = places.iter().map(|place| format!("{} ({})", place.what, quoted_path(&place.path))).collect();
    let found = format!("{} MiB are free for {}", free >> 20, named.join(", "));
    Some(if free < room {
        let remedy = format!("free some: {} MiB are taken soon, by the first build of a plugin for one", room >> 20);
        Finding::warning("disk", format!("only {found}"), remedy)
    } else if space.f_files > 0 && space.f_favail == 0 {
        Finding::warning("disk", format!("{found}, and no file can be made there"), "remove files: there are too many")
    } else {
        Finding::good("disk", found)
    })
}

fn unknown_room(place: &WrittenPlace, error: &io::Error) -> Finding {
    let found =
        format!("how much room there is for {} ({}) is not known: {error}", place.what, quoted_path(&place.path));
    Finding::warning("disk", found, "give this user leave to look there")
}

/// Folders of the plugins directory that look like plugins, and are none.
fn ignored(plugins: &Path) -> Vec<Finding> {
    // What cannot be read was told by the scan.
    let entries = fs::read_dir(plugins).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_ignored_by_name = |path: &Path| {
        let name = path.file_name().unwrap_or_default().as_bytes();
        name.starts_with(b".") || name.starts_with(b"_") || name == b"target"
    };
    let folders =
        entries.filter(|path| path.is_dir() && !is_ignored_by_name(path) && !path.join("Cargo.toml").exists());
    let mut folders: Vec<_> = folders.map(|path| quoted_path(&path)).collect();
    folders.sort();
    let more = folders.len().saturating_sub(NAMED);
    folders.truncate(NAMED);
    let mut findings: Vec<_> = folders
        .into_iter()
        .map(|folder| {
            let remedy =
                "put its Cargo.toml there if it is a plugin; otherwise move it away, or begin its name with `_`";
            Finding::warning("plugins", format!("{folder} is ignored: there is no Cargo.toml in it"), remedy)
        })
        .collect();
    if more > 0 {
        findings.push(Finding::warning(
            "plugins",
            format!("{more} more folders are ignored in the same way"),
            "see above",
        ));
    }
    findings
}

fn plugins(config: &Config) -> Vec<Finding> {
    const ABOUT: &str = "plugins";
    let path = &config.plugins;
    if !path.exists() {
        let found = format!("{} is not there yet", quoted_path(path));
        let remedy = format!(
            "`camlock new NAME --in {}` makes it, with a plugin in it; or name another with --plugins",
            quoted_path(path)
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
    let mut findings = vec![Finding::good(ABOUT, format!("{count} in {}", quoted_path(path)))];
    for entry in &scan.entries {
        if let Some(problem) = &entry.problem {
            let path = quoted_path(&entry.path);
            let found = format!("{path}: {}", problem.reason);
            findings.push(Finding::wrong(ABOUT, found, format!("mend it, or remove it; `camlock check {path}`")));
        }
    }
    for (index, entry) in scan.entries.iter().enumerate() {
        if let Some(first) = scan.entries[..index].iter().find(|first| first.name == entry.name) {
            let found = format!(
                "`{}` lies there twice: {} and {}",
                entry.name,
                quoted_path(&first.path),
                quoted_path(&entry.path)
            );
            findings.push(Finding::wrong(
                ABOUT,
                found,
                "rename or remove one: only the one that was there first is served",
            ));
        }
    }
    findings.extend(ignored(path));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlock_api::FindingLevel;

    #[test]
    fn directories_are_tried() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(writable("data directory", dir.path(), "--data").level, FindingLevel::Good);
        let deeper = dir.path().join("a/b");
        assert!(writable("data directory", &deeper, "--data").found.ends_with("(it is made when it is needed)"));
        assert!(!deeper.exists());
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let finding = writable("data directory", &file.join("x"), "--data");
        assert!(finding.level == FindingLevel::Wrong && finding.found.contains("not a directory"), "{finding:?}");
        let place = |room| WrittenPlace { what: "a test", path: dir.path().join("not/there/yet"), room };
        let told = room(&[place(0), place(0)]);
        assert!(told.len() == 1 && told[0].level == FindingLevel::Good, "one file system: {told:?}");
        assert_eq!(room(&[place(0), place(u64::MAX)])[0].level, FindingLevel::Warning);
    }
}
