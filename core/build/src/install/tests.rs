//! Archives as others send them, good and bad, and places that are taken.

use super::{incoming::OLD, *};
use crate::Identified;
use ::tar::{Builder, EntryType, Header};
use ::zip::{ZipWriter, write::SimpleFileOptions};
use camlock_policy::{Failure, Stage};
use flate2::{Compression, write::GzEncoder};
use std::{
    collections::BTreeMap,
    io::{Cursor, Write},
    sync::atomic::{AtomicBool, Ordering},
    time::SystemTime,
};

const MANIFEST: &str = "[package]\nname = \"hello\"\nversion = \"0.1.0\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n";

fn told_to_nobody() -> Arriving {
    Box::new(|_| ())
}

struct Place {
    dir: tempfile::TempDir,
    workplace: Workplace,
}

impl Place {
    fn new() -> Self {
        Place::bounded(InstallBounds::default())
    }

    fn bounded(bounds: InstallBounds) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (plugins, uploads) = (dir.path().join("plugins"), dir.path().join("uploads"));
        fs::create_dir(&uploads).unwrap();
        // A library here is its plugin's name.
        let identify: Identify = Arc::new(|path: &Path| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let name = text.strip_prefix("ELF ").ok_or_else(|| Failure::new(Stage::Verify, "it is no ELF file"))?;
            Ok(Identified { name: name.to_owned(), claims: Vec::new() })
        });
        let removed = dir.path().join("removed");
        Place { dir, workplace: Workplace { plugins, uploads, removed, identify, bounds } }
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    fn install(&self, source: Source) -> Result<Installed, NotInstalled> {
        self.workplace.install(
            &Upload { source, name: None, replace: false, there: BTreeMap::new(), by_name: BTreeMap::new() },
            told_to_nobody(),
        )
    }

    /// What lies in the plugins directory.
    fn entries(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.workplace.plugins).into_iter().flatten();
        let mut entries: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        entries.sort();
        entries
    }

    /// What was replaced, by the names it had.
    fn removed(&self) -> BTreeMap<String, PathBuf> {
        let entries = fs::read_dir(&self.workplace.removed).into_iter().flatten();
        let named = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().unwrap();
            (name.split_once('-').unwrap().1.to_owned(), entry.path())
        };
        entries.map(|entry| named(entry.unwrap())).collect()
    }

    /// Sends an archive that is refused, and leaves nothing behind.
    fn refused(&self, source: Source) -> NotInstalled {
        let refused = self.install(source).unwrap_err();
        assert_eq!(self.entries(), [""; 0], "{refused}");
        let outside: Vec<_> = fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(outside.iter().all(|name| name != "evil"), "{outside:?}");
        refused
    }
}

