//! Packages that are made, taken apart, and tampered with. The library is a real one of this machine; only what a plugin's sections
//! would say of it is made up, for no plugin is compiled here: the trials of the command line have real ones.

use super::*;
use crate::TroubleSort;
use camlock_policy::Manifest;
use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};
use tar::{Builder, EntryType, Header};

/// A library that every program of Rust has mapped.
pub(crate) fn library() -> Vec<u8> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let path = maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| path.contains("libgcc_s"));
    fs::read(path.expect("libgcc_s is mapped")).unwrap()
}

pub(crate) fn facts(name: &str, version: &str) -> LibraryFacts {
    let manifest = Manifest {
        name: name.to_owned(),
        version: version.to_owned(),
        description: "Says hello".to_owned(),
        license: "MIT".to_owned(),
        keywords: vec!["greeting".to_owned()],
        authors: Vec::new(),
        repository: String::new(),
        documentation: String::new(),
        camlock: Default::default(),
    };
    LibraryFacts {
        manifest,
        contract: "1.0".to_owned(),
        requires: vec!["storage/1".to_owned()],
        sdk: "1.0.0".to_owned(),
        rustc: "rustc 1.95.0".to_owned(),
        config_schema: Some("{}".to_owned()),
    }
}

pub(crate) fn reader(facts: LibraryFacts) -> ReadLibrary {
    Arc::new(move |_| Ok(facts.clone()))
}

/// A package without sources.
pub(crate) fn plain(facts: LibraryFacts, key: Option<&AuthorKey>) -> PackageArchive {
    make(parts(None, key), &reader(facts)).unwrap()
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("Cargo.toml", "[package]\nname = \"hello\"\nversion = \"1.2.0\"\n");
    write(
        "Cargo.lock",
        "version = 4\n[[package]]\nname = \"hello\"\nversion = \"1.2.0\"\ndependencies = [\"serde\"]\n[[package]]\nname = \
         \"serde\"\nversion = \"1.0.1\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"aa\"\n",
    );
    write("src/lib.rs", "// nothing\n");
    write("README.md", "# Hello\n");
    write("icon.svg", "<svg/>");
    write("target/huge", "no");
    write(".git/HEAD", "no");
    dir
}

fn parts(folder: Option<PathBuf>, key: Option<&AuthorKey>) -> PackageParts<'_> {
    PackageParts { folder, lock: None, libraries: vec![library()], attestations: None, key }
}

fn made() -> PackageArchive {
    let folder = folder();
    make(parts(Some(folder.path().to_owned()), None), &reader(facts("hello", "1.2.0"))).unwrap()
}

#[test]
fn a_package_is_the_same_bytes_twice_and_says_what_the_library_is() {
    let (folder, keys) = (folder(), tempfile::tempdir().unwrap());
    let key = generate_author_key(&keys.path().join("key"), None).unwrap();
    let read = reader(facts("hello", "1.2.0"));
    let once = make(parts(Some(folder.path().to_owned()), Some(&key)), &read).unwrap();
    // Times of files and their order in the folder do not matter.
    fs::File::open(folder.path().join("src/lib.rs")).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let again = AuthorKey::read(&keys.path().join("key"), None).unwrap();
    let twice = make(parts(Some(folder.path().to_owned()), Some(&again)), &read).unwrap();
    // All that is signed is the same; signatures have randomness in them.
    assert!(once.record_bytes() == twice.record_bytes() && once.files() == twice.files());
    let unsigned = || made().bytes();
    assert!(unsigned() == unsigned());
    twice.verify(&key.publisher()).unwrap();
    let opened = PackageArchive::read(&*once.bytes()).unwrap();
    assert_eq!(opened, once);
    opened.verify(&key.publisher()).unwrap();
    opened.examine(&read).unwrap();
    let record = opened.record();
    let library = &record.libraries[&target_here()];
    assert_eq!((record.name.as_str(), record.tags.as_slice()), ("hello", &["greeting".to_owned()][..]));
    let (needs, here) = (library::read_glibc(&library.glibc).unwrap(), glibc_here().unwrap());
    assert!(needs > (2, 0) && needs <= library::read_glibc(&here).unwrap(), "{} on {here}", library.glibc);
    let mut files: Vec<_> = opened.files().keys().map(String::as_str).collect();
    files.retain(|name| !name.ends_with(".so"));
    assert_eq!(files, ["README.md", "config.schema.json", "hello-1.2.0.tar.gz", "icon.svg", "sbom.cdx.json"]);
    let sbom: serde_json::Value = serde_json::from_slice(&opened.files()["sbom.cdx.json"]).unwrap();
    assert_eq!(sbom["components"][0]["purl"], "pkg:cargo/serde@1.0.1");
    assert_eq!(sbom["dependencies"][0]["dependsOn"][0], "pkg:cargo/serde@1.0.1");
    // What is hidden or built stays at home.
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&*opened.files()["hello-1.2.0.tar.gz"]));
    let names = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
    let names: Vec<String> = names.map(|name| name.trim_start_matches("hello-1.2.0/").to_owned()).collect();
    assert_eq!(names, ["Cargo.lock", "Cargo.toml", "README.md", "icon.svg", "src/lib.rs"]);
    // Its owner alone may read the key.
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(keys.path().join("key")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(generate_author_key(&keys.path().join("key"), None).is_err(), "a key is never overwritten");
}

