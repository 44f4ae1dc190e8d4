//! What a name says of a file: whether an entry of the plugins directory is called so, and what counts as nobody's source.
//!
//! Pure. What must not live here: looking at files.

use camlock_policy::Kind;
use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

/// What a name at the top of the plugins directory promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Nothing: it is not looked at.
    Nothing,
    /// A plugin of this kind, if it is a file.
    File(Kind),
    /// A plugin, if it is a directory with a `Cargo.toml`.
    Directory,
}

/// What a name at the top of the plugins directory promises.
pub(crate) fn promise(name: &OsStr) -> Promise {
    let bytes = name.as_bytes();
    if bytes.starts_with(b".") || bytes.starts_with(b"_") || is_temporary(name) || bytes == b"target" {
        return Promise::Nothing;
    }
    match Path::new(name).extension().map(OsStr::as_bytes) {
        Some(b"rs") => Promise::File(Kind::SingleFile),
        Some(b"so") => Promise::File(Kind::Prebuilt),
        _ => Promise::Directory,
    }
}

/// Whether editors call their temporary files so: Vim's swap and probe files, Emacs' backups, locks and autosaves, and what
/// others write before they rename.
pub(crate) fn is_temporary(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    let swap = matches!(Path::new(name).extension().map(OsStr::as_bytes), Some(&[b's', b'w', last])
        if last == b'p' || (bytes.starts_with(b".") && (b'k'..=b'z').contains(&last)));
    swap || bytes.ends_with(b"~")
        || bytes.starts_with(b".#")
        || (bytes.len() > 1 && bytes.starts_with(b"#") && bytes.ends_with(b"#"))
        || bytes == b"4913"
        || bytes.ends_with(b"___jb_tmp___")
        || bytes.ends_with(b"___jb_old___")
        || bytes.starts_with(b".goutputstream-")
}

/// Whether a directory of this name never holds sources: what version control and editors keep for themselves.
pub(crate) fn is_nobodys(name: &OsStr) -> bool {
    matches!(name.as_bytes(), b".git" | b".hg" | b".jj" | b".svn" | b".idea" | b".vscode" | b".DS_Store")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_promise_what_the_directory_page_says() {
        for (name, promised) in [
            ("hello", Promise::Directory),
            ("hello.rs", Promise::File(Kind::SingleFile)),
            ("libhello.so", Promise::File(Kind::Prebuilt)),
            ("v1.2", Promise::Directory),
            ("README.md", Promise::Directory),
            ("_draft.rs", Promise::Nothing),
            (".hidden", Promise::Nothing),
            (".hello.rs.swp", Promise::Nothing),
            ("hello.rs~", Promise::Nothing),
            ("#hello.rs#", Promise::Nothing),
            (".#hello.rs", Promise::Nothing),
            ("4913", Promise::Nothing),
            ("target", Promise::Nothing),
        ] {
            assert_eq!(promise(OsStr::new(name)), promised, "{name}");
        }
    }

    #[test]
    fn editors_files_are_told_from_sources() {
        for temporary in ["lib.rs~", ".lib.rs.swp", ".lib.rs.swx", ".#lib.rs", "#lib.rs#", "4913", "lib.rs___jb_tmp___"]
        {
            assert!(is_temporary(OsStr::new(temporary)), "{temporary}");
        }
        for source in ["lib.rs", "a#b", "#", "491", "swp", ".swp", "logo.swf", ".env", "~x"] {
            assert!(!is_temporary(OsStr::new(source)), "{source}");
        }
    }
}
