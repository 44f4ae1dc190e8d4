//! Where a path leads, and what would make it lead elsewhere. What must not live here: anything about watching.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

/// The kernel follows no more links than this on one way; nor do we, so loops end.
const MOST_LINKS: usize = 40;

/// A path, followed step by step.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Way {
    /// The names that decide where it leads, each with the directory that it lies in: every link on the way, the last
    /// name, and where the way breaks off, the first name that is missing. The directories are free of links.
    pub(crate) names: Vec<(PathBuf, OsString)>,
    /// The directories that it leads through, free of links: if one of them is moved, it leads elsewhere. Without those
    /// at the very top (`/`, `/home`, `/tmp`), which are not moved, and where much goes on.
    pub(crate) through: Vec<PathBuf>,
    /// Where it leads, free of links, if that is a directory.
    pub(crate) directory: Option<PathBuf>,
}

/// Follows an absolute path.
pub(crate) fn follow(path: &Path) -> Way {
    let mut way = Way::default();
    let mut here = PathBuf::new();
    let mut links = 0;
    // What is still to be walked, the next name last.
    let mut ahead: Vec<OsString> = Vec::new();
    let push = |ahead: &mut Vec<OsString>, path: &Path| {
        ahead.extend(path.components().rev().map(|component| component.as_os_str().to_owned()));
    };
    push(&mut ahead, path);
    while let Some(name) = ahead.pop() {
        match name.as_encoded_bytes() {
            b"." => continue,
            b"/" => {
                here = PathBuf::from("/");
                continue;
            }
            b".." => {
                here.pop();
                continue;
            }
            _ => {}
        }
        let there = here.join(&name);
        let Ok(found) = fs::symlink_metadata(&there) else {
            way.names.push((here, name));
            return way;
        };
        if !found.is_symlink() {
            if here.components().count() > 2 {
                way.through.push(here);
            }
            here = there;
            continue;
        }
        way.names.push((here.clone(), name));
        links += 1;
        match fs::read_link(&there) {
            Ok(target) if links <= MOST_LINKS => push(&mut ahead, &target),
            _ => return way,
        }
    }
    if let (Some(directory), Some(name)) = (here.parent(), here.file_name()) {
        way.names.push((directory.to_owned(), name.to_owned()));
    }
    if fs::metadata(&here).is_ok_and(|found| found.is_dir()) {
        way.directory = Some(here);
    }
    way
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn ways() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("releases/2/plugins")).unwrap();
        fs::write(top.join("releases/2/file"), "").unwrap();
        symlink("2", top.join("releases/current")).unwrap();
        symlink(top.join("releases/current/plugins"), top.join("plugins")).unwrap();
        symlink("releases/current/file", top.join("file")).unwrap();
        symlink("../nowhere/at/all", top.join("releases/broken")).unwrap();
        symlink("loop-b", top.join("loop-a")).unwrap();
        symlink("loop-a", top.join("loop-b")).unwrap();
        symlink("loop-a/below", top.join("loop-c")).unwrap();

        // path, the names on the way, the directory at its end
        #[rustfmt::skip]
        let table: [(&str, &[&str], Option<&str>); 8] = [
            ("releases",             &["releases"], Some("releases")),
            ("releases/2/..",        &["releases"], Some("releases")),
            ("plugins",  &["plugins", "releases/current", "releases/2/plugins"], Some("releases/2/plugins")),
            ("file",     &["file", "releases/current", "releases/2/file"], None),
            ("file/in/a/file", &["file", "releases/current", "releases/2/file/in"], None),
            ("missing/and/more", &["missing"], None),
            ("releases/broken",  &["releases/broken", "nowhere"], None),
            ("releases/current", &["releases/current", "releases/2"], Some("releases/2")),
        ];
        for (path, names, directory) in table {
            let way = follow(&top.join(path));
            let seen: Vec<PathBuf> = way.names.iter().map(|(dir, name)| dir.join(name)).collect();
            assert_eq!(seen, names.iter().map(|name| top.join(name)).collect::<Vec<_>>(), "{path}");
            assert_eq!(way.directory, directory.map(|directory| top.join(directory)), "{path}");
        }

        let through = follow(&top.join("plugins")).through;
        for passed in ["", "releases", "releases/2"] {
            assert!(through.contains(&top.join(passed)), "{passed} in {through:?}");
        }
        assert!(through.iter().all(|passed| passed.components().count() > 2), "{through:?}");

        for looped in ["loop-a", "loop-c"] {
            let way = follow(&top.join(looped));
            assert_eq!(way.directory, None);
            assert_eq!(way.names.len(), MOST_LINKS + 1);
        }
        assert_eq!(follow(Path::new("/")).directory, Some(PathBuf::from("/")));
    }
}
