//! The watches that stand, and whom an event concerns. What must not live here: when to act.

use crate::{
    burst::Burst,
    event::EventChange,
    ignore::{ignored, ignored_entry},
    plan::{DirectoryIdentity, Interest, WatchPlan, WatchRoot},
    trouble::WatchTrouble,
};
use notify::RecursiveMode;
use std::{
    cell::LazyCell,
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    ops::Bound,
    path::{Path, PathBuf},
};

/// What sees for us.
pub(crate) type Eyes = Box<dyn notify::Watcher + Send>;

#[derive(Debug, Default)]
struct Watched {
    /// The directory that the watch stands on; None if none stands.
    armed: Option<DirectoryIdentity>,
    /// Whose plans name it.
    by: BTreeSet<WatchRoot>,
}

/// All plans, and the watches that stand for them.
#[derive(Default)]
pub(crate) struct Watches {
    /// None where there is no watching.
    eyes: Option<Eyes>,
    /// By the path that was watched, which is free of links.
    directories: BTreeMap<PathBuf, Watched>,
    plans: BTreeMap<WatchRoot, WatchPlan>,
}

impl Watches {
    pub(crate) fn is_blind(&self) -> bool {
        self.eyes.is_none()
    }

    /// From now on these see for us. No watch stands any more.
    pub(crate) fn see_with(&mut self, eyes: Option<Eyes>) {
        self.eyes = eyes;
        for watched in self.directories.values_mut() {
            watched.armed = None;
        }
    }

    /// The entries that there are plans for.
    pub(crate) fn entries(&self) -> BTreeSet<WatchRoot> {
        self.plans.keys().filter(|root| matches!(root, WatchRoot::Entry(_))).cloned().collect()
    }

    /// This is what the root needs from now on. Returns the directories whose watches may have to change: see `arm`.
    pub(crate) fn plan(&mut self, root: WatchRoot, plan: WatchPlan) -> BTreeSet<PathBuf> {
        let mut touched = BTreeSet::new();
        for directory in self.plans.get(&root).iter().flat_map(|plan| plan.directories.keys()) {
            self.directories.entry(directory.clone()).or_default().by.remove(&root);
            touched.insert(directory.clone());
        }
        for directory in plan.directories.keys() {
            self.directories.entry(directory.clone()).or_default().by.insert(root.clone());
            touched.insert(directory.clone());
        }
        if plan == WatchPlan::default() {
            self.plans.remove(&root);
        } else {
            self.plans.insert(root, plan);
        }
        touched
    }

    /// Brings the watches on these directories in line with the plans. Returns those on which a watch stands only now,
    /// and what went wrong.
    pub(crate) fn arm(&mut self, touched: BTreeSet<PathBuf>) -> (BTreeSet<PathBuf>, Option<WatchTrouble>) {
        // First what is not needed any more, as watches may be scarce.
        let (wanted, unwanted): (Vec<_>, Vec<_>) = touched
            .into_iter()
            .partition(|path| self.directories.get(path).is_some_and(|watched| !watched.by.is_empty()));
        for path in unwanted {
            if self.directories.remove(&path).is_some_and(|watched| watched.armed.is_some()) {
                self.unwatch(&path);
            }
        }
        let mut fresh = BTreeSet::new();
        let mut trouble = None;
        for path in wanted {
            let now = fs::metadata(&path).ok().map(|found| DirectoryIdentity::of(&found));
            let before = self.directories.get(&path).and_then(|watched| watched.armed);
            if before.is_some() && before != now {
                self.unwatch(&path);
            }
            let armed = match now {
                Some(now) if before != Some(now) && trouble != Some(WatchTrouble::Watches) => match self.watch(&path) {
                    Ok(true) => {
                        fresh.insert(path.clone());
                        Some(now)
                    }
                    Ok(false) => None,
                    Err(error) => {
                        trouble = trouble.max(WatchTrouble::of_watching(&path, &error));
                        None
                    }
                },
                now => before.filter(|before| Some(*before) == now),
            };
            self.directories.entry(path).or_default().armed = armed;
        }
        (fresh, trouble)
    }

