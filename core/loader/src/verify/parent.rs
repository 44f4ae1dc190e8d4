//! The parent's side: starts the child under limits, listens, and turns its end into a verdict or an error.

use super::{
    CHILD_NAME, SCHEMA_FILE, VARIABLES, Verdict, VerificationStep, VerifierLine, child,
    verdicts::{Key, Verdicts},
    workplace::Workplace,
};
use crate::{
    copy::{self, PrivateCopy},
    signals,
    stage::Artifact,
    surroundings::VariablesOf,
    words::{in_words, one_line},
};
use camlock_policy::manifest::Runtime;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions},
};
use serde_json::json;
use std::{
    fmt,
    io::{self, Read},
    os::{
        fd::AsFd,
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// What the verifying child may use.
#[derive(Clone, Debug)]
pub struct VerifierLimits {
    /// Wall-clock time for the whole.
    pub time: Duration,
    /// Bytes of address space.
    pub memory: u64,
}

impl Default for VerifierLimits {
    fn default() -> Self {
        VerifierLimits { time: Duration::from_secs(10), memory: 2 << 30 }
    }
}

impl VerifierLimits {
    /// The same, as far as this process may grant it: an error tells of what the child really had.
    fn within_hard_ones(&self) -> Self {
        let memory =
            bounds(self).iter().find(|(resource, _)| *resource == Resource::As).map_or(self.memory, |one| one.1);
        VerifierLimits { memory, ..self.clone() }
    }
}

/// Why there is no verdict. None of these is kept: the next attempt may come out otherwise.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The program never called [`run_verifier_if_asked`](super::run_verifier_if_asked).
    #[error(
        "this program cannot verify plugins: call `camlock_loader::run_verifier_if_asked()` first thing in `main`, \
         for verification starts the program again"
    )]
    NotArmed,
    /// It did not come to its end.
    #[error("it did not come to an end within {} s while {stage}", .limit.as_secs_f64())]
    TimedOut {
        /// What it was doing.
        stage: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// It asked for more memory than it may have.
    #[error("it asked for more memory than the {} MiB that it is verified with, while {stage}", .limit >> 20)]
    NoMemory {
        /// What it was doing.
        stage: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The libraries that it needs hold up the dynamic linker, which loads one at a time for the whole server.
    #[error(
        "opening it took {:.1} s, more than the {} s in which the constructors of the libraries that it needs must end: \
         nothing else could be loaded meanwhile", .taken.as_secs_f64(), child::LONGEST_OPENING.as_secs()
    )]
    SlowToOpen {
        /// How long it took.
        taken: Duration,
    },
    /// The staged copy cannot be read any more.
    #[error("the stored copy {path} cannot be read: {why}")]
    Unreadable {
        /// Where it should be.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// The staged copy is not what it was, so that whatever it did says nothing of the artifact.
    #[error("the stored copy {0} is damaged: its bytes no longer have their digest")]
    Rotten(PathBuf),
    /// The child could not be started, or was killed from outside.
    #[error("it could not be verified: {0}")]
    NotRun(String),
}

/// Verifies artifacts and remembers verdicts.
#[derive(Clone)]
pub struct Verifier {
    limits: VerifierLimits,
    verdicts: Verdicts,
    workplace: Workplace,
    variables: Option<VariablesOf>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Verifier").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Verifier {
    /// A verifier that keeps its verdicts in a directory. Beside it, in `trying`, its children work.
    pub fn new(verdicts: impl Into<PathBuf>, limits: VerifierLimits) -> io::Result<Self> {
        let verdicts = verdicts.into();
        let workplace = Workplace::at(&verdicts.with_file_name("trying"))?;
        Ok(Verifier { limits, verdicts: Verdicts::at(verdicts)?, workplace, variables: None })
    }

    /// The same, with the variables that operators give to plugins: what it says of a build holds for these alone.
    #[must_use]
    pub fn with_variables(self, variables: VariablesOf) -> Self {
        Verifier { variables: Some(variables), ..self }
    }

