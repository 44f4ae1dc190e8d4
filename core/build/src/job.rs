//! One build, from the sources to a library that was looked at. It blocks its thread.

use crate::{
    builder::BuilderCore,
    cargo::{self, CargoInvocation},
    child::{self, ChildEnd, Stream, Switch},
    known::BuildKnowledge,
    learned, lock_file,
    messages::CompilerOutput,
    queue::Lane,
    regular::{self, Links},
    running::BuildNote,
    sdk, shadow,
    snapshot::{EntrySnapshot, Recipe},
    toolchain::Compiler,
    trouble::{self, BuildOutcome},
    whole::temporary_beside,
    words::{in_words, one_line},
};
use camlock_policy::{BuildProgress, Built, Failure, Kind, Progress, Stage};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::{Duration, Instant, SystemTime},
};

/// A build to be done.
pub(crate) struct BuildJob<'a> {
    pub(crate) shared: &'a BuilderCore,
    pub(crate) snapshot: &'a EntrySnapshot,
    pub(crate) lane: Lane,
    pub(crate) switch: Switch,
    pub(crate) limit: Duration,
}

/// Where things lie during a build.
struct BuildPlaces {
    shadow: PathBuf,
    target: PathBuf,
    /// Where cargo puts the library.
    output: PathBuf,
    platform: Option<String>,
    sdk: sdk::Unpacked,
}

/// What says that a directory is a cache: https://bford.info/cachedir/.
const CACHE: &str = "Signature: 8a477f597d28d172789f06886806bc55\n";

/// How much of cargo's standard error is kept.
const MOST_SAID: usize = 256 << 10;

