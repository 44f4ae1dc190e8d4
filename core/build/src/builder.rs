//! What implements core's port `Sources`: the directory is looked at, and its entries are built, one at a time.
//!
//! What must not live here: how one build goes (`job.rs`).

use crate::{
    cargo::Profile,
    child::Switch,
    directory::Directory,
    job::BuildJob,
    known::KnowledgeStore,
    observed::{EntryContext, Identify},
    queue::{BuildQueue, Lane, Turn},
    regular, removed, running,
    snapshot::EntrySnapshot,
    syntax,
    tools::Tools,
    under_way::UnderWay,
};
use camlock_policy::{
    BoxFuture, BuildPriority, BuildProgress, Built, Entry, Failure, Kind, Progress, Scan, Sources, Stage,
};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::sync::Semaphore;

/// What a library says of itself in its sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryIdentity {
    /// The plugin's name.
    pub name: String,
    /// The fingerprint that it was built from.
    pub fingerprint: String,
}

/// Reads what a library says of itself, without running it.
pub type Inspect = Arc<dyn Fn(&Path) -> Result<LibraryIdentity, Failure> + Send + Sync>;

/// How long the build of a plugin, given by its name, may take.
pub type BuildLimit = Arc<dyn Fn(&str) -> Duration + Send + Sync>;

/// Hears what compilers say, whole and as they print it, while they say it. Warnings too.
#[derive(Clone)]
pub struct CompilerListener {
    /// With colours.
    pub colours: bool,
    /// Hears one message.
    pub hear: Arc<dyn Fn(&str) + Send + Sync>,
}

/// Where plugins come from, and how they are built.
#[derive(Clone)]
pub struct BuilderOptions {
    /// The plugins directory. It need not be there.
    pub plugins: PathBuf,
    /// The data directory: builds and the SDK go below it.
    pub data: PathBuf,
    /// Where entries go that are removed.
    pub removed: PathBuf,
    /// How plugins are built.
    pub profile: Profile,
    /// How long a build may take.
    pub limit: BuildLimit,
    /// After so long a wait for another build, a build begins beside it, in a target directory of its own.
    pub spare_after: Duration,
    /// Reads a prebuilt library's name.
    pub identify: Identify,
    /// Reads a library that was built.
    pub inspect: Inspect,
    /// Whether what is built reaches nothing but what a build needs.
    pub sandbox: bool,
    /// Who listens to compilers.
    pub listener: Option<CompilerListener>,
    /// Changes to the environment that builds see, for tests: set, or removed.
    pub environment: Vec<(String, Option<String>)>,
}

impl BuilderOptions {
    /// The usual ones.
    pub fn new(plugins: impl Into<PathBuf>, data: impl Into<PathBuf>, identify: Identify, inspect: Inspect) -> Self {
        let data = data.into();
        BuilderOptions {
            plugins: plugins.into(),
            removed: data.join("removed"),
            data,
            profile: Profile::Quick,
            limit: Arc::new(|_| camlock_policy::Limits::default().build),
            spare_after: Duration::from_secs(120),
            identify,
            inspect,
            sandbox: false,
            listener: None,
            environment: Vec::new(),
        }
    }
}

impl fmt::Debug for BuilderOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BuilderOptions { plugins, data, profile, .. } = self;
        formatter
            .debug_struct("Options")
            .field("plugins", plugins)
            .field("data", data)
            .field("profile", profile)
            .finish_non_exhaustive()
    }
}

/// The plugins directory, and what makes libraries of its entries.
#[derive(Clone)]
pub struct Builder(Arc<BuilderCore>);

/// What all builds share.
pub(crate) struct BuilderCore {
    pub(crate) directory: Directory,
    pub(crate) tools: Tools,
    pub(crate) profile: Profile,
    pub(crate) data: PathBuf,
    pub(crate) inspect: Inspect,
    removed: PathBuf,
    pub(crate) listener: Option<CompilerListener>,
    limit: BuildLimit,
    queue: BuildQueue,
    /// So many sources are read at once while they wait.
    readers: Arc<Semaphore>,
    under_way: UnderWay,
}

impl fmt::Debug for Builder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Builder").field("data", &self.0.data).finish_non_exhaustive()
    }
}

impl Builder {
    /// Makes ready, and ends what a server that was killed has left running.
    pub fn new(options: BuilderOptions) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        // Build scripts are told such paths, and cargo compares them: links in them would only confuse.
        let _ = std::fs::create_dir_all(&options.data);
        let data = options.data.canonicalize().unwrap_or_else(|_| absolute(&options.data));
        let mut tools = Tools::from_environment();
        for (name, value) in &options.environment {
            tools = tools.set(name, value.as_deref().map(OsStr::new));
        }
        if options.sandbox {
            tools = tools.fenced(&absolute(&options.plugins), &data);
        }
        let memory = KnowledgeStore::at(data.join("builds/known"));
        running::end_leftovers(&data.join("builds/running"));
        let common =
            EntryContext { identify: options.identify, tools: tools.clone(), memory, profile: options.profile.name() };
        let directory = Directory::new(absolute(&options.plugins), &data, common);
        Builder(Arc::new(BuilderCore {
            directory,
            tools,
            profile: options.profile,
            data,
            inspect: options.inspect,
            removed: options.removed,
            listener: options.listener,
            limit: options.limit,
            queue: BuildQueue::new(options.spare_after),
            readers: Arc::new(Semaphore::new(2)),
            under_way: UnderWay::default(),
        }))
    }

    /// Why nothing can be built here, if that is so: one sentence.
    pub fn cannot_build(&self) -> Option<String> {
        self.0.cannot_build()
    }

    /// The `Cargo.lock` of the last build of an entry of this name, if it was built here.
    pub fn lock_of(&self, name: &str) -> Option<Vec<u8>> {
        regular::read_own(&self.0.data.join("builds/src").join(name).join("Cargo.lock")).ok()
    }

    /// Ends every build with all its processes, whoever still waits for it; from now on none begins. To be called before the
    /// process ends, for what it started would outlive it. It blocks its thread for as long as killed processes take to go.
    pub fn end(&self) {
        self.0.under_way.end(PATIENCE);
    }
}