    /// Whose plans name these directories.
    pub(crate) fn concerned(&self, directories: &BTreeSet<PathBuf>) -> BTreeSet<WatchRoot> {
        let roots = directories.iter().flat_map(|directory| self.interests(directory)).map(|(root, _)| root.clone());
        roots.collect()
    }

    /// Puts what a change at this path means into the burst. Returns whether it concerns anybody.
    pub(crate) fn note(&mut self, path: &Path, change: EventChange, burst: &mut Burst) -> bool {
        let mut concerns = false;
        let mut roots = BTreeSet::new();
        // What came, went or moved is planned anew, if it is or was more than a file.
        let moved = matches!(change, EventChange::Place | EventChange::Attributes);
        let replan = LazyCell::new(|| moved && (self.has_below(path) || is_directory_or_link(path)));
        if let (Some(directory), Some(name)) = (path.parent(), path.file_name()) {
            for (root, interest) in self.interests(directory) {
                match interest {
                    Interest::Name(of) if of == name => {
                        concerns = true;
                        roots.extend(moved.then(|| root.clone()));
                    }
                    Interest::All if !is_ignored(root, name) => {
                        concerns = true;
                        roots.extend((*replan).then(|| match root {
                            WatchRoot::Top => WatchRoot::Entry(name.to_owned()),
                            other => other.clone(),
                        }));
                    }
                    _ => {}
                }
            }
        }
        // The path may also be a directory that has a watch of its own, which is the only one to see it if the
        // directory that it lies in has none.
        if moved {
            roots.extend(self.concerned(&BTreeSet::from([path.to_owned()])));
        }
        if change == EventChange::Place {
            self.disarm_below(path);
        }
        concerns |= !roots.is_empty();
        burst.look |= concerns;
        burst.roots.extend(roots);
        concerns
    }

    fn interests(&self, directory: &Path) -> impl Iterator<Item = (&WatchRoot, &Interest)> {
        self.directories.get(directory).into_iter().flat_map(|watched| &watched.by).flat_map(move |root| {
            let interests = self.plans.get(root).and_then(|plan| plan.directories.get(directory));
            interests.into_iter().flatten().map(move |interest| (root, interest))
        })
    }

    fn below(&self, path: &Path) -> impl Iterator<Item = (&PathBuf, &Watched)> {
        let from = (Bound::Included(path), Bound::Unbounded);
        self.directories.range::<Path, _>(from).take_while(move |(directory, _)| directory.starts_with(path))
    }

    fn has_below(&self, path: &Path) -> bool {
        self.below(path).next().is_some()
    }

    /// notify itself drops the watches at and below a path of which it hears that it has gone. It may hear of an old
    /// one after we have had it watch the new one, so after every such event none of them is taken to stand.
    fn disarm_below(&mut self, path: &Path) {
        let armed: Vec<PathBuf> = self
            .below(path)
            .filter(|(_, watched)| watched.armed.is_some())
            .map(|(directory, _)| directory.clone())
            .collect();
        for directory in armed {
            self.unwatch(&directory);
            self.directories.entry(directory).or_default().armed = None;
        }
    }

    /// Whether the watch stands.
    fn watch(&mut self, path: &Path) -> notify::Result<bool> {
        match &mut self.eyes {
            Some(eyes) => eyes.watch(path, RecursiveMode::NonRecursive).map(|()| true),
            None => Ok(false),
        }
    }

    fn unwatch(&mut self, path: &Path) {
        if let Some(eyes) = &mut self.eyes {
            // It fails if the watch has gone already.
            let _ = eyes.unwatch(path);
        }
    }
}

fn is_ignored(root: &WatchRoot, name: &OsStr) -> bool {
    if *root == WatchRoot::Top { ignored_entry(name) } else { ignored(name) }
}

fn is_directory_or_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir() || found.is_symlink())
}