/// An entry of a tar archive as it is written, whatever its name.
fn entry(name: &[u8], sort: EntryType, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(sort);
    header.set_size(content.len() as u64);
    header.set_mode(0o4777);
    if !link.is_empty() {
        header.set_link_name(link).unwrap();
    }
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A crate, with something more.
fn tar_with(more: &[u8]) -> Vec<u8> {
    let manifest = entry(b"Cargo.toml", EntryType::Regular, "", MANIFEST.as_bytes());
    gz(&[&manifest, more, &[0; 1024]].concat())
}

fn zip_of(files: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content, mode) in files {
        let options = SimpleFileOptions::default().unix_permissions(mode & 0o777);
        match mode & 0o170_000 {
            0o120_000 => writer.add_symlink(*name, String::from_utf8_lossy(content), options).unwrap(),
            _ => {
                writer.start_file(*name, options).unwrap();
                writer.write_all(content).unwrap();
            }
        }
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn archives_of_crates() {
    let long = format!("hello-0.1.0/{}/lib.rs", "a".repeat(120));
    for deep in [false, true] {
        let place = Place::new();
        let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let prefix = if deep { "hello-0.1.0/" } else { "./" };
        for (name, content, mode) in
            [("Cargo.toml", MANIFEST, 0o600), ("src/lib.rs", "// here", 0o644), ("run.sh", "", 0o4755)]
        {
            let mut header = Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(mode);
            tar.append_data(&mut header, format!("{prefix}{name}"), content.as_bytes()).unwrap();
        }
        if deep {
            let mut header = Header::new_gnu();
            header.set_size(0);
            tar.append_data(&mut header, &long, io::empty()).unwrap();
        }
        let archive = place.write("a.tar.gz", tar.into_inner().unwrap().finish().unwrap());
        let installed = place.install(Source::TarGz(archive)).unwrap();
        assert_eq!(installed, Installed { plugin: "hello".into(), path: "hello".into() });
        assert_eq!(place.entries(), ["hello"]);
        let at = place.workplace.plugins.join("hello");
        assert_eq!(fs::read_to_string(at.join("src/lib.rs")).unwrap(), "// here");
        assert_eq!(fs::metadata(at.join("run.sh")).unwrap().permissions().mode() & 0o7777, 0o755);
        assert_eq!(at.join("a".repeat(120)).join("lib.rs").exists(), deep);
        let again = place.install(Source::TarGz(place.dir.path().join("a.tar.gz"))).unwrap_err();
        assert!(matches!(&again, NotInstalled::Taken(told) if told.contains("already")), "{again}");
        assert_eq!(place.entries(), ["hello"]);
    }
    let place = Place::new();
    let files: [(&str, &[u8], u32); 2] =
        [("x/Cargo.toml", MANIFEST.as_bytes(), 0o100_644), ("x/src/lib.rs", b"// here", 0o100_644)];
    let archive = place.write("a.zip", zip_of(&files));
    assert_eq!(place.install(Source::Zip(archive)).unwrap().plugin, "hello");
    assert_eq!(fs::read_to_string(place.workplace.plugins.join("hello/src/lib.rs")).unwrap(), "// here");
}

#[test]
fn nothing_gets_out_of_an_archive() {
    let file = |name: &[u8]| entry(name, EntryType::Regular, "", b"x");
    let special = |sort, link| entry(b"evil", sort, link, b"");
    let pax = |record: &str| {
        [entry(b"pax", EntryType::XHeader, "", record.as_bytes()), entry(b"plain", EntryType::Regular, "", b"x")]
            .concat()
    };
    let long = [entry(b"long", EntryType::GNULongName, "", b"../evil\0"), file(b"plain")].concat();
    for (more, told) in [
        (file(b"../evil"), "leads out"),
        (file(b"src/../../evil"), "leads out"),
        (file(b"/tmp/evil"), "leads out"),
        (long, "leads out"),
        (pax("16 path=../evil\n"), "leads out"),
        (pax("11 size=99\n"), "larger than"),
        (file(b"src\\evil"), "backslashes"),
        (file(b"src/\nevil"), "control characters"),
        (file(b"src/\xff"), "not UTF-8"),
        (file(b"a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a"), "too deep"),
        (special(EntryType::Symlink, "/etc/passwd"), "links, devices"),
        (special(EntryType::Link, "Cargo.toml"), "links, devices"),
        (special(EntryType::Char, ""), "links, devices"),
        (special(EntryType::Block, ""), "links, devices"),
        (special(EntryType::Fifo, ""), "links, devices"),
        (special(EntryType::GNUSparse, ""), "links, devices"),
        (file(b"Cargo.toml"), "twice"),
        (file(b"Cargo.toml/x"), "as a file and as a directory"),
        (vec![7; 512], "no whole `.tar.gz`"),
    ] {
        let place = Place::new();
        let archive = place.write("a.tar.gz", tar_with(&more));
        let refused = place.refused(Source::TarGz(archive)).to_string();
        assert!(refused.contains(told), "{told}: {refused}");
    }
    for (name, mode, told) in [
        ("../evil", 0o100_644, "leads out"),
        ("/evil", 0o100_644, "leads out"),
        ("a\\..\\evil", 0o100_644, "backslashes"),
        ("evil", 0o120_777, "links, devices"),
    ] {
        let place = Place::new();
        let archive = zip_of(&[("Cargo.toml", MANIFEST.as_bytes(), 0o100_644), (name, b"/etc/passwd", mode)]);
        let refused = place.refused(Source::Zip(place.write("a.zip", archive))).to_string();
        assert!(refused.contains(told), "{told}: {refused}");
    }
}

#[test]
fn an_archive_does_not_grow_without_bound() {
    let bounds = InstallBounds { bytes: 100_000, entries: 50, depth: 8 };
    let zeros = vec![0; 1 << 20];
    let many: Vec<u8> =
        (0..100).flat_map(|number| entry(format!("f{number}").as_bytes(), EntryType::Regular, "", b"")).collect();
    let deep: Vec<u8> = (0..10)
        .flat_map(|number| entry(format!("{number}/a/b/c/d/e/f").as_bytes(), EntryType::Regular, "", b""))
        .collect();
    let name = [entry(b"long", EntryType::GNULongName, "", &zeros), entry(b"x", EntryType::Regular, "", b"")].concat();
    for (more, told) in [
        (entry(b"zeros", EntryType::Regular, "", &zeros), "larger than the 100000 bytes"),
        (many, "more than 50 files"),
        (deep, "more than 50 files"),
        (name, "too long"),
    ] {
        let place = Place::bounded(bounds);
        let archive = place.write("a.tar.gz", tar_with(&more));
        let refused = place.refused(Source::TarGz(archive)).to_string();
        assert!(refused.contains(told), "{told}: {refused}");
    }
    let names: Vec<_> = (0..100).map(|number| format!("f{number}")).collect();
    let many: Vec<(&str, &[u8], u32)> = names.iter().map(|name| (&**name, &b""[..], 0o100_644)).collect();
    for (files, told) in [(&[("zeros", &zeros[..], 0o100_644)][..], "larger than"), (&many, "more than 50 files")] {
        let place = Place::bounded(bounds);
        let refused = place.refused(Source::Zip(place.write("a.zip", zip_of(files))));
        assert!(matches!(&refused, NotInstalled::TooLarge(why) if why.contains(told)), "{refused}");
    }
}

#[test]
fn what_is_no_plugin_is_refused() {
    let manifest = |text: &str| zip_of(&[("Cargo.toml", text.as_bytes(), 0o100_644)]);
    for (archive, told) in [
        (Vec::new(), "no `.zip`"),
        (b"PK\x05\x06".to_vec(), "no `.zip`"),
        (zip_of(&[]), "empty"),
        (zip_of(&[("README.md", b"", 0o100_644)]), "no `Cargo.toml`"),
        (zip_of(&[("a/Cargo.toml", b"", 0o100_644), ("b/Cargo.toml", b"", 0o100_644)]), "no `Cargo.toml`"),
        (manifest("[package"), "Cargo.toml, line 1"),
        (manifest("[package]\nname = \"../evil\"\n"), "no name for a plugin"),
        (manifest("[package]\nname = \"hello\"\nversion = \"0.1.0\"\n"), "crate-type"),
    ] {
        let place = Place::new();
        let refused = place.refused(Source::Zip(place.write("a.zip", archive)));
        assert!(matches!(&refused, NotInstalled::Unfit(why) if why.contains(told)), "{told}: {refused}");
    }
    let whole = tar_with(b"");
    for archive in [&b""[..], b"not gzip", &whole[..whole.len() / 2]] {
        let place = Place::new();
        let refused = place.refused(Source::TarGz(place.write("a.tar.gz", archive)));
        assert!(matches!(refused, NotInstalled::Unfit(_)), "{refused}");
    }
    let place = Place::new();
    for (path, told) in [
        (place.write("a.so", "text"), "it is no plugin's library: it is no ELF file"),
        (place.write("b.so", "ELF ../evil"), "no name for a plugin"),
        (place.write("X.rs", ""), "no name for a plugin"),
        (place.write("notes.txt", ""), "cannot be installed"),
        (place.dir.path().join("nothing"), "cannot be read"),
        (place.dir.path().join("uploads"), "no `Cargo.toml`"),
    ] {
        let refused = place.refused(Source::Path(path)).to_string();
        assert!(refused.contains(told), "{told}: {refused}");
    }
}

#[test]
fn what_lies_on_this_machine_is_copied() {
    let place = Place::new();
    let library = place.write("build/libhello.so", "ELF hello");
    let single = place.write("drafts/greeter.rs", "//! A plugin.\n");
    place.write("sources/Cargo.toml", MANIFEST.replace("hello", "whole"));
    place.write("sources/src/lib.rs", "");
    place.write("sources/target/debug/huge", "");
    let sources = place.dir.path().join("sources");
    for (path, entry) in [(&library, "hello.so"), (&single, "greeter.rs"), (&sources, "whole")] {
        assert_eq!(place.install(Source::Path(path.clone())).unwrap().path, Path::new(entry));
    }
    assert_eq!(place.entries(), ["greeter.rs", "hello.so", "whole"]);
    assert!(library.exists() && !place.workplace.plugins.join("whole/target").exists());
    let inside = place.install(Source::Path(place.workplace.plugins.join("whole"))).unwrap_err();
    assert!(inside.to_string().contains("lies in the plugins directory already"), "{inside}");
    std::os::unix::fs::symlink("/etc/passwd", sources.join("link")).unwrap();
    fs::remove_dir_all(place.workplace.plugins.join("whole")).unwrap();
    let refused = place.install(Source::Path(sources)).unwrap_err();
    assert!(refused.to_string().contains("links, devices"), "{refused}");
    assert_eq!(place.entries(), ["greeter.rs", "hello.so"]);
}

#[test]
fn a_place_that_is_taken() {
    let place = Place::new();
    place.write("plugins/hello.rs", "// the old one");
    place.write("plugins/other", "");
    let archive = place.write("a.tar.gz", tar_with(b""));
    let there = |entries: &[(&str, Option<&str>)]| {
        entries.iter().map(|(name, path)| ((*name).to_owned(), path.map(PathBuf::from))).collect::<BTreeMap<_, _>>()
    };
    let install = |source: &Source, replace, there: &BTreeMap<String, Option<PathBuf>>| {
        place.workplace.install(
            &Upload { source: source.clone(), name: None, replace, there: there.clone(), by_name: BTreeMap::new() },
            told_to_nobody(),
        )
    };
    let sources = Source::TarGz(archive);
    let known = there(&[("hello", Some("hello.rs"))]);
    // An entry's path may be told whole.
    let whole = |entry: &str| place.workplace.plugins.join(entry).into_os_string().into_string().unwrap();
    for (replace, there, told) in [
        (false, known.clone(), "there is a plugin `hello`, in hello.rs"),
        (true, there(&[("hello", None)]), "compiled into the server"),
        (true, there(&[("world", Some("hello/Cargo.toml"))]), "is the plugin `world`"),
        (true, there(&[("world", Some(&whole("hello")))]), "is the plugin `world`"),
    ] {
        let refused = install(&sources, replace, &there).unwrap_err();
        assert!(matches!(&refused, NotInstalled::Taken(why) if why.contains(told)), "{refused}");
        assert_eq!(place.entries(), ["hello.rs", "other"]);
    }
    // What is said to lie elsewhere is left alone.
    let elsewhere = place.write("elsewhere/hello.rs", "");
    let refused = install(&sources, true, &there(&[("hello", elsewhere.to_str())]));
    assert!(refused.is_ok() && elsewhere.exists());
    fs::remove_dir_all(place.workplace.plugins.join("hello")).unwrap();
    // Of another sort: the old entry goes.
    install(&sources, true, &known).unwrap();
    assert_eq!(place.entries(), ["hello", "other"]);
    // Of the same sort: they change places.
    place.write("plugins/hello/old", "");
    install(&sources, true, &there(&[("hello", Some("hello"))])).unwrap();
    assert_eq!(place.entries(), ["hello", "other"]);
    assert!(!place.workplace.plugins.join("hello/old").exists());
    let library = Source::Artifact(place.write("upload", "ELF hello"));
    install(&library, true, &there(&[("hello", Some(&whole("hello")))])).unwrap();
    install(&library, true, &there(&[("hello", Some("hello.so"))])).unwrap();
    assert_eq!(place.entries(), ["hello.so", "other"]);
    // All that went can be had back.
    let removed = place.removed();
    assert_eq!(removed.keys().collect::<Vec<_>>(), ["hello", "hello.rs", "hello.so"]);
    assert_eq!(fs::read_to_string(&removed["hello.rs"]).unwrap(), "// the old one");
}

#[test]
fn what_is_replaced_can_be_had_back_with_all_that_was_in_it() {
    let place = Place::new();
    place.write("plugins/hello/Cargo.toml", MANIFEST);
    place.write("plugins/hello/.git/HEAD", "ref: refs/heads/main");
    place.write("plugins/hello/notes.txt", "of the operator's");
    let archive = place.write("a.tar.gz", tar_with(b""));
    let there = BTreeMap::from([("hello".to_owned(), Some(PathBuf::from("hello")))]);
    let upload = Upload { source: Source::TarGz(archive), name: None, replace: true, there, by_name: BTreeMap::new() };
    place.workplace.install(&upload, told_to_nobody()).unwrap();
    assert_eq!(place.entries(), ["hello"]);
    assert!(!place.workplace.plugins.join("hello/notes.txt").exists());
    let before = &place.removed()["hello"];
    assert_eq!(fs::read_to_string(before.join("notes.txt")).unwrap(), "of the operator's");
    assert_eq!(fs::read_to_string(before.join(".git/HEAD")).unwrap(), "ref: refs/heads/main");
}

#[test]
fn what_is_another_plugin_than_was_asked_for_is_not_put_there() {
    let place = Place::new();
    place.write("plugins/hello/notes.txt", "of the operator's");
    let archive = place.write("a.tar.gz", tar_with(b""));
    let there = BTreeMap::from([("hello".to_owned(), Some(PathBuf::from("hello")))]);
    let upload = Upload {
        source: Source::TarGz(archive),
        name: Some("greeter".to_owned()),
        replace: true,
        there,
        by_name: BTreeMap::new(),
    };
    let arrived = Arc::new(AtomicBool::new(false));
    let arriving: Arriving = Box::new({
        let arrived = arrived.clone();
        move |_| arrived.store(true, Ordering::SeqCst)
    });
    let refused = place.workplace.install(&upload, arriving).unwrap_err();
    assert_eq!(refused.to_string(), "it is the plugin `hello`, and not `greeter`");
    assert!(!arrived.load(Ordering::SeqCst) && place.workplace.plugins.join("hello/notes.txt").exists());
    let wanted = Upload { name: Some("hello".to_owned()), ..upload };
    place.workplace.install(&wanted, told_to_nobody()).unwrap();
}

#[test]
fn what_cannot_be_kept_is_not_replaced() {
    for entry in ["hello", "hello.so"] {
        let place = Place::new();
        place.write(&format!("plugins/{entry}/notes.txt"), "of the operator's");
        // Where it would be kept there is a file.
        place.write("removed", "");
        let archive = place.write("a.tar.gz", tar_with(b""));
        let there = BTreeMap::from([("hello".to_owned(), Some(PathBuf::from(entry)))]);
        let refused = place.workplace.install(
            &Upload { source: Source::TarGz(archive), name: None, replace: true, there, by_name: BTreeMap::new() },
            told_to_nobody(),
        );
        let why = refused.unwrap_err().to_string();
        assert!(why.contains(&format!("{entry}, which it replaces, cannot be moved to ")), "{why}");
        assert_eq!(place.entries(), [entry]);
        let notes = place.workplace.plugins.join(entry).join("notes.txt");
        assert_eq!(fs::read_to_string(notes).unwrap(), "of the operator's");
    }
}

#[test]
fn only_regular_files_of_a_bounded_size_are_taken() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::os::unix::fs::symlink;
    let place = Place::bounded(InstallBounds { bytes: 1 << 20, ..InstallBounds::default() });
    let at = |name: &str| place.dir.path().join(name);
    for (extension, more) in [("so", ""), ("rs", ""), ("zip", "the archive"), ("tar.gz", "the archive")] {
        let endless = at(&format!("endless.{extension}"));
        symlink("/dev/zero", &endless).unwrap();
        let refused = place.refused(Source::Path(endless)).to_string();
        assert!(refused.contains("it is a device, and only regular files are read"), "{refused}");
        assert!(refused.starts_with(more), "{refused}");
        let pipe = at(&format!("pipe.{extension}"));
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let refused = place.refused(Source::Path(pipe)).to_string();
        assert!(refused.contains("it is a pipe, and only regular files are read"), "{refused}");
        // It takes no room on the disk.
        let huge = at(&format!("huge-{extension}.{extension}"));
        fs::File::create(&huge).unwrap().set_len(1 << 40).unwrap();
        let refused = place.refused(Source::Path(huge));
        assert!(matches!(&refused, NotInstalled::TooLarge(_)), "{refused}");
    }
    for (sort, told) in [(FileType::Fifo, "links, devices"), (FileType::Socket, "links, devices")] {
        let name = format!("crate-{sort:?}");
        place.write(&format!("{name}/Cargo.toml"), MANIFEST);
        mknodat(CWD, at(&name).join("src"), sort, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let refused = place.refused(Source::Path(at(&name))).to_string();
        assert!(refused.contains(told), "{refused}");
    }
}

#[test]
fn what_is_being_installed_is_nobodys_to_remove() {
    let dir = tempfile::tempdir().unwrap();
    let (plugins, uploads) = (dir.path().join("plugins"), dir.path().join("uploads"));
    fs::create_dir_all(&plugins).unwrap();
    let ours = Incoming::beside(&plugins).unwrap();
    let left = plugins.join(".incoming-1-1");
    fs::create_dir(&left).unwrap();
    let long_ago = SystemTime::now() - 2 * OLD;
    for folder in [ours.path().parent().unwrap(), &left] {
        fs::File::open(folder).unwrap().set_modified(long_ago).unwrap();
    }
    incoming::remove_left_behind(&plugins, &uploads);
    assert!(ours.path().parent().unwrap().exists() && !left.exists());
    assert_ne!(Incoming::beside(&plugins).unwrap().path(), Incoming::beside(&plugins).unwrap().path());
}

#[test]
fn what_was_left_behind_goes() {
    let dir = tempfile::tempdir().unwrap();
    let (plugins, data) = (dir.path().join("plugins"), dir.path().join("data"));
    fs::create_dir_all(plugins.join(".incoming-1-1")).unwrap();
    fs::create_dir_all(plugins.join(".incoming-1-2")).unwrap();
    let long_ago = SystemTime::now() - 2 * OLD;
    fs::File::open(plugins.join(".incoming-1-1")).unwrap().set_modified(long_ago).unwrap();
    let identify: Identify = Arc::new(|_: &Path| Err(Failure::new(Stage::Verify, "no")));
    let installer = Installer::new(&plugins, &data, identify).unwrap();
    assert_eq!(fs::metadata(installer.uploads()).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(!plugins.join(".incoming-1-1").exists() && plugins.join(".incoming-1-2").exists());
}