#[test]
fn another_key_or_another_byte_is_no_proof() {
    let (folder, keys) = (folder(), tempfile::tempdir().unwrap());
    let key = generate_author_key(&keys.path().join("key"), Some("secret".into())).unwrap();
    let other = generate_author_key(&keys.path().join("other"), None).unwrap();
    let package = make(parts(Some(folder.path().to_owned()), Some(&key)), &reader(facts("hello", "1.2.0"))).unwrap();
    assert_eq!(package.verify(&other.publisher()).unwrap_err().sort, TroubleSort::Denied);
    let changed = package.record_bytes().iter().map(|byte| if *byte == b'H' { b'J' } else { *byte }).collect();
    // What it says of itself changed, what it holds did not.
    let changed = String::from_utf8(changed).unwrap().replace("Says", "Said");
    let files = package.files().clone();
    let changed = PackageArchive::of(changed.into_bytes(), package.signature().map(str::to_owned), files).unwrap();
    assert_eq!(changed.verify(&key.publisher()).unwrap_err().sort, TroubleSort::Denied);
    assert!(made().verify(&key.publisher()).unwrap_err().reason.contains("is not signed"));
    // A key with a password opens with it alone; a public key is read in both forms.
    assert!(AuthorKey::read(&keys.path().join("key"), None).is_err());
    assert!(AuthorKey::read(&keys.path().join("key"), Some("wrong".into())).is_err());
    let public = fs::read_to_string(keys.path().join("key.pub")).unwrap();
    assert_eq!(PublisherKey::read(&public).unwrap(), key.publisher());
    assert_eq!(PublisherKey::read(&key.publisher().to_string()).unwrap(), key.publisher());
    assert!(PublisherKey::read("hello").is_err());
}

fn entry(name: &[u8], kind: EntryType, link: &str, claims: u64, bytes: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(claims);
    if !link.is_empty() {
        header.set_link_name(link).unwrap();
    }
    header.set_cksum();
    let mut all = header.as_bytes().to_vec();
    all.extend_from_slice(bytes);
    all.resize(all.len().next_multiple_of(512), 0);
    all
}

