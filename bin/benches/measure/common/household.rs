//! What a server and all that it starts have of the machine: processes, namespaces, descriptors, control groups.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
};

/// Where control groups are made, if anywhere, and how deep is looked.
const GROUPS: &str = "/sys/fs/cgroup";
const DEPTH: usize = 4;

/// What there is of it now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Household {
    pub processes: usize,
    pub namespaces: usize,
    pub descriptors: usize,
    pub groups: usize,
}

impl fmt::Display for Household {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Household { processes, namespaces, descriptors, groups } = self;
        write!(
            formatter,
            "{processes} processes, {namespaces} namespaces, {descriptors} descriptors, {groups} control groups"
        )
    }
}

/// Of this process and all that are beneath it. Groups are called by the number of the server that made them: those of servers that
/// are no more are known too, if they were seen before.
pub fn household(parent: u32, servers: &mut BTreeSet<u32>) -> Household {
    let all = beneath(parent);
    servers.extend(&all);
    let mut found = Household { processes: all.len(), ..Household::default() };
    let mut spaces = BTreeSet::new();
    for process in &all {
        let of = |what: &str| PathBuf::from(format!("/proc/{process}/{what}"));
        found.descriptors += fs::read_dir(of("fd")).map_or(0, Iterator::count);
        spaces.extend(
            fs::read_dir(of("ns")).into_iter().flatten().flatten().filter_map(|one| fs::read_link(one.path()).ok()),
        );
    }
    found.namespaces = spaces.len();
    found.groups = groups_of(Path::new(GROUPS), servers, DEPTH);
    found
}

/// It, and what it started, and what that started.
pub fn beneath(parent: u32) -> BTreeSet<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        let above = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().nth(1)?.parse().ok());
        children.entry(above.unwrap_or(0)).or_default().push(id);
    }
    let (mut all, mut next) = (BTreeSet::new(), vec![parent]);
    while let Some(one) = next.pop() {
        all.insert(one);
        next.extend(children.get(&one).into_iter().flatten());
    }
    all
}

fn groups_of(place: &Path, servers: &BTreeSet<u32>, depth: usize) -> usize {
    if depth == 0 {
        return 0;
    }
    let dirs = fs::read_dir(place).into_iter().flatten().flatten();
    let dirs = dirs.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    dirs.map(|dir| {
        let name = dir.file_name().to_string_lossy().into_owned();
        let server = name.strip_prefix("camlock-").and_then(|rest| rest.split('-').next()?.parse().ok());
        usize::from(server.is_some_and(|server| servers.contains(&server))) + groups_of(&dir.path(), servers, depth - 1)
    })
    .sum()
}