/// How long processes that were killed may take to go: on a disk that does not answer they do not.
const PATIENCE: Duration = Duration::from_secs(5);

impl BuilderCore {
    pub(crate) fn cannot_build(&self) -> Option<String> {
        let missing = ["cargo", "rustc"].into_iter().find(|tool| self.tools.find(tool).is_none())?;
        Some(format!(
            "{missing} is not installed (it is not in the server's PATH), so that this server can serve prebuilt NAME.so \
             files only; install Rust from https://rustup.rs, or build the plugin elsewhere"
        ))
    }

    /// The entry as it is now, if a plugin can come of it.
    fn take(&self, entry: &Entry) -> Result<Arc<EntrySnapshot>, Failure> {
        let gone = || Failure::new(Stage::Manifest, format!("{} is gone", entry.path.display()));
        let snapshot = self.directory.snapshot(&entry.path).ok_or_else(gone)?;
        match &snapshot.entry.problem {
            Some(problem) => Err(problem.clone()),
            None => Ok(snapshot),
        }
    }
}

impl BuilderCore {
    /// Waits for a lane. What cannot even be read as Rust is told at once, not after the builds of others.
    async fn turn(
        self: Arc<Self>,
        entry: &Entry,
        priority: BuildPriority,
        progress: &Progress,
    ) -> Result<Turn, Failure> {
        let mut queued = self.queue.join(&entry.name, priority);
        let turn = match queued.try_begin() {
            Some(turn) => turn,
            None => {
                let (shared, read) = (self.clone(), entry.clone());
                let reading = async {
                    let _reader = self.readers.acquire().await;
                    let read = tokio::task::spawn_blocking(move || syntax::check(&shared, &*shared.take(&read).ok()?));
                    // Whatever goes wrong with that, the build tells.
                    read.await.ok().flatten()
                };
                let mut turn = pin!(queued.begin(|doing| {
                    progress(BuildProgress { doing, is_queued: true, ..BuildProgress::default() });
                }));
                tokio::select! {
                    biased;
                    turn = &mut turn => turn,
                    unreadable = reading => match unreadable {
                        Some(failure) => return Err(failure),
                        None => turn.await,
                    },
                }
            }
        };
        progress(BuildProgress { doing: "preparing the build".to_owned(), ..BuildProgress::default() });
        Ok(turn)
    }
}

impl Sources for Builder {
    fn scan(&self) -> Scan {
        self.0.directory.scan()
    }

    fn build(&self, entry: &Entry, priority: BuildPriority, progress: Progress) -> BoxFuture<Result<Built, Failure>> {
        let (shared, entry) = (Arc::clone(&self.0), entry.clone());
        Box::pin(async move {
            if entry.kind == Kind::BuiltIn {
                return Err(Failure::new(Stage::Build, "what is compiled in is not built"));
            }
            let switch = Switch::default();
            let build = shared.under_way.begin(&switch);
            // Dropped with the future, wherever that stands.
            let _end = EndWithMe(switch.clone());
            let turn = if entry.kind == Kind::Prebuilt {
                None
            } else {
                Some(shared.clone().turn(&entry, priority, &progress).await?)
            };
            let work = tokio::task::spawn_blocking(move || {
                let lane = turn.as_ref().map_or(Lane::Main, |turn| turn.lane);
                // The lane is given up when the build's processes are gone, not when nobody wants them any more.
                let _until_then = (turn, build);
                let snapshot = shared.take(&entry)?;
                if entry.kind == Kind::Prebuilt {
                    return Ok(Built { candidate: entry.path, fingerprint: snapshot.fingerprint().clone() });
                }
                let limit = (shared.limit)(&snapshot.entry.name);
                BuildJob { shared: &shared, snapshot: &snapshot, lane, switch, limit }.run(&progress)
            });
            let panicked = |error| Failure::transient(Stage::Build, format!("the build ended unexpectedly: {error}"));
            work.await.unwrap_or_else(|error| Err(panicked(error)))
        })
    }

    fn remove(&self, entry: &Entry) -> Result<PathBuf, Failure> {
        removed::move_away(&entry.path, &self.0.removed)
    }

    fn outside(&self) -> BTreeSet<PathBuf> {
        self.0.directory.outside()
    }
}

struct EndWithMe(Switch);

impl Drop for EndWithMe {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
