//! What is to be watched for each root: read from the file system, acting on nothing. What must not live here: which
//! watches stand.

use crate::{
    ignore::{ignored, ignored_entry},
    way::{Way, follow},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    ffi::{OsStr, OsString},
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Something that is planned as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WatchRoot {
    /// The plugins directory itself, with the way to it. Each entry in it is a root of its own.
    Top,
    /// The entry of this name.
    Entry(OsString),
    /// A further path, as it was given.
    Further(PathBuf),
}

/// What concerns a root in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// This one name, which decides where a way leads.
    Name(OsString),
    /// Everything that lies right in it.
    All,
    /// The directory itself, not what is in it: a way leads through it.
    Itself,
}

/// What must be watched for a root.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct WatchPlan {
    /// The directories, free of links, and what concerns the root in each.
    pub(crate) directories: BTreeMap<PathBuf, Vec<Interest>>,
    /// There are too many directories, so what lies below is not watched.
    pub(crate) too_many: bool,
}

impl WatchPlan {
    fn interest(&mut self, directory: PathBuf, interest: Interest) {
        let interests = self.directories.entry(directory).or_default();
        if !interests.contains(&interest) {
            interests.push(interest);
        }
    }

    /// All that decides where the way leads.
    fn way(&mut self, way: &Way) {
        for (directory, name) in &way.names {
            self.interest(directory.clone(), Interest::Name(name.clone()));
        }
        for directory in &way.through {
            self.interest(directory.clone(), Interest::Itself);
        }
    }

    /// The same, and all below the directory, if that is not too much.
    fn and_below(mut self, directory: PathBuf, most: usize) -> WatchPlan {
        match below(directory, most) {
            Some(more) => {
                for (directory, interests) in more.directories {
                    interests.into_iter().for_each(|interest| self.interest(directory.clone(), interest));
                }
            }
            None => self.too_many = true,
        }
        self
    }
}

/// What can be the same directory under two names; and what tells a directory from another that took its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DirectoryIdentity(u64, u64);

impl DirectoryIdentity {
    pub(crate) fn of(found: &Metadata) -> Self {
        DirectoryIdentity(found.dev(), found.ino())
    }
}

/// The plugins directory as it is now.
#[derive(Debug)]
pub(crate) struct Top {
    pub(crate) plan: WatchPlan,
    /// Where it really is; None if it is not there.
    pub(crate) real: Option<PathBuf>,
    /// The entries that may need watches of their own.
    pub(crate) entries: BTreeSet<OsString>,
}

/// Plans the plugins directory: `absolute` is where it is.
pub(crate) fn top(absolute: &Path) -> Top {
    let way = follow(absolute);
    let mut plan = WatchPlan::default();
    plan.way(&way);
    let mut entries = BTreeSet::new();
    if let Some(real) = &way.directory {
        plan.interest(real.clone(), Interest::All);
        for entry in fs::read_dir(real).into_iter().flatten().map_while(Result::ok) {
            let may_need_watches = entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink());
            if may_need_watches && !ignored_entry(&entry.file_name()) {
                entries.insert(entry.file_name());
            }
        }
    }
    Top { plan, real: way.directory, entries }
}

/// Plans one entry of the plugins directory, which really is `top`.
pub(crate) fn entry(top: &Path, name: &OsStr, most: usize) -> WatchPlan {
    let path = top.join(name);
    let Ok(kind) = fs::symlink_metadata(&path).map(|found| found.file_type()) else { return WatchPlan::default() };
    if ignored_entry(name) {
        WatchPlan::default()
    } else if kind.is_symlink() {
        let way = follow(&path);
        let mut plan = WatchPlan::default();
        plan.way(&way);
        match way.directory {
            Some(directory) => plan.and_below(directory, most),
            None => plan,
        }
    } else if kind.is_dir() {
        WatchPlan::default().and_below(path, most)
    } else {
        WatchPlan::default() // A file: the plugins directory's own watch sees it.
    }
}

/// Plans a further path: `absolute` is where it is.
pub(crate) fn further(absolute: &Path, most: usize) -> WatchPlan {
    let way = follow(absolute);
    let mut plan = WatchPlan::default();
    plan.way(&way);
    match way.directory {
        Some(directory) => plan.and_below(directory, most),
        None => plan,
    }
}

