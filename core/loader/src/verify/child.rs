//! The verifying child: opens the library, makes an instance, asks, drops, closes, looks, and tells after each step.

use super::{
    CHILD_NAME, VARIABLES, Verdict, VerificationReport, VerificationStep, VerifierLine,
    configured::{TrialConfig, trial_config},
    confine,
};
use crate::{
    constructors::destruct,
    create::{describe, step_of},
    functions::Functions,
    hints::hint_on,
    host::HostSide,
    job::LeasedJob,
    library::{FirstCalls, Library},
    signals,
    surroundings::PluginSurroundings,
    symbols::Symbols,
    words::one_line,
};
use camlock_abi::{AbiVersion, FailureKind, FailureMessage, OpenOptions, RStr};
use camlock_policy::Lease;
use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    path::PathBuf,
    process,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

static ARMED: AtomicBool = AtomicBool::new(false);

/// The one call that a program which loads plugins makes, first thing in `main`.
///
/// The program verifies plugins in a child process, and that child is the program itself, started again: in the child this
/// call does the work and never returns. Without it verification refuses to run, rather than start the whole program twice.
pub fn run_verifier_if_asked() {
    run_verifier_if_asked_within(|| false);
}

/// The same; before any of a candidate's code is there, the child is closed by this as far as it can: true if it was. It has one
/// thread then.
pub fn run_verifier_if_asked_within(fence: fn() -> bool) {
    let mut arguments = std::env::args_os();
    if arguments.next().is_some_and(|name| name == CHILD_NAME) {
        let arguments: Vec<_> = arguments.collect();
        let [copy, artifact, crate_name, runtime, name, stays, milliseconds] = &arguments[..] else {
            process::exit(64)
        };
        let (Some(crate_name), Some(name), Some(milliseconds)) =
            (crate_name.to_str(), name.to_str(), milliseconds.to_str().and_then(|text| text.parse().ok()))
        else {
            process::exit(64)
        };
        let candidate = Specimen {
            copy: PathBuf::from(copy),
            artifact: PathBuf::from(artifact),
            crate_name: crate_name.to_owned(),
            runtime: runtime == "tokio",
            name: name.to_owned(),
            stays: stays.to_str().filter(|stays| !stays.is_empty()).map(str::to_owned),
            limit: Duration::from_millis(milliseconds),
            variables: variables_given(),
        };
        process::exit(if run(&candidate, fence).is_ok() { 0 } else { 70 });
    }
    ARMED.store(true, Ordering::Relaxed);
}

/// The plugin's variables, which the parent hands over in the environment: arguments are seen by everybody.
fn variables_given() -> BTreeMap<String, String> {
    let given = std::env::var(VARIABLES).unwrap_or_default();
    // SAFETY: this process has one thread: nobody else reads its environment now. Later the plugin's code may.
    unsafe { std::env::remove_var(VARIABLES) };
    serde_json::from_str(&given).unwrap_or_default()
}

/// Whether this program makes the call above.
pub(super) fn is_armed() -> bool {
    ARMED.load(Ordering::Relaxed)
}

/// What is to be verified.
struct Specimen {
    /// What is opened.
    copy: PathBuf,
    /// What it was made of, where names are.
    artifact: PathBuf,
    crate_name: String,
    runtime: bool,
    name: String,
    stays: Option<String>,
    limit: Duration,
    variables: BTreeMap<String, String>,
}

/// Where the child's lines go: a duplicate of the standard output it was started with. What the plugin prints goes to the
/// standard error instead.
struct Teller(File);

impl Teller {
    fn new() -> std::io::Result<Self> {
        let lines = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
        rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
        Ok(Teller(File::from(lines)))
    }

    fn tell(&mut self, line: &VerifierLine) -> std::io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.0.write_all(&text)
    }
}

fn run(candidate: &Specimen, fence: fn() -> bool) -> std::io::Result<()> {
    // A panic of the plugin is told by its message; the host's own hook would print it a second time.
    std::panic::set_hook(Box::new(|_| ()));
    let mut teller = Teller::new()?;
    let confined = confine::to_working_directory();
    let fenced = fence();
    teller.tell(&VerifierLine::Reached(VerificationStep::Open))?;
    let began = Instant::now();
    let opened = match Library::open(&candidate.copy, &candidate.crate_name, candidate.stays.clone()) {
        Ok(opened) => opened,
        Err(error) => return teller.tell(&VerifierLine::Unopened(error.0)),
    };
    let taken = began.elapsed();
    if taken > LONGEST_OPENING {
        return teller.tell(&VerifierLine::SlowToOpen(taken.as_millis() as u64));
    }
    let verdict = match try_all(candidate, opened, &mut teller)? {
        Ok(report) => Verdict::Good(report),
        Err(reason) if confined && wrote_elsewhere(&reason) => Verdict::Bad(format!("{reason}{HINT}")),
        Err(reason) if fenced && reached_out(&reason) => Verdict::Bad(format!("{reason}{HINT_ON_REACH}")),
        Err(reason) => Verdict::Bad(reason),
    };
    teller.tell(&VerifierLine::Done(verdict))
}

const HINT: &str =
    " (while it is verified it may write to its working directory only: what writes elsewhere belongs into `start`)";

/// Whether a failure is what comes of writing where the child may not.
fn wrote_elsewhere(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    ["permission denied", "os error 13", "readonly database", "read-only", "unable to open database file"]
        .iter()
        .any(|sign| reason.contains(sign))
}

const HINT_ON_REACH: &str =
    " (while it is verified it has no network, and starts no programs: what needs them belongs into `start`)";

/// Whether a failure is what comes of reaching for what the child has not.
fn reached_out(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    reason.contains("operation not permitted") || reason.contains("os error 1)")
}

