//! Real directories: which entries are found, what they are called, what is wrong with them, and when their fingerprints change.

use super::*;
use crate::known::Included;
use crate::{
    known::KnowledgeStore,
    observed::{Identified, Identify},
    tools::Tools,
};
use camlock_policy::Fingerprint;
use std::{
    os::unix::{ffi::OsStrExt, fs::symlink},
    sync::atomic::{AtomicUsize, Ordering},
};

struct Place {
    dir: tempfile::TempDir,
    directory: Directory,
    identified: Arc<AtomicUsize>,
}

const MANIFEST: &str = "[package]\nname = \"NAME\"\n[lib]\ncrate-type = [\"cdylib\"]\n";

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (directory, identified) = directory_in(dir.path());
        fs::create_dir(dir.path().join("plugins")).unwrap();
        Place { dir, directory, identified }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn write_crate(&self, name: &str) {
        self.write(&format!("plugins/{name}/Cargo.toml"), MANIFEST.replace("NAME", name));
        self.write(&format!("plugins/{name}/src/lib.rs"), "");
    }

    fn scan(&self) -> Vec<Entry> {
        let scan = self.directory.scan();
        assert_eq!(scan.trouble, None);
        scan.entries
    }

    fn fingerprint(&self, name: &str) -> Fingerprint {
        self.scan().into_iter().find(|entry| entry.name == name).expect("it is there").fingerprint
    }

    /// Each entry's name and the beginning of what is wrong with it.
    fn problems(&self) -> Vec<(String, String)> {
        let entries = self.scan().into_iter();
        entries.map(|entry| (entry.name, entry.problem.map(|problem| problem.reason).unwrap_or_default())).collect()
    }
}

fn directory_in(dir: &Path) -> (Directory, Arc<AtomicUsize>) {
    let identified = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&identified);
    // A library is a file with its name in it, here.
    let identify: Identify = Arc::new(move |path| {
        count.fetch_add(1, Ordering::Relaxed);
        let text = fs::read_to_string(path).unwrap_or_default();
        if text == "taken away meanwhile" {
            fs::remove_file(path).unwrap();
        }
        let name = text.strip_prefix("library ").map(|name| name.trim().to_owned());
        let identified = name.map(|name| Identified { name, claims: Vec::new() });
        identified.ok_or_else(|| Failure::new(Stage::Verify, "it is not an ELF file"))
    });
    let memory = KnowledgeStore::at(dir.join("data/known"));
    let tools = Tools::from_environment();
    let common = EntryContext { identify, tools, memory, profile: "quick" };
    (Directory::new(dir.join("plugins"), &dir.join("data"), common), identified)
}

#[test]
fn entries_are_found_and_everything_else_is_left_alone() {
    let place = Place::new();
    place.write_crate("hello");
    place.write("plugins/single.rs", "");
    place.write("plugins/libready.so", "library ready\n");
    for ignored in ["README.md", "_draft/Cargo.toml", ".hidden.rs", "single.rs~", "notes/x.txt", "target/debug/x.so"] {
        place.write(&format!("plugins/{ignored}"), "");
    }
    let entries = place.scan();
    let short: Vec<_> = entries.iter().map(|entry| (&*entry.name, entry.kind, entry.problem.as_ref())).collect();
    assert_eq!(
        short,
        [("hello", Kind::Crate, None), ("ready", Kind::Prebuilt, None), ("single", Kind::SingleFile, None)]
    );
    assert_eq!(entries[0].path, place.path("plugins/hello"));
    assert_eq!(place.scan(), entries, "the same again");
    assert_eq!(place.identified.load(Ordering::Relaxed), 1, "what did not change is not read again");
    assert_eq!(directory_in(place.dir.path()).0.scan().entries, entries, "and for a server that starts");
}

