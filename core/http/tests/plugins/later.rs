//! A later version of the contract, which does not exist yet: a copy of the source below `target/`, with a function more at the
//! end of each of the two tables that grow. A host and plugins are built against it.

use camlock_testing::{repository, run_cargo};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// A file, a text that is in it exactly once, and what takes that text's place.
type Change = (String, String, String);

/// What makes the contract a later one.
fn changes() -> Vec<Change> {
    let path = repository().join("core/loader/fixtures/later/changes.txt");
    let text = fs::read_to_string(&path).expect("the changes can be read");
    let changes = text.split("\n==== ").skip(1).map(|change| {
        let (file, change) = change.split_once('\n').expect("a file's name");
        let (before, after) = change.split_once("\n---- becomes\n").expect("what it becomes");
        (file.to_owned(), before.to_owned(), after.trim_end().to_owned())
    });
    changes.collect()
}

/// What the copy consists of: what the loader's example is built from, and the plugins.
const COPIED: &[(&str, &str)] =
    &[("plugin-api", "plugin-api"), ("core", "core"), ("core/loader/fixtures/later", "plugins")];

const MEMBERS: [&str; 3] = ["core/loader", "plugins/greeter", "plugins/needy"];

/// Folders that are not copied: what is built from them needs none of these.
const LEFT_OUT: [&str; 2] = ["fixtures", "target"];

/// The host at the later contract.
pub fn host() -> &'static Path {
    static HOST: OnceLock<PathBuf> = OnceLock::new();
    HOST.get_or_init(|| build(&["-p", "camlock-loader", "--example", "try_plugin"]).join("examples/try_plugin"))
}

/// A plugin at the later contract.
pub fn plugin(name: &str) -> PathBuf {
    build(&["-p", name]).join(format!("lib{name}.so"))
}

/// Builds something of the copy, from the packages that this workspace is built from.
fn build(what: &[&str]) -> PathBuf {
    let later = copy();
    run_cargo(later, &[&["build", "--offline"], what].concat());
    later.join("target/debug")
}

/// The copy, made anew where it differs: cargo goes by the files' times.
fn copy() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| {
        let (from, to) = (repository(), repository().join("target/later"));
        let mut changes = changes();
        for (source, place) in COPIED {
            copy_dir(&from.join(source), &to.join(place), &mut changes).expect("the source can be copied");
        }
        assert!(changes.is_empty(), "these files are not there: {changes:?}");
        let manifest = fs::read_to_string(from.join("Cargo.toml")).expect("the workspace's manifest");
        let (_, inherited) = manifest.split_once("\n[workspace.package]\n").expect("what its members inherit");
        let workspace =
            format!("[workspace]\nresolver = \"3\"\nmembers = {MEMBERS:?}\n\n[workspace.package]\n{inherited}");
        write(&to.join("Cargo.toml"), workspace.as_bytes()).expect("it can be written");
        // Cargo shortens the copy, so it is compared with what it was made of.
        let lock = fs::read(from.join("Cargo.lock")).expect("the lock file");
        if fs::read(to.join("Cargo.lock.whole")).ok().as_ref() != Some(&lock) {
            fs::write(to.join("Cargo.lock"), &lock).expect("it can be written");
            fs::write(to.join("Cargo.lock.whole"), &lock).expect("it can be written");
        }
        to
    })
}

fn copy_dir(from: &Path, to: &Path, changes: &mut Vec<Change>) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let mut expected = BTreeSet::new();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, from) = (entry.file_name(), entry.path());
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        expected.insert(name.clone());
        let to = to.join(name);
        if from.is_dir() {
            copy_dir(&from, &to, changes)?;
        } else {
            write(&to, &changed(&from, fs::read(&from)?, changes))?;
        }
    }
    // What is no longer in the source.
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if !expected.contains(&entry.file_name()) {
            let path = entry.path();
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
    }
    Ok(())
}

/// A file as it is in the later version.
fn changed(path: &Path, content: Vec<u8>, changes: &mut Vec<Change>) -> Vec<u8> {
    let mut content = content;
    changes.retain(|(file, before, after)| {
        let concerned = path.ends_with(&**file);
        if concerned {
            let text = String::from_utf8(std::mem::take(&mut content)).expect("source is text");
            assert_eq!(text.matches(&**before).count(), 1, "`{before}` must be in {file} exactly once");
            content = text.replace(&**before, after).into_bytes();
        }
        !concerned
    });
    content
}

/// Writes a file unless it is so already.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|before| before == content) {
        return Ok(());
    }
    fs::write(path, content)
}