/// All directories below this one, through links too, each once. None if there are more than `most`, links counted.
fn below(directory: PathBuf, most: usize) -> Option<WatchPlan> {
    let mut plan = WatchPlan::default();
    let mut seen = HashSet::new();
    let mut count = 0;
    let mut ahead = VecDeque::from([directory]);
    while let Some(directory) = ahead.pop_front() {
        let Ok(found) = fs::metadata(&directory) else { continue };
        if !seen.insert(DirectoryIdentity::of(&found)) {
            continue;
        }
        count += 1;
        for entry in fs::read_dir(&directory).into_iter().flatten().map_while(Result::ok) {
            let name = entry.file_name();
            let Ok(kind) = entry.file_type() else { continue };
            if !(kind.is_dir() || kind.is_symlink()) || ignored(&name) {
                continue;
            }
            if kind.is_dir() {
                ahead.push_back(entry.path());
            } else {
                count += 1;
                let way = follow(&entry.path());
                plan.way(&way);
                ahead.extend(way.directory);
            }
            // Asked here too, so that no directory, however full, makes the list of what lies ahead long.
            if count + ahead.len() > most.saturating_mul(2) {
                return None;
            }
        }
        if count > most {
            return None;
        }
        plan.interest(directory, Interest::All);
    }
    Some(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// What is watched, as lines: the directory, and the name that matters in it, if it is one. What is led through is not in it.
    fn lines(plan: &WatchPlan, top: &Path) -> Vec<String> {
        let short = |path: &Path| path.strip_prefix(top).unwrap_or(path).display().to_string();
        let mut lines = Vec::new();
        for (directory, interests) in &plan.directories {
            for interest in interests {
                let directory = short(directory);
                lines.push(match interest {
                    Interest::Name(name) => format!("{directory} : {}", name.display()),
                    Interest::All => directory,
                    Interest::Itself => continue,
                });
            }
        }
        lines.sort();
        lines
    }

    fn tree() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        for path in
            ["p/crate/src/deep", "p/crate/target/debug", "p/crate/.git/objects", "p/.hidden", "p/_off", "out/lib"]
        {
            fs::create_dir_all(top.join(path)).unwrap();
        }
        fs::write(top.join("p/file.rs"), "").unwrap();
        fs::write(top.join("out/one.rs"), "").unwrap();
        (dir, top)
    }

    #[test]
    fn the_plugins_directory() {
        let (_dir, top) = tree();
        symlink(top.join("p"), top.join("link")).unwrap();
        let plugins = super::top(&top.join("link"));
        assert_eq!(plugins.real, Some(top.join("p")));
        assert_eq!(plugins.entries, BTreeSet::from(["crate".into()]));
        assert_eq!(lines(&plugins.plan, &top), [" : link", " : p", "p"]);

        let missing = super::top(&top.join("not/there"));
        assert_eq!((missing.real, missing.entries.len()), (None, 0));
        assert_eq!(lines(&missing.plan, &top), [" : not"]);
    }

    #[test]
    fn entries() {
        let (_dir, top) = tree();
        symlink("../out/one.rs", top.join("p/one.rs")).unwrap();
        symlink("../out", top.join("p/linked")).unwrap();
        symlink("../../out", top.join("p/crate/shared")).unwrap();
        symlink("..", top.join("p/crate/src/up")).unwrap();
        #[rustfmt::skip]
        let table: [(&str, &[&str]); 7] = [
            ("crate", &["out", "out/lib", "p : crate", "p/crate : shared", "p/crate", " : out", "p/crate/src : up",
                        "p/crate/src", "p/crate/src/deep"]),
            ("one.rs",  &["out : one.rs", "p : one.rs"]),
            ("linked",  &[" : out", "out", "out/lib", "p : linked"]),
            ("file.rs", &[]),
            (".hidden", &[]),
            ("_off",    &[]),
            ("missing", &[]),
        ];
        for (name, expected) in table {
            let mut expected = expected.to_vec();
            expected.sort();
            let plan = entry(&top.join("p"), OsStr::new(name), 100);
            assert_eq!(lines(&plan, &top), expected, "{name}");
            assert!(!plan.too_many);
        }
    }

    #[test]
    fn further_paths() {
        let (_dir, top) = tree();
        let plan = further(&top.join("out"), 100);
        assert_eq!(lines(&plan, &top), [" : out", "out", "out/lib"]);
        let plan = further(&top.join("out/one.rs"), 100);
        assert_eq!(lines(&plan, &top), ["out : one.rs"]);
        let inside = further(&top.join("p/crate/target/debug"), 100);
        assert_eq!(lines(&inside, &top), ["p/crate/target : debug", "p/crate/target/debug"]);
    }

    #[test]
    fn too_many_directories_are_left_to_the_timer() {
        let (_dir, top) = tree();
        symlink("../out", top.join("p/linked")).unwrap();
        for (name, most, expected) in
            [("crate", 3, false), ("crate", 2, true), ("linked", 2, false), ("linked", 1, true)]
        {
            let plan = entry(&top.join("p"), OsStr::new(name), most);
            assert_eq!(plan.too_many, expected, "{name} with {most}");
            // The way to it is watched in any case.
            assert_eq!(lines(&plan, &top).is_empty(), expected && name == "crate", "{name} with {most}");
        }
    }
}
