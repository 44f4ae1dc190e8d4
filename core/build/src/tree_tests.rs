//! Real directories: what makes a digest, what leaves it as it is, and what is not read.

use super::*;
use std::{os::unix::fs::symlink, thread, time::Duration};

fn tree_in(dir: &Path) -> Tree {
    Tree::new(dir.canonicalize().unwrap(), SOURCES)
}

fn digest(tree: &mut Tree) -> Hash {
    tree.look(Path::new("/nowhere")).digest
}

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Waits until the stamps of all that was written are old enough to be trusted.
fn settle(tree: &mut Tree) {
    for _ in 0..1000 {
        tree.look(Path::new("/nowhere"));
        if tree.items.iter().all(|item| item.settled) {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("the stamps do not settle");
}

#[test]
fn contents_and_names_make_the_digest_and_nothing_else_does() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "Cargo.toml", "[package]");
    write(dir.path(), "src/lib.rs", "one");
    let mut tree = tree_in(dir.path());
    let first = digest(&mut tree);
    assert_eq!(tree.text(Path::new("Cargo.toml")).as_deref(), Some(&b"[package]"[..]));

    for ignored in ["target/debug/x", ".git/index", "src/lib.rs~", "src/.lib.rs.swp", "src/4913", ".idea/x"] {
        write(dir.path(), ignored, "x");
    }
    fs::create_dir(dir.path().join("empty")).unwrap();
    write(dir.path(), "src/lib.rs", "one");
    assert_eq!(digest(&mut tree), first, "what is not part of it changes nothing");

    for (name, text) in [("src/lib.rs", "two"), ("README.md", ""), (".cargo/config.toml", "[env]"), ("Cargo.lock", "")]
    {
        let before = digest(&mut tree);
        write(dir.path(), name, text);
        assert_ne!(digest(&mut tree), before, "{name}");
    }
    let before = digest(&mut tree);
    fs::rename(dir.path().join("README.md"), dir.path().join("README")).unwrap();
    assert_ne!(digest(&mut tree), before, "a name");
    fs::rename(dir.path().join("README"), dir.path().join("README.md")).unwrap();
    assert_eq!(digest(&mut tree), before);
    assert_eq!(digest(&mut tree_in(dir.path())), before, "and it is the same for whoever looks anew");
}

#[test]
fn a_module_called_target_is_a_source() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "Cargo.toml", "[package]");
    write(dir.path(), "src/target/mod.rs", "one");
    let mut tree = tree_in(dir.path());
    let first = digest(&mut tree);
    write(dir.path(), "src/target/mod.rs", "two");
    assert_ne!(digest(&mut tree), first);
}

#[test]
fn writes_within_one_tick_are_seen() {
    let dir = tempfile::tempdir().unwrap();
    let mut tree = tree_in(dir.path());
    let mut seen = std::collections::HashSet::new();
    for round in 0..500 {
        write(dir.path(), "lib.rs", &format!("{round:04}"));
        assert!(seen.insert(digest(&mut tree)), "round {round}");
    }
}

#[test]
fn what_has_settled_is_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "src/lib.rs", "one");
    let mut tree = tree_in(dir.path());
    settle(&mut tree);
    let edition = tree.seen().edition;
    assert!(tree.is_unchanged());
    // A touch is another edition of the same content.
    File::options().write(true).open(dir.path().join("src/lib.rs")).unwrap().set_modified(SystemTime::now()).unwrap();
    assert!(!tree.is_unchanged());
    let before = tree.seen().digest;
    assert_eq!(digest(&mut tree), before);
    assert_eq!(tree.seen().edition, edition + 1);
}

#[test]
fn links_are_followed_and_loops_end() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    write(outside.path(), "data.txt", "one");
    write(dir.path(), "src/lib.rs", "");
    symlink("..", dir.path().join("src/up")).unwrap();
    symlink("ring", dir.path().join("ring")).unwrap();
    symlink("nowhere", dir.path().join("broken")).unwrap();
    symlink(outside.path(), dir.path().join("linked")).unwrap();
    let mut tree = tree_in(dir.path());
    let first = digest(&mut tree);
    assert_eq!(tree.seen().problem, None);
    assert_eq!(tree.seen().elsewhere, [outside.path().canonicalize().unwrap()]);
    write(outside.path(), "data.txt", "two");
    let second = digest(&mut tree);
    assert_ne!(second, first);
    write(dir.path(), "nowhere", "now it is there");
    assert_ne!(digest(&mut tree), second);
}

#[test]
fn bounds_are_kept_and_told() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "src/lib.rs", "");
    let look = |bounds: ReadBounds| {
        let mut tree = Tree::new(dir.path().canonicalize().unwrap(), bounds);
        let problem = tree.look(Path::new("/nowhere")).problem.clone();
        (problem.expect("a problem"), tree.items.len())
    };
    let sparse = File::create(dir.path().join("disk.img")).unwrap();
    sparse.set_len(5 << 30).unwrap();
    assert_eq!(
        look(SOURCES).0,
        "has a file of 5120 MiB, `disk.img`, more than the 64 MiB that are read: keep data outside the plugin's folder"
    );
    sparse.set_len(2 << 20).unwrap();
    assert_eq!(
        look(ReadBounds { bytes: 1 << 20, ..SOURCES }).0,
        "has more than 1 MiB of files, most of them in `disk.img`: keep data outside the plugin's folder"
    );
    for index in 0..200 {
        write(dir.path(), &format!("rows/{index}"), "");
    }
    let (problem, read) = look(ReadBounds { count: 100, ..SOURCES });
    assert_eq!(problem, "has more than 100 files, most of them in `rows`: keep data outside the plugin's folder");
    assert_eq!(read, 101);
}

#[test]
fn a_file_that_is_not_there_yet_is_seen_when_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap().join("later.txt");
    let mut tree = Tree::new(path, SOURCES);
    assert!(!tree.look(Path::new("/nowhere")).is_there);
    write(dir.path(), "later.txt", "now");
    assert!(tree.look(Path::new("/nowhere")).is_there);
    fs::remove_file(dir.path().join("later.txt")).unwrap();
    assert!(!tree.look(Path::new("/nowhere")).is_there);
}

#[test]
fn a_pipe_is_not_opened_and_our_own_data_not_read() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "lib.rs", "");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let mut tree = tree_in(dir.path());
    let skip = dir.path().canonicalize().unwrap().join(".camlock");
    let first = tree.look(&skip).digest;
    write(dir.path(), ".camlock/builds/x", "x");
    assert_eq!(tree.look(&skip).digest, first);
}
