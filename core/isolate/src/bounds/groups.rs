//! Control groups, of either version: where one may be made on this machine, what is written into it, and what it tells.
//!
//! Whatever of it cannot be had is left out; then other means do what they can. What must not live here: those.

use camlock_policy::ProcessLimits;
use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// The length of the time in which a quota is given out, in microseconds.
const PERIOD: u64 = 100_000;
/// How often a group that is still in use is tried to be removed, a few milliseconds apart.
const TRIES: usize = 200;

/// Where groups of this process may be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupPlaces {
    memory: Option<PathBuf>,
    cpu: Option<PathBuf>,
    cpuacct: Option<PathBuf>,
    pids: Option<PathBuf>,
    /// With version 2, all of them lie in one.
    unified: Option<PathBuf>,
}

impl GroupPlaces {
    /// Those of this machine, as far as this process may use them.
    pub(crate) fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let places = Self::of(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
        places.sweep();
        places
    }

    /// From the tables of mounts and of this process's own groups.
    fn of(mounts: &str, own: &str) -> Self {
        let mut places = GroupPlaces::default();
        for mount in mounts.lines() {
            let Some((left, right)) = mount.split_once(" - ") else { continue };
            let left: Vec<&str> = left.split(' ').collect();
            let right: Vec<&str> = right.split(' ').collect();
            let (&[_, _, _, root, at, ..], &[kind, _, options]) = (&left[..], &right[..]) else { continue };
            let of_own = |controller: &str| {
                let line = own.lines().find_map(|line| {
                    let (names, path) = line.split_once(':')?.1.split_once(':')?;
                    names.split(',').any(|name| name == controller).then_some(path)
                })?;
                let beneath = line.strip_prefix(root.trim_end_matches('/')).unwrap_or(line);
                Some(Path::new(at).join(beneath.trim_start_matches('/')))
            };
            match kind {
                "cgroup2" => places.unified = of_own("").map(by_whom_it_was_delegated),
                "cgroup" => {
                    let has = |controller: &str| options.split(',').any(|option| option == controller);
                    for (name, place) in [
                        ("memory", &mut places.memory),
                        ("cpu", &mut places.cpu),
                        ("cpuacct", &mut places.cpuacct),
                        ("pids", &mut places.pids),
                    ] {
                        if has(name) {
                            *place = of_own(name);
                        }
                    }
                }
                _ => {}
            }
        }
        places
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.memory, &self.cpu, &self.cpuacct, &self.pids, &self.unified].into_iter().flatten()
    }

    /// Removes what servers left that were killed.
    fn sweep(&self) {
        for entry in self.all().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten() {
            let name = entry.file_name();
            let server = name.to_str().and_then(|name| name.strip_prefix("camlock-")?.split('-').next());
            let is_gone = |server: &str| {
                server.parse::<u32>().is_ok_and(|server| !Path::new(&format!("/proc/{server}")).exists())
            };
            if server.is_some_and(is_gone) {
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

/// With `DelegateSubgroup=server`, as systemd has it, the server is in a group of its own beneath the one that is its.
fn by_whom_it_was_delegated(own: PathBuf) -> PathBuf {
    match own.parent() {
        Some(above) if own.ends_with("server") => above.to_owned(),
        _ => own,
    }
}

/// The group of one process and all that it starts. It goes when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct ControlGroup {
    memory: Option<PathBuf>,
    cpu: Option<PathBuf>,
    cpuacct: Option<PathBuf>,
    pids: Option<PathBuf>,
    is_unified: bool,
}

impl ControlGroup {
    /// Makes one, with these bounds, as far as that can be done.
    pub(crate) fn make(places: &GroupPlaces, name: &str, limits: &ProcessLimits) -> Self {
        let made = |place: &Option<PathBuf>| {
            let path = place.as_ref()?.join(name);
            fs::create_dir(&path).ok().map(|()| path)
        };
        let bound = |path: PathBuf, file: &str, value: String| {
            let written = fs::write(path.join(file), value);
            if written.is_err() {
                let _ = fs::remove_dir(&path);
            }
            written.ok().map(|()| path)
        };
        let memory = limits.memory.map(|bytes| bytes.to_string());
        let pids = limits.processes.map_or_else(|| "max".to_owned(), |count| count.to_string());
        if let Some(place) = &places.unified {
            // Groups beneath have what the one above hands on, which whoever set it up may not have said yet.
            let _ = fs::write(place.join("cgroup.subtree_control"), "+memory +cpu +pids");
            let handed_on = fs::read_to_string(place.join("cgroup.subtree_control")).unwrap_or_default();
            let handed_on =
                |controller: &str| handed_on.split_whitespace().any(|one| one.trim_start_matches('+') == controller);
            if ["memory", "cpu", "pids"].into_iter().any(handed_on)
                && let Some(path) = made(&places.unified)
            {
                let has = |controller: &str, file: &str, value: Option<String>| {
                    let held =
                        handed_on(controller) && value.is_none_or(|value| fs::write(path.join(file), value).is_ok());
                    held.then(|| path.clone())
                };
                return ControlGroup {
                    memory: has("memory", "memory.max", memory),
                    cpu: has("cpu", "cpu.max", None),
                    cpuacct: Some(path.clone()),
                    pids: has("pids", "pids.max", Some(pids)),
                    is_unified: true,
                };
            }
        }
        let memory = memory.and_then(|bytes| bound(made(&places.memory)?, "memory.limit_in_bytes", bytes));
        let pids = made(&places.pids).and_then(|path| bound(path, "pids.max", pids));
        let (cpu, cpuacct) = match places.cpu == places.cpuacct {
            true => {
                let both = made(&places.cpu);
                (both.clone(), both)
            }
            false => (made(&places.cpu), made(&places.cpuacct)),
        };
        ControlGroup { memory, cpu, cpuacct, pids, is_unified: false }
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.memory, &self.cpu, &self.cpuacct, &self.pids].into_iter().flatten()
    }

    /// A process, and whatever it will start, is in it from now on.
    pub(crate) fn enter(&mut self, id: u32) {
        for place in [&mut self.memory, &mut self.cpu, &mut self.cpuacct, &mut self.pids] {
            if let Some(path) = place
                && fs::write(path.join("cgroup.procs"), id.to_string()).is_err()
            {
                let _ = fs::remove_dir(&path);
                *place = None;
            }
        }
    }

    /// What it bounds, in words.
    pub(crate) fn in_words(&self) -> Vec<&'static str> {
        let all = [("memory", &self.memory), ("processor", &self.cpu), ("processes", &self.pids)];
        all.into_iter().filter_map(|(name, place)| place.as_ref().map(|_| name)).collect()
    }

    pub(crate) fn bounds_processes(&self) -> bool {
        self.pids.is_some()
    }

    /// Gives it so many hundredths of a core: whether it can.
    pub(crate) fn give(&self, percent: Option<u32>) -> bool {
        let Some(path) = &self.cpu else { return false };
        let quota = percent.map(|percent| PERIOD * u64::from(percent) / 100);
        let written = if self.is_unified {
            let quota = quota.map_or_else(|| "max".to_owned(), |quota| quota.to_string());
            fs::write(path.join("cpu.max"), format!("{quota} {PERIOD}"))
        } else {
            let quota = quota.map_or(-1, |quota| quota as i64);
            fs::write(path.join("cpu.cfs_period_us"), PERIOD.to_string())
                .and_then(|()| fs::write(path.join("cpu.cfs_quota_us"), quota.to_string()))
        };
        written.is_ok()
    }

    /// The processor time of all that were in it.
    pub(crate) fn cpu_time(&self) -> Option<Duration> {
        let path = self.cpuacct.as_ref()?;
        if self.is_unified {
            return word(&read(path, "cpu.stat").ok()?, "usage_usec").map(Duration::from_micros);
        }
        read(path, "cpuacct.usage").ok()?.trim().parse().ok().map(Duration::from_nanos)
    }

    /// How long it was kept from running by what it was given.
    pub(crate) fn waited(&self) -> Option<Duration> {
        let stat = read(self.cpu.as_ref()?, "cpu.stat").ok()?;
        word(&stat, "throttled_usec")
            .map(Duration::from_micros)
            .or_else(|| word(&stat, "throttled_time").map(Duration::from_nanos))
    }

    /// How many of them the kernel ended because they had used up their memory.
    pub(crate) fn out_of_memory(&self) -> u64 {
        let Some(path) = &self.memory else { return 0 };
        let file = if self.is_unified { "memory.events" } else { "memory.oom_control" };
        read(path, file).ok().and_then(|text| word(&text, "oom_kill")).unwrap_or(0)
    }

    /// How many there are now.
    pub(crate) fn processes(&self) -> Option<u64> {
        read(self.pids.as_ref()?, "pids.current").ok()?.trim().parse().ok()
    }

    /// How often another one was refused.
    pub(crate) fn refused_processes(&self) -> u64 {
        let text = self.pids.as_ref().and_then(|path| read(path, "pids.events").ok());
        text.and_then(|text| word(&text, "max")).unwrap_or(0)
    }
}

