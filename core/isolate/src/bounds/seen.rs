//! What can be seen of a process from outside: in `/proc`, and of directories. What must not live here: what is done about it.

use std::{fs, path::Path, time::Duration};

/// Clock ticks a second in `/proc`, on every machine that this runs on.
const TICKS: u64 = 100;
/// A directory with more entries than that is not looked at further.
const ENTRIES: usize = 100_000;

/// A line of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ProcessSeen {
    group: u32,
    pub(super) cpu: Duration,
    pub(super) threads: u64,
    pub(super) memory: u64,
}

/// What there is to be seen of one process.
pub(super) fn process(id: u32) -> Option<ProcessSeen> {
    parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// Of all processes of a group together.
pub(super) fn group(group: u32) -> ProcessSeen {
    let mut all = ProcessSeen { group, ..ProcessSeen::default() };
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(one) = id.and_then(process).filter(|one| one.group == group) {
            all.cpu += one.cpu;
            all.threads += one.threads;
            all.memory += one.memory;
        }
    }
    all
}

fn parse(line: &str) -> Option<ProcessSeen> {
    // A process's name may have anything in it; what follows is numbers.
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
    Some(ProcessSeen {
        group: u32::try_from(number(2)?).ok()?,
        cpu: Duration::from_millis(ticks * (1000 / TICKS)),
        threads: number(17)?,
        memory: number(21)? * rustix::param::page_size() as u64,
    })
}

/// What the files beneath these directories take on the disk.
pub(super) fn disk(places: &[impl AsRef<Path>]) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut left = ENTRIES;
    let mut bytes = 0;
    let mut dirs: Vec<_> = places.iter().map(|place| place.as_ref().to_owned()).collect();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let Some(rest) = left.checked_sub(1) else { return bytes };
            left = rest;
            // Not what a link leads to.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                dirs.push(entry.path());
            } else {
                bytes += metadata.blocks() * 512;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen() {
        let own = process(std::process::id()).unwrap();
        assert!(own.threads >= 1 && own.memory > 0 && own.group > 0, "{own:?}");
        assert!(group(own.group).memory >= own.memory / 2);
        assert_eq!(process(0), None);
        let line = "7 (a ) b) S 1 4 5 0 -1 0 0 0 0 0 10 20 1 2 20 0 3 0 9 0 8 0";
        let seen = parse(line).unwrap();
        assert_eq!((seen.group, seen.cpu, seen.threads), (4, Duration::from_millis(330), 3));
    }

    #[test]
    fn what_lies_in_directories() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("deeper")).unwrap();
        fs::write(dir.path().join("deeper/file"), vec![1; 300_000]).unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("link")).unwrap();
        let bytes = disk(&[dir.path()]);
        assert!((300_000..400_000).contains(&bytes), "{bytes}");
    }
}
