//! A plugin out of the archive of its repository: the files of its folder, packed as packages have them. So whoever made the archive, and
//! however, the same files are the same bytes.
//!
//! What must not live here: whether they are a plugin's (`source` looks through what comes of this).

use super::source::{LARGEST, MOST, is_left_out, packed};
use crate::{CatalogTrouble, trouble::shown};
use flate2::read::MultiGzDecoder;
use std::{
    collections::BTreeMap,
    io::Read,
    path::{Component, Path},
};
use tar::EntryType;

/// Takes a folder of the repository out of its archive, which has one folder with everything in it; none: all of it. What is hidden is
/// left out, as it is of packages. `stem` is the folder's name in what comes of it.
pub(crate) fn repack(archive: &[u8], folder: Option<&str>, stem: &str) -> Result<Vec<u8>, CatalogTrouble> {
    let wanted: Vec<&str> = folder.unwrap_or_default().split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let broken = |error| CatalogTrouble::unfit(format!("the repository's archive is no whole `.tar.gz`: {error}"));
    // One byte more shows that there are more.
    let mut archive = tar::Archive::new(MultiGzDecoder::new(archive).take(LARGEST + 1));
    let (mut files, mut whole, mut seen) = (BTreeMap::new(), 0_u64, 0_usize);
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let (kind, size) = (entry.header().entry_type(), entry.size());
        (whole, seen) = (whole.saturating_add(size), seen + 1);
        if whole > LARGEST || seen > MOST {
            return Err(CatalogTrouble::unfit(format!(
                "the repository's archive holds more than {MOST} files, or more than {LARGEST} bytes"
            )));
        }
        let raw = entry.path_bytes().into_owned();
        let Ok(path) = std::str::from_utf8(&raw) else {
            return Err(CatalogTrouble::unfit(format!(
                "the repository's archive holds `{}`, a name that is not UTF-8",
                shown(&String::from_utf8_lossy(&raw))
            )));
        };
        let mut parts = Vec::new();
        for part in Path::new(path).components() {
            match part {
                Component::Normal(part) => parts.extend(part.to_str()),
                Component::CurDir => {}
                _ => {
                    return Err(CatalogTrouble::unfit(format!(
                        "the repository's archive holds `{}`, a path that leads out of its folder",
                        shown(path)
                    )));
                }
            }
        }
        let inside = parts.get(1..).and_then(|parts| parts.strip_prefix(&*wanted)).unwrap_or_default();
        if kind == EntryType::XGlobalHeader || inside.is_empty() || is_left_out(inside) || kind == EntryType::Directory
        {
            continue;
        }
        let name = inside.join("/");
        if kind != EntryType::Regular {
            return Err(CatalogTrouble::unfit(format!(
                "it has `{}`, which is neither a file nor a folder: links, devices and sparse files are not taken",
                shown(&name)
            )));
        }
        let runs = entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0);
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(broken)?;
        if files.insert(name.clone(), (bytes, runs)).is_some() {
            return Err(CatalogTrouble::unfit(format!("it has `{}` twice", shown(&name))));
        }
    }
    if files.is_empty() {
        return Err(CatalogTrouble::unfit(match folder {
            Some(folder) => format!("its repository has nothing in the folder `{}`", shown(folder)),
            None => "its repository is empty".to_owned(),
        }));
    }
    packed(&files, stem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use tar::{Builder, Header};

    /// An archive, with a kind for each entry.
    fn archive(entries: &[(&str, EntryType, &str)], compression: u32) -> Vec<u8> {
        let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::new(compression)));
        for (path, kind, text) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            archive.append(&header, text.as_bytes()).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap()
    }

    fn listed(packed: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(MultiGzDecoder::new(packed));
        archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
    }

    #[test]
    fn the_same_files_are_the_same_bytes() {
        let entries = [
            ("pax_global_header", EntryType::XGlobalHeader, "13 comment=1\n"),
            ("acme-x-1f2e/", EntryType::Directory, ""),
            ("acme-x-1f2e/.velox.yaml", EntryType::Regular, "name: x"),
            ("acme-x-1f2e/Cargo.toml", EntryType::Regular, "[package]"),
            ("acme-x-1f2e/src/lib.rs", EntryType::Regular, "fn x() {}"),
            ("acme-x-1f2e/link", EntryType::Symlink, ""),
        ];
        let refused = repack(&archive(&entries, 9), None, "x-1.0.0").unwrap_err().reason;
        assert!(refused.contains("`link`, which is neither a file nor a folder"), "{refused}");
        let one = repack(&archive(&entries[..5], 9), None, "x-1.0.0").unwrap();
        let mut other = entries;
        other[..5].reverse();
        let other: Vec<_> =
            other[..5].iter().map(|(path, kind, text)| (path.replace("1f2e", "v1"), *kind, *text)).collect();
        let other: Vec<_> = other.iter().map(|(path, kind, text)| (&**path, *kind, *text)).collect();
        assert!(one == repack(&archive(&other, 1), None, "x-1.0.0").unwrap());
        assert_eq!(listed(&one), ["x-1.0.0/Cargo.toml", "x-1.0.0/src/lib.rs"]);
        let folder = repack(&archive(&entries, 9), Some("src/"), "x-1.0.0").unwrap();
        assert_eq!(listed(&folder), ["x-1.0.0/lib.rs"], "what lies elsewhere does not count");
        let refused = |folder| repack(&archive(&entries[..5], 9), Some(folder), "x").unwrap_err().reason;
        assert!(refused("plugin").contains("nothing in the folder `plugin`"));
        assert!(refused("Cargo.toml").contains("nothing in the folder"));
    }

    #[test]
    fn archives_that_are_not_as_they_must_be() {
        let plain = |path| archive(&[(path, EntryType::Regular, "x")], 6);
        for (archive, expected) in [
            (b"<html>".to_vec(), "no whole `.tar.gz`"),
            (plain("x/../../etc"), "leads out of its folder"),
            (plain("/x/y"), "leads out of its folder"),
            (plain("alone"), "is empty"),
            (archive(&[("x/a", EntryType::Regular, "1"), ("x/./a", EntryType::Regular, "2")], 6), "`a` twice"),
            (plain("x/y")[..20].to_vec(), "no whole `.tar.gz`"),
        ] {
            let refused = repack(&archive, None, "x-1.0.0").unwrap_err().reason;
            assert!(refused.contains(expected), "{refused}");
        }
    }
}