    /// The verdict on an artifact: the one that was kept, or a new one.
    pub async fn verify(&self, artifact: &Artifact) -> Result<Verdict, VerifyError> {
        let variables = self.variables.as_ref().map(|of| of(&artifact.sections.manifest.name)).unwrap_or_default();
        let variables = if variables.is_empty() { String::new() } else { json!(variables).to_string() };
        let key = Key::new(artifact.digest, &variables);
        if let Some(verdict) = self.verdicts.get(&key) {
            return Ok(verdict);
        }
        if !child::is_armed() {
            return Err(VerifyError::NotArmed);
        }
        let (reply, verdict) = oneshot::channel();
        let (limits, candidate, workplace) = (self.limits.within_hard_ones(), artifact.clone(), self.workplace.clone());
        // The child is told to die with the thread that started it, so that thread stays with it.
        thread::Builder::new()
            .name("camlock-verify".into())
            .spawn(move || drop(reply.send(attempt(&candidate, &variables, &limits, &workplace))))
            .map_err(|error| VerifyError::NotRun(in_words(&error)))?;
        match verdict.await.unwrap_or_else(|_| Err(VerifyError::NotRun("its thread has ended".to_owned())))? {
            AttemptOutcome::Verdict(verdict) => {
                self.verdicts.put(&key, &verdict);
                Ok(verdict)
            }
            AttemptOutcome::Unopened(words) => Ok(Verdict::Bad(format!("it cannot be opened: {}", one_line(&words)))),
        }
    }
}

/// What came of an attempt.
enum AttemptOutcome {
    /// What would be found again.
    Verdict(Verdict),
    /// The dynamic linker's words. Not kept: a library that is missing may be installed, a libc that is too old replaced.
    Unopened(String),
}

fn attempt(
    artifact: &Artifact,
    variables: &str,
    limits: &VerifierLimits,
    workplace: &Workplace,
) -> Result<AttemptOutcome, VerifyError> {
    let unreadable = |error: io::Error| VerifyError::Unreadable { path: artifact.path.clone(), why: in_words(&error) };
    let directory = workplace.for_one_child().map_err(|error| {
        VerifyError::NotRun(format!("no directory can be made for the verifying process: {}", in_words(&error)))
    })?;
    // Opened as a server opens it: a copy whose constructors are not for the linker to run.
    let bytes = copy::read(&artifact.path).map_err(unreadable)?;
    let (digest, copy) = PrivateCopy::of(&bytes, directory.path());
    drop(bytes);
    // A bad verdict would be kept for good: it must be on the very bytes that the digest names.
    if digest != artifact.digest {
        return Err(VerifyError::Rotten(artifact.path.clone()));
    }
    let copy = copy.map_err(|error| {
        VerifyError::NotRun(format!("no copy of it can be made for the verifying process: {}", in_words(&error)))
    })?;
    if let Some(schema) = &artifact.sections.config_schema {
        std::fs::write(directory.path().join(SCHEMA_FILE), schema).map_err(|error| {
            VerifyError::NotRun(format!("its schema cannot be handed to the verifying process: {}", in_words(&error)))
        })?;
    }
    try_once(artifact, (copy.path(), directory.path()), variables, limits)
}

fn try_once(
    artifact: &Artifact,
    (copy, directory): (&Path, &Path),
    variables: &str,
    limits: &VerifierLimits,
) -> Result<AttemptOutcome, VerifyError> {
    let not_run = |error: io::Error| VerifyError::NotRun(in_words(&error));
    let mut child = start(artifact, (copy, directory), variables, limits).map_err(not_run)?;
    let deadline = Instant::now() + limits.time;
    let mut heard = listen(&mut child, deadline);
    let id = Pid::from_child(&child);
    // Silent, it is about to be gone; it must end by itself, for how it ends is a part of what it says.
    if let Ok(heard) = &mut heard {
        while !heard.timed_out && is_running(id) {
            heard.timed_out = Instant::now() >= deadline;
            thread::sleep(Duration::from_micros(100));
        }
    }
    // Whatever the plugin started in the child's process group goes with it. Nobody has waited for the child yet, so that
    // its number cannot be anybody else's.
    let _ = rustix::process::kill_process_group(id, Signal::KILL);
    let status = child.wait().map_err(not_run)?;
    judge(&heard.map_err(not_run)?, status, limits)
}

fn is_running(id: Pid) -> bool {
    let asked = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(rustix::process::waitid(WaitId::Pid(id), asked), Ok(None))
}

