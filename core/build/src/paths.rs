//! Paths, without looking at files.

use std::path::{Component, Path, PathBuf};

/// Without `.` and `..`, as cargo takes paths: by their text, whatever links there are.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

/// `path` as seen from the directory `from`; both absolute and normal.
pub(crate) fn relative(path: &Path, from: &Path) -> PathBuf {
    let shared = path.components().zip(from.components()).take_while(|(one, other)| one == other).count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(path.components().skip(shared)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_by_their_text() {
        for (path, expected) in [("/a/b/../c", "/a/c"), ("/a/./b/", "/a/b"), ("/../a", "/a")] {
            assert_eq!(normal(Path::new(path)), Path::new(expected), "{path}");
        }
        for (path, from, expected) in [("/a/b/c", "/a/x", "../b/c"), ("/a/b", "/a", "b"), ("/a", "/a", "")] {
            assert_eq!(relative(Path::new(path), Path::new(from)), Path::new(expected), "{path} from {from}");
        }
    }
}