impl Drop for ControlGroup {
    /// Waits until those that were in it are gone: what they ran in was killed.
    fn drop(&mut self) {
        for path in self.all() {
            for _ in 0..TRIES {
                match fs::remove_dir(path) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        thread::sleep(Duration::from_millis(5));
                    }
                    _ => break,
                }
            }
        }
    }
}

fn read(path: &Path, file: &str) -> io::Result<String> {
    fs::read_to_string(path.join(file))
}

/// The number behind a word at the beginning of a line.
fn word(text: &str, word: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc/deeper\n1:name=systemd:/\n0::/system.slice/camlock.service/server\n";

    #[test]
    fn where_groups_may_be_made() {
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory\n\
            33 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let cpu = Some("/sys/fs/cgroup/cpu/docker/abc/deeper".into());
        let expected = GroupPlaces {
            memory: Some("/sys/fs/cgroup/memory".into()),
            cpu: cpu.clone(),
            cpuacct: cpu,
            pids: None,
            unified: Some("/sys/fs/cgroup/unified/system.slice/camlock.service".into()),
        };
        assert_eq!(GroupPlaces::of(mounts, OWN), expected);
        assert_eq!(GroupPlaces::of("", ""), GroupPlaces::default());
    }

    /// A directory that stands for a group of version 2, whose files a kernel would make.
    #[test]
    fn version_2_as_far_as_it_is_handed_on() {
        let dir = tempfile::tempdir().unwrap();
        let places = GroupPlaces { unified: Some(dir.path().to_owned()), ..GroupPlaces::default() };
        let limits = ProcessLimits::default();
        let mut group = ControlGroup::make(&places, "camlock-1-x", &limits);
        assert_eq!(group.in_words(), ["memory", "processor", "processes"]);
        let made = dir.path().join("camlock-1-x");
        assert_eq!(fs::read_to_string(made.join("memory.max")).unwrap(), "536870912");
        assert_eq!(fs::read_to_string(made.join("pids.max")).unwrap(), "1024");
        assert!(group.give(Some(50)));
        assert_eq!(fs::read_to_string(made.join("cpu.max")).unwrap(), "50000 100000");
        fs::write(made.join("cpu.stat"), "usage_usec 7000\nthrottled_usec 9\n").unwrap();
        fs::write(made.join("memory.events"), "oom 1\noom_kill 2\n").unwrap();
        group.enter(77);
        assert_eq!(fs::read_to_string(made.join("cgroup.procs")).unwrap(), "77");
        assert_eq!(group.cpu_time(), Some(Duration::from_millis(7)));
        assert_eq!((group.waited(), group.out_of_memory()), (Some(Duration::from_micros(9)), 2));
    }

    #[test]
    fn what_cannot_be_had_is_left_out() {
        let places = GroupPlaces { memory: Some("/proc/nowhere".into()), ..GroupPlaces::default() };
        let mut group = ControlGroup::make(&places, "camlock-1-x", &ProcessLimits::default());
        group.enter(1);
        assert!(group.in_words().is_empty() && !group.give(Some(50)));
        assert_eq!((group.cpu_time(), group.out_of_memory()), (None, 0));
    }
}