fn start(
    artifact: &Artifact,
    (copy, directory): (&Path, &Path),
    variables: &str,
    limits: &VerifierLimits,
) -> io::Result<Child> {
    let sections = &artifact.sections;
    let runtime = if sections.manifest.camlock.runtime == Runtime::Tokio { "tokio" } else { "none" };
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(CHILD_NAME)
        .args([copy, &artifact.path])
        .args([&sections.crate_name, runtime, &sections.manifest.name, sections.stays.as_deref().unwrap_or("")])
        .arg(limits.time.as_millis().to_string())
        .env_clear()
        .env(VARIABLES, variables)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let bounds = bounds(limits);
    // SAFETY: between fork and exec only system calls are made, on values of our own: nothing allocates or locks.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            for (resource, most) in bounds {
                rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
            }
            // Marked, not closed: std's own pipe, which tells of a failed exec, must live until the exec.
            let marked = libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
            if marked == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
        });
    }
    command.spawn()
}

/// What the child is bounded by: never more than this process may have itself, which it could not hand on.
fn bounds(limits: &VerifierLimits) -> [(Resource, u64); 5] {
    let wanted = [
        (Resource::As, limits.memory),
        (Resource::Cpu, limits.time.as_secs() + 2),
        (Resource::Core, 0),
        (Resource::Fsize, 64 << 20),
        (Resource::Nofile, 256),
    ];
    wanted.map(|(resource, most)| {
        let hard = rustix::process::getrlimit(resource).maximum;
        (resource, hard.map_or(most, |hard| hard.min(most)))
    })
}

/// What was heard of a child until it fell silent.
#[derive(Debug, Default)]
struct ChildOutput {
    lines: Vec<u8>,
    errors: Vec<u8>,
    timed_out: bool,
}

/// Room for the largest document, each of whose bytes may take six in JSON.
const MOST_LINES: usize = 64 << 20;
const MOST_ERRORS: usize = 64 << 10;

fn listen(child: &mut Child, deadline: Instant) -> io::Result<ChildOutput> {
    let mut heard = ChildOutput::default();
    let (Some(mut output), Some(mut errors)) = (child.stdout.take(), child.stderr.take()) else { return Ok(heard) };
    let (mut output_open, mut errors_open) = (true, true);
    let mut buffer = vec![0; 64 * 1024];
    // Its standard error may be held open by what it started; its lines end with it.
    while output_open {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            heard.timed_out = true;
            break;
        }
        let time = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut ready = [
            PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(errors.as_fd(), PollFlags::IN),
        ];
        let watched = if errors_open { &mut ready[..] } else { &mut ready[..1] };
        match poll(watched, Some(&time)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let (output_ready, errors_ready) = (!ready[0].revents().is_empty(), !ready[1].revents().is_empty());
        if output_ready {
            output_open = take(&mut output, &mut buffer, &mut heard.lines, MOST_LINES)?;
        }
        if errors_open && errors_ready {
            errors_open = take(&mut errors, &mut buffer, &mut heard.errors, MOST_ERRORS)?;
        }
    }
    Ok(heard)
}

/// Reads what there is; false at the end. What is too much is read and let go.
fn take(from: &mut impl Read, buffer: &mut [u8], into: &mut Vec<u8>, most: usize) -> io::Result<bool> {
    let count = from.read(buffer)?;
    into.extend_from_slice(&buffer[..count.min(most.saturating_sub(into.len()))]);
    Ok(count > 0)
}