impl BuildJob<'_> {
    pub(crate) fn run(self, progress: &Progress) -> Result<Built, Failure> {
        let Some(recipe) = &self.snapshot.recipe else {
            return Err(Failure::new(Stage::Build, "there is nothing to build"));
        };
        if let Some(reason) = self.shared.cannot_build() {
            return Err(Failure::new(Stage::Build, reason));
        }
        let deadline = Instant::now() + self.limit;
        let name = &self.snapshot.entry.name;
        let places = self.places(recipe).map_err(|error| self.not_prepared(&error))?;
        // Another server on the same data may build the same plugin: one after the other.
        let _turn = self.take_turn(deadline)?;
        let mut known = self.shared.directory.known(name);
        shadow::cast(&places.shadow, self.snapshot, recipe).map_err(|error| self.not_prepared(&error))?;
        let builds = self.shared.data.join("builds");
        let lock = lock_file::prepare(&places.shadow, &builds, self.snapshot, known.lock.as_deref());
        known.lock = lock.map_err(|error| self.not_prepared(&error))?;
        let packages = self.shared.directory.contents(self.snapshot);
        forget_changed(&places, &known.packages, &packages);

        let started = SystemTime::now();
        let mut attempt = self.attempt(&places, &known, deadline, progress)?;
        let mut checked = attempt.as_ref().ok().map(|(library, _)| self.check(library));
        if let Some(Ok(None)) = checked {
            // Another package's library of the same name lies where this one should, and cargo believes it to be this one.
            forget(&places, name);
            attempt = self.attempt(&places, &known, deadline, progress)?;
            checked = attempt.as_ref().ok().map(|(library, _)| self.check(library));
        }
        let (library, units) = match attempt {
            Ok(made) => made,
            Err(failure) => {
                learned::from_failure(&mut known, self.snapshot, &places.shadow, &places.output, started, &failure);
                let _ = self.shared.directory.learn(name, known);
                return Err(failure);
            }
        };
        lock_file::share(&places.shadow, &builds, self.snapshot, recipe);
        let candidate = checked.transpose()?.flatten().ok_or_else(|| {
            let reason = format!(
                "cargo made a library of something else in place of `{name}`: another package's library is called so"
            );
            Failure::new(Stage::Build, reason)
        })?;
        let taught = BuildKnowledge {
            units: Some(units),
            compiler: match &recipe.compiler {
                Compiler::Known(version) => Some(version.clone()),
                _ => None,
            },
            lock: known.lock,
            packages,
            ..learned::from_success(
                self.snapshot,
                recipe,
                &places.shadow,
                &self.shared.data,
                &self.shared.tools,
                &library,
            )
        };
        self.shared.directory.learn(name, taught).map_err(|error| self.not_prepared(&error))?;
        Ok(Built { candidate, fingerprint: self.shared.directory.fingerprint_after(self.snapshot, started) })
    }

    fn places(&self, recipe: &Recipe) -> io::Result<BuildPlaces> {
        let builds = self.shared.data.join("builds");
        let profile = self.shared.profile;
        let spare = if self.lane == Lane::Spare { "-spare" } else { "" };
        let target = builds.join(format!("target-{}{spare}", profile.name()));
        let platform = match &recipe.compiler {
            Compiler::Known(version) if recipe.surroundings.names_target => cargo::host(version).map(str::to_owned),
            _ => None,
        };
        // What is not there cannot be opened to a build that is sandboxed.
        if !target.is_dir() {
            fs::create_dir_all(&target)?;
            // As cargo marks what it makes itself: whoever backs files up may leave it out.
            fs::write(target.join("CACHEDIR.TAG"), CACHE)?;
        }
        Ok(BuildPlaces {
            shadow: builds.join("src").join(&self.snapshot.entry.name),
            output: cargo::output(&target, profile, platform.as_deref()),
            target,
            platform,
            sdk: sdk::unpack(&self.shared.data.join("sdk"))?,
        })
    }

    fn take_turn(&self, deadline: Instant) -> Result<File, Failure> {
        let directory = self.shared.data.join("builds/src");
        let path = directory.join(format!(".{}.lock", self.snapshot.entry.name));
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = fs::create_dir_all(&directory)
            .and_then(|()| Ok(rustix::fs::open(path, flags, Mode::from_raw_mode(0o666))?));
        let file = File::from(opened.map_err(|error: io::Error| self.not_prepared(&error))?);
        // A lock of another process has no event that could be waited for together with our own end.
        while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(self.not_prepared(&error.into()));
            }
            if self.switch.is_cancelled() || Instant::now() >= deadline {
                let reason = "another server on the same data directory is building it; it is tried again";
                return Err(Failure::transient(Stage::Build, reason));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(file)
    }

    fn not_prepared(&self, error: &io::Error) -> Failure {
        let (data, why) = (self.shared.data.display(), in_words(error));
        Failure::transient(Stage::Build, format!("the build cannot be prepared in {data}: {why}; it is tried again"))
    }

    /// Lets cargo build it; without the network, if that does not answer. The outer failure ends the whole build, of the inner
    /// one something can be learned.
    #[allow(clippy::type_complexity, reason = "two sorts of failure, and what is made")]
    fn attempt(
        &self,
        places: &BuildPlaces,
        known: &BuildKnowledge,
        deadline: Instant,
        progress: &Progress,
    ) -> Result<Result<(PathBuf, usize), Failure>, Failure> {
        let first = self.cargo(places, known, deadline, progress, false)?;
        let Ran::Failed { failure, said } = first else { return Ok(first.made()) };
        if !trouble::is_network(&said) {
            return Ok(Err(failure));
        }
        // What was fetched once is still there.
        match self.cargo(places, known, deadline, progress, true)? {
            made @ Ran::Made { .. } => Ok(made.made()),
            // Without the network it comes as far as the compiler: so that was not what is wrong.
            Ran::Failed { failure: offline, .. } if !offline.diagnostics.iter().all(|one| one.line == 0) => {
                Ok(Err(offline))
            }
            Ran::Failed { .. } => Ok(Err(failure)),
        }
    }

    fn cargo(
        &self,
        places: &BuildPlaces,
        known: &BuildKnowledge,
        deadline: Instant,
        progress: &Progress,
        offline: bool,
    ) -> Result<Ran, Failure> {
        let name = &self.snapshot.entry.name;
        let order = CargoInvocation {
            package: name,
            shadow: &places.shadow,
            target: &places.target,
            profile: self.shared.profile,
            sdk: &places.sdk,
            platform: places.platform.as_deref(),
            offline,
            colours: self.shared.listener.as_ref().is_some_and(|listener| listener.colours),
        };
        let Some(cargo) = self.shared.tools.find("cargo") else {
            return Err(Failure::new(Stage::Build, self.shared.cannot_build().unwrap_or_default()));
        };
        let changes: [&Path; 2] = [&places.shadow, &places.target];
        let mut command = self.shared.tools.command_that_changes(&cargo, self.snapshot.directory(), &changes);
        command
            .args(cargo::arguments(&order))
            .env("CAMLOCK_BUILD_FINGERPRINT", &self.snapshot.fingerprint().0)
            .env("CARGO_TERM_PROGRESS_WHEN", "never");
        let author =
            if self.snapshot.entry.kind == Kind::Crate { self.snapshot.root.clone() } else { places.shadow.clone() };
        let mut heard = CompilerOutput::new(places.shadow.clone(), author);
        let (mut said, mut doing) = (String::new(), "Resolving dependencies".to_owned());
        let running = BuildNote::note(&self.shared.data.join("builds/running"));
        let end = child::run(&mut command, &running.id, &self.switch, deadline, |stream, line| {
            match stream {
                Stream::Output => {
                    if let (Some(said), Some(listener)) = (heard.line(line), &self.shared.listener) {
                        (listener.hear)(&said);
                    }
                }
                Stream::Errors => {
                    let line = String::from_utf8_lossy(line);
                    if let Some(what) = being_done(&line) {
                        what.clone_into(&mut doing);
                    }
                    if said.len() < MOST_SAID {
                        said.push_str(&line);
                        said.push('\n');
                    }
                }
            }
            progress(BuildProgress { doing: doing.clone(), done: heard.done, total: known.units, is_queued: false });
        });
        let status = match end {
            Ok(ChildEnd::Exited(status)) => status,
            Ok(ChildEnd::TimedOut) => {
                let (seconds, doing) = (self.limit.as_secs_f64(), one_line(&doing));
                let reason = format!(
                    "it was not built within {seconds} s and was ended while it was at this: {doing}; \
                     mend what hangs, or raise `limits.build`"
                );
                return Err(Failure::transient(Stage::Build, reason));
            }
            Ok(ChildEnd::Cancelled) => return Err(Failure::transient(Stage::Build, "the build was called off")),
            Err(error) => {
                let reason = format!("cargo cannot be started: {}; it is tried again", in_words(&error));
                return Err(Failure::transient(Stage::Build, reason));
            }
        };
        Ok(self.judge(status, heard, said, places))
    }

    fn judge(&self, status: ExitStatus, heard: CompilerOutput, said: String, places: &BuildPlaces) -> Ran {
        match heard.library {
            Some(library) if status.success() => Ran::Made { library, units: heard.done },
            None if status.success() => {
                let reason = "cargo built it, but no library came of it that a server can load";
                Ran::Failed { failure: Failure::new(Stage::Build, reason), said }
            }
            _ => {
                let manifest = match self.snapshot.entry.kind {
                    Kind::Crate => "Cargo.toml".to_owned(),
                    _ => self.snapshot.entry.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                };
                let outcome = BuildOutcome {
                    status,
                    errors: &heard.errors,
                    count: heard.count,
                    said: &said,
                    shadow: &places.shadow.to_string_lossy(),
                    manifest: &manifest,
                };
                Ran::Failed { failure: trouble::explain(&outcome), said }
            }
        }
    }

    /// Copies the library to where no other build replaces it, and looks whether it is what was to be built. None if it is
    /// another one.
    fn check(&self, library: &Path) -> Result<Option<PathBuf>, Failure> {
        let name = &self.snapshot.entry.name;
        let path = self.shared.data.join("builds/out").join(format!("{name}.so"));
        let copied = temporary_beside(&path).and_then(|mut copy| {
            io::copy(&mut regular::open(library, Links::Refuse)?.0, copy.as_file_mut())?;
            copy.persist(&path).map_err(|error| error.error)
        });
        copied.map_err(|error| self.not_prepared(&error))?;
        let identity = (self.shared.inspect)(&path)?;
        Ok((identity.name == *name && identity.fingerprint == self.snapshot.fingerprint().0).then_some(path))
    }
}