/// The outer result is about telling, the inner one about the plugin.
fn try_all(
    candidate: &Specimen,
    (mut library, first_calls): (Library, FirstCalls),
    teller: &mut Teller,
) -> std::io::Result<Result<VerificationReport, String>> {
    // SAFETY: the library is mapped until the end of this function, and this is its first use.
    unsafe { first_calls.run() };
    let entry = first_calls.entry;
    teller.tell(&VerifierLine::Reached(VerificationStep::Layouts))?;
    // Contract 1.x: the version lies in the part of the root that never changes.
    let AbiVersion { minor, .. } = entry.root.abi();
    if let Err(reason) = crate::layout::check(entry, minor) {
        return Ok(Err(reason));
    }
    teller.tell(&VerifierLine::Reached(VerificationStep::Instance))?;
    let lease = Lease::first(|| ());
    let symbols = Symbols::of(candidate.artifact.clone());
    // A directory that goes with this process: what `create` leaves there is nobody's.
    let dir = std::env::current_dir()?;
    let surroundings = PluginSurroundings::new(&candidate.name, Some(dir.clone()), &dir, &candidate.variables);
    let side = HostSide::new(&candidate.name, 0, lease.watch(), None, symbols, surroundings);
    let _ = side.range.set(library.range.clone());
    let root = entry.root;
    let options = OpenOptions { verifying: true, runtime: candidate.runtime, name: RStr::from_str(&candidate.name) };
    // SAFETY: this function keeps the host's side until the library is closed or the process ends.
    let object = unsafe { root.open()(side.reference(), &options) };
    if object.is_null() {
        return Ok(Err("it could not make an instance".to_owned()));
    }
    let functions = Functions { root, object };
    // SAFETY: the lease keeps the instance.
    let told = unsafe { describe(functions, &side) }.config_schema;
    let TrialConfig { schema, config, lacking } = match trial_config(told) {
        Ok(trial) => trial,
        Err(reason) => return Ok(Err(reason)),
    };
    side.set_config(config);

    teller.tell(&VerifierLine::Reached(VerificationStep::Create))?;
    let mut report = VerificationReport { config_schema: schema, unseen: lacking, ..VerificationReport::default() };
    // SAFETY: root and object belong together; the lease keeps them.
    let create = unsafe { root.create()(object) };
    match LeasedJob::drive_under(create, &lease, candidate.limit) {
        Some(Ok(_)) => report.unseen = None,
        // Placeholders fit the schema, and perhaps not the world: its real configuration decides.
        Some(Err(failure)) if failure.kind == FailureKind::Error && report.config_schema.is_some() => {
            let lacking = report.unseen.take().map(|lacking| format!("; {lacking}")).unwrap_or_default();
            report.unseen = Some(format!("{}{lacking}", failed("`create`", failure)));
        }
        Some(Err(failure)) => return Ok(Err(failed(&step_of(failure.kind).to_string(), failure))),
        // Left to the parent, whose time is over too: it is not the plugin's last word.
        None => process::exit(TIMED_OUT),
    }
    teller.tell(&VerifierLine::Reached(VerificationStep::Describe))?;
    // SAFETY: the lease keeps the instance.
    report.openapi = unsafe { describe(functions, &side) }.openapi;

    // What was not created has nothing to end.
    if report.unseen.is_none() {
        teller.tell(&VerifierLine::Reached(VerificationStep::Shutdown))?;
        // SAFETY: as above.
        let shutdown = unsafe { root.shutdown()(object) };
        match LeasedJob::drive_under(shutdown, &lease, candidate.limit) {
            Some(Ok(_)) => {}
            Some(Err(failure)) => return Ok(Err(failed("`shutdown`", failure))),
            None => process::exit(TIMED_OUT),
        }
    }
    side.end_spawned();
    drop(lease);

    teller.tell(&VerifierLine::Reached(VerificationStep::Close))?;
    // SAFETY: every job is gone, nothing else was asked for.
    unsafe { root.close()(object) };
    teller.tell(&VerifierLine::Reached(VerificationStep::Unmap))?;
    report.stays = unmap(&mut library).err();
    Ok(Ok(report))
}

/// How long the constructors of the libraries that a plugin needs may take, with the linker's own work. They run within
/// `dlopen`, where nobody can be given up.
pub(super) const LONGEST_OPENING: Duration = Duration::from_secs(3);

/// The child's exit code when a call did not end.
pub(super) const TIMED_OUT: i32 = 75;

fn failed(what: &str, failure: FailureMessage) -> String {
    let hint = hint_on(&failure.message);
    match failure.kind {
        FailureKind::Panic | FailureKind::PanicInRoutes => {
            format!("{what} panicked: {} ({}){hint}", one_line(&failure.message), one_line(&failure.location))
        }
        _ => format!("{what} failed: {}{hint}", one_line(&failure.message)),
    }
}

fn unmap(library: &mut Library) -> Result<(), String> {
    // Threads that were told to end need a moment to be gone.
    let deadline = Instant::now() + Duration::from_millis(500);
    while let [thread, ..] = &library.footprint.threads()[..] {
        if Instant::now() > deadline {
            return Err(format!("thread `{thread}` of the plugin still runs"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    signals::withdraw(library.footprint.member())?;
    if let Some(signal) = signals::handled_within(&library.range) {
        return Err(format!("a handler for {signal} lies in the plugin"));
    }
    library.footprint.retire(Duration::ZERO);
    library.footprint.close(Duration::from_millis(500))?;
    let destructors = library.take_destructors();
    // SAFETY: they are the library's, which is mapped and of which nothing else will be called; they were taken, so they run once.
    unsafe { destruct(&destructors) };
    library.close()
}