fn judge(heard: &ChildOutput, status: ExitStatus, limits: &VerifierLimits) -> Result<AttemptOutcome, VerifyError> {
    let mut stage = VerificationStep::Begin;
    for line in heard.lines.split(|byte| *byte == b'\n') {
        match serde_json::from_slice(line) {
            Ok(VerifierLine::Reached(reached)) => stage = reached,
            Ok(VerifierLine::Done(verdict)) if status.success() => return Ok(AttemptOutcome::Verdict(verdict)),
            Ok(VerifierLine::Unopened(words)) if status.success() => return unopened(words),
            Ok(VerifierLine::SlowToOpen(milliseconds)) if status.success() => {
                return Err(VerifyError::SlowToOpen { taken: Duration::from_millis(milliseconds) });
            }
            Ok(VerifierLine::Done(_) | VerifierLine::Unopened(_) | VerifierLine::SlowToOpen(_)) | Err(_) => {}
        }
    }
    // Nothing of the plugin had run yet: this says nothing of it.
    let before_it = stage == VerificationStep::Begin;
    let stage = stage.in_words();
    if heard.timed_out || status.code() == Some(child::TIMED_OUT) || status.signal() == Some(libc::SIGXCPU) {
        return Err(VerifyError::TimedOut { stage, limit: limits.time });
    }
    let errors = String::from_utf8_lossy(&heard.errors);
    if errors.contains("memory allocation of") || errors.contains("cannot allocate memory") {
        return Err(VerifyError::NoMemory { stage, limit: limits.memory });
    }
    match (status.signal(), status.code()) {
        (signal, code) if before_it => {
            let how = signal.map_or_else(|| format!("status {}", code.unwrap_or_default()), signals::name);
            let hint = low_limit(limits).map(|limit| format!(" ({limit})")).unwrap_or_default();
            Err(VerifyError::NotRun(format!("the verifying process ended with {how} before it had begun{hint}")))
        }
        (Some(libc::SIGKILL), _) => {
            Err(VerifyError::NotRun("the verifying process was killed from outside".to_owned()))
        }
        (Some(signal), _) => {
            let said =
                errors.trim().lines().last().map(|line| format!(" (it said: {})", one_line(line))).unwrap_or_default();
            Ok(bad(format!("it crashed with {} while {stage}{said}", signals::name(signal))))
        }
        (None, code) => Ok(bad(format!("it ended the process with status {} while {stage}", code.unwrap_or_default()))),
    }
}

/// Names a hard limit of this process that leaves the child less than it should have.
fn low_limit(limits: &VerifierLimits) -> Option<String> {
    let enough = VerifierLimits { memory: 64 << 20, ..limits.clone() };
    let names = [(Resource::As, "address space"), (Resource::Nofile, "open files"), (Resource::Fsize, "file size")];
    let low = |(resource, _): &&(Resource, &str)| {
        let least = if *resource == Resource::Nofile { 16 } else { enough.memory };
        rustix::process::getrlimit(*resource).maximum.is_some_and(|hard| hard < least)
    };
    let (resource, name) = names.iter().find(low)?;
    let hard = rustix::process::getrlimit(*resource).maximum?;
    Some(format!("this server's hard limit for {name} is {hard}: raise it"))
}

fn bad(sentence: String) -> AttemptOutcome {
    AttemptOutcome::Verdict(Verdict::Bad(sentence))
}

fn unopened(words: String) -> Result<AttemptOutcome, VerifyError> {
    // The linker says no more when memory is too short, or when the file system forbids execution.
    if words.contains("failed to map segment") {
        return Err(VerifyError::NotRun(format!(
            "its library could not be mapped (is memory short, or the file system mounted `noexec`?): {}",
            one_line(&words)
        )));
    }
    Ok(AttemptOutcome::Unopened(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sections::Sections;
    use camlock_policy::Digest;
    use camlock_policy::manifest;
    use std::fs;

    /// This program's harness has a `main` of its own, which never heard of verification: starting it again would run all
    /// tests a second time.
    #[test]
    fn a_program_that_is_not_armed_is_never_started_again() {
        let dir = tempfile::tempdir().unwrap();
        let package = [("name", "hello"), ("version", "1.0.0")];
        let package = package.map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec())).into();
        let sections = Sections {
            manifest: manifest::read(&package, b"").unwrap(),
            abi: "1.0".into(),
            sdk: String::new(),
            rustc: String::new(),
            panic: "unwind".into(),
            fingerprint: String::new(),
            requires: Vec::new(),
            crate_name: "hello".into(),
            migrations: Vec::new(),
            config_schema: None,
            stays: None,
        };
        let artifact = Artifact {
            digest: Digest::of(b""),
            path: dir.path().join("hello.so"),
            size: 0,
            sections,
            copy: std::sync::Arc::default(),
        };
        let verifier = Verifier::new(dir.path().join("verdicts"), VerifierLimits::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let error = runtime.block_on(verifier.verify(&artifact)).unwrap_err();
        assert!(matches!(error, VerifyError::NotArmed));
        assert_eq!(
            error.to_string(),
            "this program cannot verify plugins: call `camlock_loader::run_verifier_if_asked()` first thing in `main`, \
             for verification starts the program again"
        );
        assert_eq!(fs::read_dir(dir.path().join("verdicts")).unwrap().count(), 0);
    }
}
