//! Whoever does no more than look again when nudged ends up with the truth: a mirror of the plugins directory that
//! is kept by nudges alone, while directories, files and links are made, moved and removed at random, and the timer is
//! out of the way.

use camlock_watch::{WatchOptions, Watcher};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::mpsc,
    time::{Duration, Instant},
};

/// What there is, links followed: a file with its content, a directory with none.
type Mirror = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// Where they differ: the path, what the first has, what the second has.
fn differences(mirror: &Mirror, truth: &Mirror) -> Vec<String> {
    let paths: BTreeSet<_> = mirror.keys().chain(truth.keys()).collect();
    let differing = paths.into_iter().filter(|path| mirror.get(*path) != truth.get(*path));
    differing.map(|path| format!("{}: {:?}, {:?}", path.display(), mirror.get(path), truth.get(path))).collect()
}

fn look(path: &Path, mirror: &mut Mirror) {
    mirror.retain(|known, _| !known.starts_with(path));
    let Ok(found) = fs::metadata(path) else { return };
    if found.is_dir() {
        mirror.insert(path.to_owned(), None);
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            look(&entry.path(), mirror);
        }
    } else if let Ok(content) = fs::read(path) {
        mirror.insert(path.to_owned(), Some(content));
    }
}

/// Numbers that are the same in every run: splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn path(&mut self, top: &Path) -> PathBuf {
        let mut path = top.to_owned();
        for _ in 0..=self.below(3) {
            path.push(["a", "b", "c"][self.below(3) as usize]);
        }
        path
    }
}

/// One thing done at random. That some of them fail, as there is nothing to do it to, is as well.
fn step(dice: &mut Dice, dir: &Path) -> io::Result<()> {
    let top = [dir.join("plugins"), dir.join("outside")][dice.below(4).min(1) as usize].clone();
    let (path, other) = (dice.path(&top), dice.path(&dir.join("plugins")));
    match dice.below(10) {
        0 | 1 => {
            fs::create_dir_all(&path)?;
            fs::write(path.join("file"), dice.below(1000).to_string())
        }
        2 => fs::write(path.join("file"), dice.below(1000).to_string()),
        3 => {
            fs::write(path.join("part"), dice.below(1000).to_string())?;
            fs::rename(path.join("part"), path.join("file"))
        }
        4 => fs::remove_dir_all(&path),
        5 => fs::remove_file(path.join("file")),
        6 | 7 => fs::rename(&path, &other),
        8 => {
            let link = dir.join("plugins").join(["link-1", "link-2"][dice.below(2) as usize]);
            let _ = fs::remove_file(&link);
            symlink(dice.path(&dir.join("outside")), link)
        }
        _ => match dice.below(20) {
            0 => fs::rename(dir.join("plugins"), dir.join(format!("away-{}", dice.below(1000)))),
            1 => fs::remove_dir_all(dir.join("plugins")),
            _ => fs::create_dir_all(&path),
        },
    }
}

fn converges(seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let plugins = dir.path().join("plugins");
    fs::create_dir(dir.path().join("outside")).unwrap();
    let mut options = WatchOptions::new(&plugins);
    options.rescan = Duration::from_secs(3600);
    options.rescan_unwatched = Duration::from_secs(3600);
    // Impatient, so that watches change while things happen.
    options.quiet = Duration::from_micros(200);
    options.longest_burst = Duration::from_millis(1);
    let (sender, nudges) = mpsc::channel();
    let watcher = Watcher::start(options, move || {
        let _ = sender.send(());
    })
    .unwrap();

    let mut dice = Dice(seed);
    let mut mirror = Mirror::new();
    for _ in 0..20 {
        for _ in 0..30 {
            let _ = step(&mut dice, dir.path());
        }
        let mut truth = Mirror::new();
        look(&plugins, &mut truth);
        let end = Instant::now() + Duration::from_secs(120);
        while mirror != truth {
            match nudges.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(()) => look(&plugins, &mut mirror),
                Err(_) => panic!("seed {seed}: the mirror differs in {:#?}", differences(&mirror, &truth)),
            }
        }
    }
    drop(watcher);
}

#[test]
fn a_mirror_kept_by_nudges_shows_the_truth() {
    for seed in 0..12 {
        converges(seed);
    }
}