/// What came of running cargo.
enum Ran {
    Made { library: PathBuf, units: usize },
    Failed { failure: Failure, said: String },
}

impl Ran {
    fn made(self) -> Result<(PathBuf, usize), Failure> {
        match self {
            Ran::Made { library, units } => Ok((library, units)),
            Ran::Failed { failure, .. } => Err(failure),
        }
    }
}

/// What a line of cargo's says is being done; not where, which is a place of ours.
fn being_done(line: &str) -> Option<&str> {
    let verb = line.trim_start().split(' ').next()?;
    let verbs = ["Compiling", "Checking", "Downloading", "Downloaded", "Updating", "Locking", "Blocking", "Building"];
    (line.starts_with("  ") && verbs.contains(&verb)).then(|| line.split(" (/").next().unwrap_or(line).trim())
}

/// Makes cargo look again at packages that are not what they were at the last build. It would look at times alone, and take
/// an older copy of a file for one that has not changed.
fn forget_changed(places: &BuildPlaces, before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) {
    for (name, content) in now {
        if before.get(name).is_some_and(|before| before != content) {
            forget(places, name);
        }
    }
}

/// Makes cargo build a package anew.
fn forget(places: &BuildPlaces, package: &str) {
    let prefix = format!("{package}-");
    let (Ok(target), Ok(notes)) = (places.target.canonicalize(), places.output.join(".fingerprint").canonicalize())
    else {
        return;
    };
    // A build may have put a link there that leads elsewhere.
    if !notes.starts_with(target) {
        return;
    }
    for entry in fs::read_dir(notes).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let hash = name.to_str().and_then(|name| name.strip_prefix(&prefix));
        if hash.is_some_and(|hash| !hash.contains('-')) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