#[test]
fn the_directory_itself_may_be_missing_or_unreadable() {
    let place = Place::new();
    place.write_crate("hello");
    assert_eq!(place.scan().len(), 1);
    fs::rename(place.path("plugins"), place.path("away")).unwrap();
    assert_eq!(place.scan(), []);
    fs::rename(place.path("away"), place.path("plugins")).unwrap();
    assert_eq!(place.scan().len(), 1);
    fs::remove_dir_all(place.path("plugins")).unwrap();
    place.write("plugins", "a file");
    let scan = place.directory.scan();
    let trouble = scan.trouble.expect("trouble");
    assert!(
        trouble.starts_with("the plugins directory ") && trouble.contains(" cannot be read: not a directory"),
        "{trouble}"
    );
}

#[test]
fn what_is_taken_away_while_it_is_read_is_gone_and_not_broken() {
    let place = Place::new();
    place.write("plugins/libready.so", "library ready\n");
    assert_eq!(place.scan().len(), 1);
    place.write("plugins/libready.so", "taken away meanwhile");
    assert_eq!(place.scan(), []);
}

#[test]
fn what_is_wrong_with_an_entry_is_a_sentence() {
    let place = Place::new();
    place.write("plugins/broken/Cargo.toml", "[package\n");
    place.write("plugins/nolib/Cargo.toml", "[package]\nname = \"nolib\"\n");
    place.write("plugins/Upper.rs", "");
    place.write("plugins/bad.so", "nothing");
    place.write("plugins/badname.so", "library Bad");
    symlink("gone", place.path("plugins/dangling")).unwrap();
    symlink("gone.rs", place.path("plugins/lost.rs")).unwrap();
    symlink("gone", place.path("plugins/Not A Plugin")).unwrap();
    fs::write(place.path("plugins").join(OsStr::from_bytes(b"\xffx.rs")), "").unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        place.path("plugins/pipe.rs"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let problems = place.problems();
    let expected = [
        ("Upper", "Upper.rs: `Upper` is no name for a plugin"),
        ("bad", "it is not an ELF file"),
        ("Bad", "`Bad` is no name for a plugin"),
        ("broken", "Cargo.toml, line 1: "),
        ("dangling", "`dangling` is a link to `gone`, which cannot be followed: no such file or directory"),
        ("lost", "`lost.rs` is a link to `gone.rs`, which cannot be followed: no such file or directory"),
        ("nolib", "Cargo.toml: it builds no library that a server can load"),
        ("pipe", "`pipe.rs` is neither a file nor a directory"),
        ("\u{fffd}x", "`\u{fffd}x.rs` has a name that is not UTF-8; give it another one"),
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:?}");
    for ((name, problem), (expected_name, begins)) in problems.iter().zip(expected) {
        assert!(name == expected_name && problem.starts_with(begins), "{name}: {problem}");
    }
}

#[test]
fn a_plugin_keeps_its_name_while_its_manifest_is_broken() {
    let place = Place::new();
    place.write("plugins/folder/Cargo.toml", MANIFEST.replace("NAME", "hello"));
    place.write("plugins/libready.so", "library ready");
    assert_eq!(place.problems(), [("hello".to_owned(), String::new()), ("ready".to_owned(), String::new())]);
    place.write("plugins/folder/Cargo.toml", "[package\n");
    place.write("plugins/libready.so", "half a libr");
    let names: Vec<_> = place.scan().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["hello", "ready"]);
    let large = fs::File::create(place.path("plugins/libready.so")).unwrap();
    large.set_len(5 << 30).unwrap();
    let (name, problem) = place.problems().pop().unwrap();
    assert_eq!(name, "ready");
    assert_eq!(problem, "`libready.so` is 5120 MiB, more than the 1024 MiB that are read");
}

