//! What a plugin's process may use, kept from outside: looks at it, slows it down, refuses it more, ends it, and says so.
//!
//! `groups` are the kernel's control groups, where they are to be had; `budget` its share of the processor; `seen` what `/proc` and its
//! directories show. What must not live here: what the process itself is told to keep to (`sandbox`).

mod budget;
mod groups;
mod seen;

pub(crate) use groups::{ControlGroup, GroupPlaces};

use budget::{CpuBudget, WaitWindow};
use camlock_policy::{ProcessLimits, ProcessView};
use parking_lot::Mutex;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, pidfd_send_signal, prlimit};
use std::{
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    path::PathBuf,
    process::ExitStatus,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How often the files of a plugin are counted that are far from their bound; else every second.
const COUNTING: Duration = Duration::from_secs(10);
const COUNTING_OFTEN: Duration = Duration::from_secs(1);

/// The process itself, which its first word tells: it may be beneath others that hold its namespaces.
#[derive(Debug)]
pub(crate) struct HeldProcess {
    pub(crate) id: u32,
    pub(crate) pidfd: OwnedFd,
}

/// The files of a plugin.
#[derive(Clone, Debug)]
pub(crate) struct PluginFiles {
    /// The directories that they lie in.
    pub(crate) places: Vec<PathBuf>,
    /// What lies there of the server's: the copy of its library that is mapped.
    pub(crate) of_server: u64,
}

impl PluginFiles {
    fn bytes(&self) -> u64 {
        seen::disk(&self.places).saturating_sub(self.of_server)
    }
}

/// What is known of a plugin's process. All clones are one.
pub(crate) type ProcessUse = Arc<Mutex<ProcessView>>;

/// Keeps a process within its bounds.
pub(crate) struct BoundKeeper {
    limits: ProcessLimits,
    /// Whether it may start programs: then it is more than one process.
    starts_programs: bool,
    group: ControlGroup,
    /// What was started, which leads the group of processes.
    leader: u32,
    files: PluginFiles,
    uses: ProcessUse,
    held: Arc<OnceLock<HeldProcess>>,
}

impl BoundKeeper {
    pub(crate) fn new(
        limits: ProcessLimits,
        starts_programs: bool,
        (mut group, leader): (ControlGroup, u32),
        files: PluginFiles,
        (uses, held): (ProcessUse, Arc<OnceLock<HeldProcess>>),
    ) -> Self {
        group.enter(leader);
        uses.lock().id = leader;
        BoundKeeper { limits, starts_programs, group, leader, files, uses, held }
    }

    /// Goes on until the process must be ended: why.
    pub(crate) async fn keep(&self) -> String {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let mut budget = self.limits.cpu.map(CpuBudget::new);
        let by_quota = budget.as_ref().is_some_and(|budget| self.group.give(Some(budget.rate())));
        let mut given = budget.as_ref().map(CpuBudget::rate);
        let (mut window, mut is_stopped) = (WaitWindow::default(), false);
        let (mut last, mut last_cpu, mut last_waited) = (Instant::now(), Duration::ZERO, Duration::ZERO);
        let (mut count_at, mut is_full) = (last + COUNTING_OFTEN, false);
        loop {
            let usual = Duration::from_millis(500);
            let look_in = budget.as_ref().filter(|_| !by_quota).map_or(usual, |budget| budget.look_in(processors));
            sleep(look_in.min(usual)).await;
            let now = Instant::now();
            let elapsed = now - std::mem::replace(&mut last, now);
            let id = self.held.get().map_or(self.leader, |held| held.id);
            let seen = if self.starts_programs { Some(seen::group(self.leader)) } else { seen::process(id) };
            let Some(seen) = seen else { continue };
            let cpu = self.group.cpu_time().unwrap_or(seen.cpu).max(last_cpu);
            let used = cpu - std::mem::replace(&mut last_cpu, cpu);
            let mut waited = if is_stopped { elapsed } else { Duration::ZERO };
            if by_quota {
                let all = self.group.waited().unwrap_or_default().max(last_waited);
                waited = (all - std::mem::replace(&mut last_waited, all)).min(elapsed);
            }
            window.pass(elapsed, waited);
            if let Some(budget) = &mut budget {
                budget.pass(elapsed, used);
                if by_quota {
                    if given != Some(budget.rate()) && self.group.give(Some(budget.rate())) {
                        given = Some(budget.rate());
                    }
                } else if budget.is_empty() != is_stopped {
                    is_stopped = budget.is_empty();
                    self.signal(if is_stopped { Signal::STOP } else { Signal::CONT });
                }
            }
            // Whom nobody knows yet cannot be kept from writing, and none of the plugin's code runs there.
            if now >= count_at && self.held.get().is_some() {
                count_at = now + COUNTING;
                let files = self.files.clone();
                let disk = tokio::task::spawn_blocking(move || files.bytes()).await.unwrap_or(0);
                self.uses.lock().disk_bytes = disk;
                if let Some(most) = self.limits.disk {
                    if disk * 2 > most {
                        count_at = now + COUNTING_OFTEN;
                    }
                    let was_full = std::mem::replace(&mut is_full, disk > most);
                    if is_full || was_full {
                        self.let_write(if is_full { 0 } else { most }, most);
                    }
                }
            }
            let processes = self.group.processes().unwrap_or(seen.threads);
            self.tell(|uses| {
                uses.id = id;
                uses.memory_bytes = seen.memory;
                uses.cpu_milliseconds = cpu.as_millis() as u64;
                uses.processes = processes;
                uses.waited_percent = window.percent();
                uses.waited_milliseconds += waited.as_millis() as u64;
            });
            self.uses.lock().states = self.states(is_full);
            if let Some(most) =
                self.limits.processes.filter(|most| !self.group.bounds_processes() && seen.threads > *most)
            {
                return format!("it used more than the {most} processes and threads that it may have");
            }
        }
    }

    fn tell(&self, change: impl FnOnce(&mut ProcessView)) {
        change(&mut self.uses.lock());
    }

    /// What its bounds do to it now, in sentences.
    fn states(&self, is_full: bool) -> Vec<String> {
        let uses = self.uses.lock();
        let mut states = Vec::new();
        if uses.waited_percent > 0 {
            let percent = self.limits.cpu.map_or(100, |cpu| cpu.percent);
            let waited = uses.waited_percent;
            states.push(format!("slowed: waited {waited} % of the last 10 s, for it may have {percent} % of a core"));
        }
        if let Some(most) = self.limits.disk.filter(|_| is_full) {
            let (there, most) = (uses.disk_bytes >> 20, in_words(most));
            states.push(format!(
                "full: its files take {there} MiB of the {most} that they may, and it can write no more"
            ));
        }
        let refused = self.group.refused_processes();
        if refused > 0 {
            let most = self.limits.processes.unwrap_or_default();
            states.push(format!(
                "crowded: it has the {most} processes and threads that it may; {refused} more were refused"
            ));
        }
        states
    }

    /// Why it ended, if that was for its bounds.
    pub(crate) fn why_ended(&self, status: ExitStatus, lacks_memory: bool) -> Option<String> {
        let most = self.limits.memory?;
        let gave_up = status.signal() == Some(libc::SIGABRT) && lacks_memory;
        (gave_up || self.group.out_of_memory() > 0).then(|| format!("it used the {} that it may have", in_words(most)))
    }

    fn signal(&self, signal: Signal) {
        // What it started is in its group of processes, unless it left that.
        let sent = match (self.starts_programs, self.held.get()) {
            (false, Some(held)) => pidfd_send_signal(&held.pidfd, signal),
            // Nobody waited for the leader yet, so that its number is nobody else's.
            _ => Pid::from_raw(self.leader as i32).map_or(Ok(()), |leader| kill_process_group(leader, signal)),
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a plugin's process could not be slowed down");
        }
    }

    /// How long a file may be that it writes.
    fn let_write(&self, current: u64, most: u64) {
        let limit = Rlimit { current: Some(current), maximum: Some(most) };
        if let Some(held) = self.held.get()
            && let Err(error) = prlimit(Pid::from_raw(held.id as i32), Resource::Fsize, limit)
        {
            tracing::debug!(%error, "a plugin's process could not be kept from writing");
        }
    }
}

fn in_words(bytes: u64) -> String {
    if bytes >= 1 << 20 { format!("{} MiB", bytes >> 20) } else { format!("{bytes} bytes") }
}
