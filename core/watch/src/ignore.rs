//! Names that are not worth a watch or a nudge. What must not live here: rules that need a look at the file.

use std::ffi::OsStr;

/// Directories, wherever they lie, in which builds and version control keep things of their own.
const HEAVY: [&str; 6] = ["target", ".git", ".hg", ".jj", ".svn", "node_modules"];

/// Whether this name is ignored wherever it lies: see `HEAVY`, and the files that editors write on the side.
pub(crate) fn ignored(name: &OsStr) -> bool {
    HEAVY.iter().any(|heavy| name == *heavy) || of_an_editor(name.as_encoded_bytes())
}

/// Whether this name is ignored in the plugins directory itself.
pub(crate) fn ignored_entry(name: &OsStr) -> bool {
    matches!(name.as_encoded_bytes().first(), None | Some(b'.' | b'_')) || ignored(name)
}

fn of_an_editor(name: &[u8]) -> bool {
    match name {
        // vim tries with this one whether it may create files here.
        b"4913" => true,
        // Backups; vim's swap file; emacs's locks and automatic saves.
        [.., b'~'] | [.., b'.', b's', b'w', b'p'] | [b'.', b'#', ..] | [b'#', .., b'#'] => true,
        // vim's second and third swap file, `.lib.rs.swo`.
        [b'.', .., b'.', b's', b'w', b'a'..=b'z'] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        #[rustfmt::skip]
        let table = [
            // name, ignored anywhere, ignored at the top
            ("hello",          false, false),
            ("hello.rs",       false, false),
            ("Cargo.lock",     false, false),
            ("target",         true,  true),
            ("targets",        false, false),
            (".git",           true,  true),
            (".gitignore",     false, true),
            ("node_modules",   true,  true),
            (".cargo",         false, true),
            ("_off",           false, true),
            ("4913",           true,  true),
            ("49130",          false, false),
            ("lib.rs~",        true,  true),
            (".lib.rs.swp",    true,  true),
            ("lib.swp",        true,  true),
            (".lib.rs.swx",    true,  true),
            ("lib.swift",      false, false),
            ("crate.swc",      false, false),
            (".#lib.rs",       true,  true),
            ("#lib.rs#",       true,  true),
            ("#lib.rs",        false, false),
            ("#",              false, false),
        ];
        for (name, anywhere, top) in table {
            assert_eq!(ignored(OsStr::new(name)), anywhere, "{name}");
            assert_eq!(ignored_entry(OsStr::new(name)), top, "{name} at the top");
        }
    }
}