#[test]
fn marks_change_with_what_decides_a_build_and_with_nothing_else() {
    let place = Place::new();
    place.write_crate("hello");
    place.write("shared/src/lib.rs", "");
    place.write("shared/Cargo.toml", "[package]\nname = \"shared\"\n");
    place.write(
        "plugins/hello/Cargo.toml",
        MANIFEST.replace("NAME", "hello") + "[dependencies]\nshared = { path = \"../../shared\" }\n",
    );
    let first = place.fingerprint("hello");
    place.write("plugins/hello/src/lib.rs", "");
    place.write("plugins/hello/target/x", "");
    place.write("data/builds/x", "");
    assert_eq!(place.fingerprint("hello"), first);
    assert_eq!(place.directory.outside(), BTreeSet::from([place.path("shared").canonicalize().unwrap()]));
    for (name, text) in [
        ("plugins/hello/src/lib.rs", "// two"),
        ("shared/src/lib.rs", "// two"),
        ("plugins/hello/Cargo.lock", "version = 4\n"),
        ("plugins/.cargo/config.toml", "[build]\nrustflags = []\n"),
        ("plugins/hello/rust-toolchain.toml", "[toolchain]\nchannel = \"stable\"\n"),
        ("plugins/hello/migrations/0001_first.sql", ""),
        ("plugins/hello/migrations/0001_first.sql", "-- Another one."),
    ] {
        let before = place.fingerprint("hello");
        place.write(name, text);
        assert_ne!(place.fingerprint("hello"), before, "{name}");
    }
    // The same sources elsewhere are the same.
    let fingerprint = place.fingerprint("hello");
    let other = Place::new();
    for part in ["plugins", "shared"] {
        fs::rename(place.path(part), other.path(part))
            .or_else(|_| {
                fs::remove_dir(other.path(part))?;
                fs::rename(place.path(part), other.path(part))
            })
            .unwrap();
    }
    assert_eq!(other.fingerprint("hello"), fingerprint);
}

#[test]
fn links_are_followed_wherever_they_lead() {
    let place = Place::new();
    place.write("elsewhere/hello/Cargo.toml", MANIFEST.replace("NAME", "hello"));
    place.write("elsewhere/one.rs", "// one");
    symlink(place.path("elsewhere/hello"), place.path("plugins/hello")).unwrap();
    symlink("../elsewhere/one.rs", place.path("plugins/one.rs")).unwrap();
    let (hello, one) = (place.fingerprint("hello"), place.fingerprint("one"));
    let elsewhere = place.path("elsewhere").canonicalize().unwrap();
    assert_eq!(place.directory.outside(), BTreeSet::from([elsewhere.join("hello"), elsewhere.join("one.rs")]));
    place.write("elsewhere/hello/src/lib.rs", "");
    place.write("elsewhere/one.rs", "// two");
    assert_ne!(place.fingerprint("hello"), hello);
    assert_ne!(place.fingerprint("one"), one);
    fs::remove_dir_all(place.path("elsewhere/hello")).unwrap();
    assert!(place.problems()[0].1.contains("cannot be followed"));
}

#[test]
fn included_files_count_once_they_are_known() {
    let place = Place::new();
    place.write_crate("hello");
    place.write("outside.txt", "one");
    let outside = place.path("outside.txt").canonicalize().unwrap();
    let first = place.fingerprint("hello");
    let mut known = BuildKnowledge::default();
    known.included.insert(outside.clone(), Included::Since(Some("something else".to_owned())));
    place.directory.learn("hello", known.clone()).unwrap();
    let changed_since = place.fingerprint("hello");
    assert_ne!(changed_since, first);
    known.included.insert(outside, Included::Always);
    place.directory.learn("hello", known).unwrap();
    let included = place.fingerprint("hello");
    assert_eq!(directory_in(place.dir.path()).0.scan().entries[0].fingerprint, included, "a restart knows it too");
    place.write("outside.txt", "two");
    assert_ne!(place.fingerprint("hello"), included);
}

#[test]
fn the_mark_of_a_build_is_that_of_what_was_built() {
    let place = Place::new();
    place.write_crate("hello");
    let path = place.path("plugins/hello");
    let take = || place.directory.snapshot(&path).expect("it is there");
    let before = take();
    assert_eq!(&place.directory.fingerprint_after(&before, SystemTime::now()), before.fingerprint());
    assert_eq!(place.fingerprint("hello"), *before.fingerprint());

    // An edit during the build.
    place.write("plugins/hello/src/lib.rs", "// edited");
    let built = place.directory.fingerprint_after(&before, SystemTime::now());
    assert_ne!(built, place.fingerprint("hello"));

    // Changed and changed back: built again, once.
    let before = take();
    place.write("plugins/hello/src/lib.rs", "// another");
    place.write("plugins/hello/src/lib.rs", "// edited");
    assert_ne!(place.directory.fingerprint_after(&before, SystemTime::now()), place.fingerprint("hello"));
    let before = take();
    place.write("plugins/hello/src/lib.rs", "// edited");
    assert_eq!(place.directory.fingerprint_after(&before, SystemTime::now()), place.fingerprint("hello"));
}

