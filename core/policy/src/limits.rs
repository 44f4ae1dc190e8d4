//! All bounds that the policy keeps, with their defaults. What must not live here: where they are read from.

use std::time::Duration;

/// The bounds of one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a replaced generation may go on with what it began; then its streams are told to end.
    pub drain: Duration,
    /// How long streams that were told to end have for it; then the generation is pinned until they do.
    pub farewell: Duration,
    /// How long a new generation is on probation.
    pub probation: Duration,
    /// So many panics on probation make it go back.
    pub panics: u64,
    /// How often its health is asked.
    pub health: Duration,
    /// So many times unwell, one after the other, make it restart.
    pub unwell: u32,
    /// Restarts within an hour.
    pub restarts: usize,
    /// How long a build may take.
    pub build: Duration,
    /// How long verification may take.
    pub verify: Duration,
    /// How long `create` may take.
    pub create: Duration,
    /// How long `start`, `restore`, `save`, `health` and `shutdown` may take, each.
    pub start: Duration,
    /// How long requests are held while state is handed over.
    pub quiesce: Duration,
    /// Generations that stay in the process; with more, reloads are refused.
    pub pinned: usize,
    /// Artifacts that are kept.
    pub artifacts: usize,
    /// Those of its requests.
    pub requests: RequestLimits,
    /// Those of its process, if it has one of its own.
    pub process: ProcessLimits,
}

/// The bounds of a plugin's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// How long a response may take to begin.
    pub timeout: Duration,
    /// How large a request's body may be.
    pub body: Option<u64>,
    /// How many requests are handled at once.
    pub concurrency: usize,
}

/// The bounds of the process of an isolated plugin. None is no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessLimits {
    /// Bytes of memory of its own.
    pub memory: Option<u64>,
    /// How much of the processor it may have in the mean.
    pub cpu: Option<CpuShare>,
    /// How many processes and threads it may have.
    pub processes: Option<u64>,
    /// How many files, sockets and the like it may have open.
    pub open_files: u64,
    /// How many bytes may lie in its directory and its temporary one.
    pub disk: Option<u64>,
}

/// A share of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuShare {
    /// Hundredths of a core, in the mean over ten seconds.
    pub percent: u32,
    /// For how long it may have a whole core (or its share, where that is more) before it is slowed down.
    pub burst: Duration,
}

impl Default for CpuShare {
    fn default() -> Self {
        CpuShare { percent: 50, burst: Duration::from_secs(30) }
    }
}

impl Default for ProcessLimits {
    fn default() -> Self {
        ProcessLimits {
            memory: Some(512 << 20),
            cpu: Some(CpuShare::default()),
            processes: Some(1024),
            open_files: 4096,
            disk: Some(4 << 30),
        }
    }
}

impl Default for RequestLimits {
    fn default() -> Self {
        RequestLimits { timeout: Duration::from_secs(30), body: None, concurrency: 1024 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Limits {
            drain: seconds(30),
            farewell: seconds(5),
            probation: seconds(30),
            panics: 5,
            health: seconds(10),
            unwell: 3,
            restarts: 3,
            build: seconds(600),
            verify: seconds(10),
            create: seconds(10),
            start: seconds(10),
            quiesce: seconds(5),
            pinned: 16,
            artifacts: 5,
            requests: RequestLimits::default(),
            process: ProcessLimits::default(),
        }
    }
}