/// The package's own bytes with something more before its end.
fn with(more: &[u8]) -> Vec<u8> {
    let mut bytes = made().bytes();
    bytes.truncate(bytes.len() - 1024);
    bytes.extend_from_slice(more);
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

#[test]
fn what_was_put_into_a_package_is_found() {
    assert!(PackageArchive::read(&*with(b"")).is_ok());
    let file = |name: &[u8]| entry(name, EntryType::Regular, "", 1, b"x");
    let special = |kind, link| entry(b"evil", kind, link, 0, b"");
    let pax = |record: &str| {
        [entry(b"pax", EntryType::XHeader, "", record.len() as u64, record.as_bytes()), file(b"plain")].concat()
    };
    for (more, told) in [
        (file(b"evil"), "does not list"),
        (file(b"README.md"), "twice"),
        (file(b"package.json"), "twice"),
        (file(b"readme.MD"), "upper and lower case"),
        (file(b"/etc/evil"), "no name for a file"),
        (file(b"../evil"), "no name for a file"),
        (file(b".hidden"), "no name for a file"),
        (file(b"a\\b"), "no name for a file"),
        (file(b"\xff"), "not UTF-8"),
        (pax("16 path=../evil\n"), "no name for a file"),
        (special(EntryType::Symlink, "/etc/passwd"), "no plain file"),
        (special(EntryType::Link, "README.md"), "no plain file"),
        (special(EntryType::Directory, ""), "no plain file"),
        (special(EntryType::Fifo, ""), "no plain file"),
        (special(EntryType::Block, ""), "no plain file"),
        (entry(b"evil", EntryType::GNUSparse, "", 100 << 30, b""), ""),
        (entry(b"huge", EntryType::Regular, "", 100 << 30, b"x"), "more than are taken"),
        (pax("22 size=107374182400\n"), ""),
    ] {
        let refused = PackageArchive::read(&*with(&more)).unwrap_err();
        assert!(refused.reason.contains(told), "{told}: {refused}");
    }
    let whole = made().bytes();
    for bytes in [&b""[..], b"text", &whole[..whole.len() / 2], &[7; 2048]] {
        assert!(PackageArchive::read(bytes).is_err());
    }
}

#[test]
fn a_record_that_lies_is_refused() {
    let package = made();
    let text = String::from_utf8(package.record_bytes().to_vec()).unwrap();
    let of = |text: String| PackageArchive::of(text.into_bytes(), None, package.files().clone());
    assert!(of(text.clone()).is_ok());
    let readme = &package.record().files["README.md"];
    let entry =
        format!("\"README.md\": {{\n      \"sha256\": \"{}\",\n      \"size\": {}\n    }}", readme.sha256, readme.size);
    assert!(text.contains(&entry));
    for (from, to, told) in [
        (&*entry, format!("{entry}, {entry}"), "is there twice"),
        (&entry, entry.replace("README.md", "readme.md").to_string() + ", " + &entry, "upper and lower case"),
        (&entry, entry.replace("README.md", "../evil"), "no name for a file"),
        (&entry, entry.replace("README.md", "/etc/evil"), "no name for a file"),
        (&entry, entry.replace("README.md", "package.json"), "cannot vouch for itself"),
        (&entry, entry.replace(&readme.sha256[..4], "zzzz"), "no sha-256"),
        (&entry, entry.replace(&readme.sha256, &"0".repeat(64)), "was changed"),
        (&entry, entry.replace("\"size\": ", "\"size\": 1"), "was changed"),
        (&entry, entry.replace("\"size\": ", "\"size\": 107374182400"), "more than"),
        ("\"format\": 1", "\"format\": 2".to_owned(), "take a newer camlock"),
        ("\"format\": 1", "\"format\": 1, \"more\": 1".to_owned(), "unknown field"),
        ("\"format\": 1", "\"format\": 1, \"name\": \"hello\"".to_owned(), "duplicate field"),
        ("\"name\": \"hello\"", "\"name\": \"../evil\"".to_owned(), "no name for a plugin"),
        ("\"version\": \"1.2.0\"", "\"version\": \"one\"".to_owned(), "is none"),
        ("\"dependencies\": {}", "\"dependencies\": {\"kv-store\": \"what\"}".to_owned(), "no range"),
        ("\"source\": \"hello", "\"source\": \"other".to_owned(), "does not list"),
    ] {
        let changed = text.replacen(from, &to, 1);
        assert_ne!(changed, text, "{told}");
        let refused = of(changed).unwrap_err();
        assert!(refused.reason.contains(told), "{told}: {refused}");
    }
    // What it says of the library must be what the library is.
    let read = reader(facts("hello", "1.2.0"));
    for (from, to) in [
        ("\"contract\": \"1.0\"", "\"contract\": \"1.9\""),
        ("\"requires\": [\n        \"storage/1\"", "\"requires\": [\n        \"storage/2\""),
        ("\"glibc\": \"2", "\"glibc\": \"1"),
        ("\"permissions\": []", "\"permissions\": [\"storage\"]"),
        ("\"dependencies\": {}", "\"dependencies\": {\"kv-store\": \"1\"}"),
        ("\"name\": \"hello\"", "\"name\": \"jello\""),
        ("-unknown-linux-gnu\": {", "-unknown-other-gnu\": {"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        let refused = of(changed).unwrap().examine(&read).unwrap_err();
        assert_eq!(refused.sort, TroubleSort::Denied, "{from}: {refused}");
    }
}

#[test]
fn sources_that_would_do_harm_are_refused() {
    let pack = |more: &[(&str, EntryType, &str)]| {
        let mut archive = Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        let manifest = "[package]\nname = \"hello\"\nversion = \"1.2.0\"\n";
        let plain = [("Cargo.toml", manifest), ("Cargo.lock", "version = 4\n")];
        for (name, text) in plain {
            let mut header = Header::new_gnu();
            header.set_size(text.len() as u64);
            archive.append_data(&mut header, format!("hello-1.2.0/{name}"), text.as_bytes()).unwrap();
        }
        for (name, kind, link) in more {
            let bytes = entry(name.as_bytes(), *kind, link, 0, b"");
            std::io::Write::write_all(archive.get_mut(), &bytes).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap()
    };
    let check = |bytes: &[u8]| source::check(bytes, ("hello", "1.2.0"), Some("hello-1.2.0"));
    check(&pack(&[])).unwrap();
    for (more, told) in [
        (("/etc/evil", EntryType::Regular, ""), "does not lie in the folder"),
        (("other-1.0.0/x", EntryType::Regular, ""), "does not lie in the folder"),
        (("hello-1.2.0/../../evil", EntryType::Regular, ""), "leads out"),
        (("hello-1.2.0/a", EntryType::Symlink, "/etc/passwd"), "links, devices"),
        (("hello-1.2.0/a", EntryType::Link, "/etc/passwd"), "links, devices"),
        (("hello-1.2.0/Cargo.toml", EntryType::Regular, ""), "twice"),
        (("hello-1.2.0/CARGO.toml", EntryType::Regular, ""), "upper and lower case"),
    ] {
        let refused = check(&pack(&[more])).unwrap_err();
        assert!(refused.reason.contains(told), "{told}: {refused}");
    }
    assert!(source::check(&pack(&[]), ("hello", "1.3.0"), Some("hello-1.2.0")).is_err());
    assert!(check(b"text").is_err());
    // Whoever unpacks reads all members of a `.gz`, and so does who checks.
    let member = |bytes: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, bytes).unwrap();
        packed.finish().unwrap()
    };
    let first = member(&entry(b"hello-1.2.0/README", EntryType::Regular, "", 2, b"hi"));
    check(&[&*first, &pack(&[])].concat()).unwrap();
    let evil = pack(&[("hello-1.2.0/a", EntryType::Symlink, "/etc/passwd")]);
    assert!(check(&[&*first, &evil].concat()).unwrap_err().reason.contains("links, devices"));
    // `git archive` says something of all of them, in sources that others packed.
    let git = pack(&[("pax_global_header", EntryType::XGlobalHeader, "")]);
    source::check(&git, ("hello", "1.2.0"), None).unwrap();
    assert!(check(&git).is_err());
    // A folder that cannot be packed honestly.
    let folder = folder();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("src/link")).unwrap();
    assert!(source::pack(folder.path(), "hello-1.2.0", None).unwrap_err().reason.contains("is a link"));
    fs::remove_file(folder.path().join("src/link")).unwrap();
    fs::remove_file(folder.path().join("Cargo.lock")).unwrap();
    assert!(source::pack(folder.path(), "hello-1.2.0", None).unwrap_err().reason.contains("no Cargo.lock"));
    assert!(source::pack(folder.path(), "hello-1.2.0", Some(b"version = 4\n")).is_ok());
}

#[test]
fn files_by_name() {
    let none: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let refused = PackageArchive::of(made().record_bytes().to_vec(), None, none).unwrap_err();
    assert!(refused.reason.contains("does not hold it"), "{refused}");
}