#[test]
fn an_included_file_that_changed_during_the_first_build_is_not_trusted() {
    let place = Place::new();
    place.write_crate("hello");
    place.write("outside.txt", "one");
    let path = place.path("plugins/hello");
    let learn = |file: &str| {
        let mut known = place.directory.known("hello");
        known.included.insert(place.path(file).canonicalize().unwrap(), Included::Always);
        place.directory.learn("hello", known).unwrap();
    };
    let before = place.directory.snapshot(&path).unwrap();
    let started = SystemTime::now() + std::time::Duration::from_secs(5);
    learn("outside.txt");
    assert_eq!(
        place.directory.fingerprint_after(&before, started),
        place.fingerprint("hello"),
        "it was written before the build"
    );

    let before = place.directory.snapshot(&path).unwrap();
    let started = SystemTime::now();
    place.write("second.txt", "one");
    learn("second.txt");
    assert_ne!(place.directory.fingerprint_after(&before, started), place.fingerprint("hello"));
}

/// The author removed an `include_str!`: the build of that edit is the last one that it costs.
#[test]
fn what_a_build_does_not_include_any_more_is_no_change_of_it() {
    let place = Place::new();
    place.write_crate("hello");
    place.write("outside.txt", "one");
    let mut known = BuildKnowledge::default();
    known.included.insert(place.path("outside.txt").canonicalize().unwrap(), Included::Always);
    known.variables.insert("CAMLOCK_TEST_NOWHERE".to_owned());
    place.directory.learn("hello", known).unwrap();
    let before = place.directory.snapshot(&place.path("plugins/hello")).unwrap();
    place.directory.learn("hello", BuildKnowledge::default()).unwrap();
    let built = place.directory.fingerprint_after(&before, SystemTime::now());
    assert_ne!(built, *before.fingerprint());
    assert_eq!(built, place.fingerprint("hello"));
}

#[test]
fn a_folder_that_is_no_plugin_is_told() {
    let place = Place::new();
    for folder in ["assets", ".hidden", "_draft", "target"] {
        fs::create_dir(place.path("plugins").join(folder)).unwrap();
    }
    fs::write(place.path("plugins").join("README.md"), "").unwrap();
    let scan = place.directory.scan();
    assert_eq!((scan.entries.len(), scan.ignored), (0, BTreeSet::from([place.path("plugins/assets")])));
    fs::write(place.path("plugins/assets/Cargo.toml"), MANIFEST.replace("NAME", "assets")).unwrap();
    let scan = place.directory.scan();
    assert_eq!((scan.entries.len(), scan.ignored), (1, BTreeSet::new()));
}

#[test]
fn a_program_is_told_to_become_a_library() {
    let place = Place::new();
    fs::create_dir_all(place.path("plugins/program/src")).unwrap();
    fs::write(place.path("plugins/program/src/main.rs"), "fn main() {}").unwrap();
    fs::write(place.path("plugins/program/Cargo.toml"), "[package]\nname = \"program\"\n").unwrap();
    let problem = place.directory.scan().entries[0].problem.clone().unwrap();
    assert!(
        problem.reason.contains("it has no library, which a plugin is: move its code from `src/main.rs`"),
        "{problem}"
    );
    fs::write(place.path("plugins/program/src/lib.rs"), "").unwrap();
    let problem = place.directory.scan().entries[0].problem.clone().unwrap();
    assert!(problem.reason.contains("it builds no library that a server can load: add `crate-type"), "{problem}");
}
