//! The host, as a plugin sees it.

use crate::{
    Config, Error, Result, around,
    ask::ProgramServices,
    assets::{self, Assets},
    config::ReadConfig,
};
use anyhow::Context as _;
use camlock_abi::{DirectWaker, FailureMessage, HostRef, Job, RSlice, RStr, TextSink};
use serde::de::DeserializeOwned;
use std::{
    ffi::OsString,
    future::Future,
    marker::PhantomData,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// What the host offers a plugin. Cheap to clone; keep one wherever it is needed.
#[derive(Clone)]
pub struct Host(HostKind);

#[derive(Clone)]
enum HostKind {
    /// Inside a server that loaded the plugin, or has it compiled in.
    Loaded(HostRef, Assets, Arc<ReadConfig>),
    /// Inside an ordinary program, such as the plugin's own tests.
    Program(Arc<Program>),
}

/// What stands for a host in an ordinary program.
struct Program {
    config: Mutex<Config>,
    /// Grows whenever the configuration becomes another.
    revision: AtomicU64,
    read: ReadConfig,
    /// What answers asks, if anything does.
    services: Option<ProgramServices>,
    /// Made when it is asked for, removed with this.
    dir: OnceLock<PathBuf>,
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(dir) = self.dir.get() {
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self.0 {
            HostKind::Loaded(..) => "Host",
            HostKind::Program(_) => "Host(program)",
        })
    }
}

impl Host {
    pub(crate) fn loaded(host: HostRef) -> Self {
        Host(HostKind::Loaded(host, &[], Arc::default()))
    }

    /// The same, of the plugin that has these assets.
    pub(crate) fn with_assets(self, assets: Assets) -> Self {
        match self.0 {
            HostKind::Loaded(host, _, read) => Host(HostKind::Loaded(host, assets, read)),
            program @ HostKind::Program(_) => Host(program),
        }
    }

    pub(crate) fn reference(&self) -> Option<HostRef> {
        match self.0 {
            HostKind::Loaded(host, ..) => Some(host),
            HostKind::Program(_) => None,
        }
    }

    pub(crate) fn program_services(&self) -> Option<ProgramServices> {
        match &self.0 {
            HostKind::Loaded(..) => None,
            HostKind::Program(program) => program.services.clone(),
        }
    }

    /// A host for tests: the functions run on the tokio runtime of the program.
    pub fn in_program() -> Self {
        Host::in_program_with(Config::empty())
    }

    /// The same, with a configuration.
    pub fn in_program_with(config: Config) -> Self {
        Host::in_program_asking(config, None)
    }

    /// The same, where these answer what is asked, for testkits.
    #[doc(hidden)]
    pub fn in_program_asking(config: Config, services: Option<ProgramServices>) -> Self {
        Host(HostKind::Program(Arc::new(Program {
            config: Mutex::new(config),
            revision: AtomicU64::new(0),
            read: ReadConfig::default(),
            services,
            dir: OnceLock::new(),
        })))
    }

    /// The plugin's configuration, read as a type of the author's: what this instance began with, or what its
    /// [`configure`](crate::Plugin::configure) took over since. The error says which part of it is wrong.
    ///
    /// It is there from `create` on. But where a build is verified it is `{}`, whatever operators wrote: so `create` needs a
    /// default for everything, and what must be said is asked for in [`start`](crate::Plugin::start).
    pub fn config<T: DeserializeOwned>(&self) -> Result<T> {
        self.configuration().read()
    }

    /// The same, read once and shared, for handlers that look at it with each request: it is read anew only after it became
    /// another. One type at a time is kept.
    pub fn shared_config<T: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<Arc<T>> {
        let (read, revision) = match &self.0 {
            HostKind::Loaded(host, _, read) => {
                // SAFETY: the host keeps the number where it is while this library is mapped, and writes it atomically.
                let revision = unsafe { AtomicU64::from_ptr(host.table.revision()(host.context).cast_mut()) };
                (&**read, revision.load(Ordering::Acquire))
            }
            HostKind::Program(program) => (&program.read, program.revision.load(Ordering::Acquire)),
        };
        read.shared(revision, || self.config())
    }

    /// The same as text: a JSON object.
    pub fn config_text(&self) -> String {
        self.configuration().text().to_owned()
    }

    fn configuration(&self) -> Config {
        match &self.0 {
            HostKind::Loaded(host, ..) => text_of(*host, "config")
                .map_or_else(Config::empty, |text| Config::of_host(&String::from_utf8_lossy(&text))),
            HostKind::Program(program) => program.config.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// What a host does when a configuration was taken live, for testkits.
    #[doc(hidden)]
    pub fn take_over(&self, config: Config) {
        if let HostKind::Program(program) = &self.0 {
            *program.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
            program.revision.fetch_add(1, Ordering::Release);
        }
    }

    /// The path below which the plugin answers always, without a slash at its end: `/api/v1/p/NAME`. Links and forms of a page that
    /// is served there begin with it. In an ordinary program it is empty.
    pub fn mount(&self) -> String {
        self.reference()
            .and_then(|host| text_of(host, "mount"))
            .map_or_else(String::new, |mount| String::from_utf8_lossy(&mount).into_owned())
    }

    /// A directory of the plugin's own, an absolute path. What is in it is kept across reloads and restarts, and is the same for
    /// all builds of the plugin. Where a build is verified, and in an ordinary program, it is an empty one that is removed again.
    pub fn dir(&self) -> Result<PathBuf> {
        match &self.0 {
            HostKind::Loaded(host, ..) => match text_of(*host, "dir") {
                Some(dir) => Ok(PathBuf::from(OsString::from_vec(dir))),
                None => Err(Error::msg("the host has no directory for this plugin")),
            },
            HostKind::Program(program) => program.dir(),
        }
    }

    /// A directory with the files of the crate's folder `assets`, which travel in the library: for `ServeDir`, templates, and what
    /// else reads files. It belongs to this build, and goes with it. In an ordinary program it is the crate's folder itself.
    ///
    /// The first call writes the files out.
    pub fn assets(&self) -> Result<PathBuf> {
        match &self.0 {
            HostKind::Loaded(host, assets, _) => match text_of(*host, "scratch") {
                Some(dir) => assets::write_out(assets, Path::new(&OsString::from_vec(dir))),
                None => Err(Error::msg("the host has no directory for this plugin's assets")),
            },
            HostKind::Program(_) => {
                let crate_dir = std::env::var_os("CARGO_MANIFEST_DIR")
                    .ok_or_else(|| Error::msg("the crate's folder is not known: run this with cargo"))?;
                Ok(Path::new(&crate_dir).join("assets"))
            }
        }
    }

    /// Whether this host offers a feature by that name.
    pub fn offers(&self, feature: &str) -> bool {
        match self.0 {
            HostKind::Loaded(host, ..) => {
                // SAFETY: the host's record and table are valid while this library is mapped.
                let features = unsafe { host.table.features()(host.context) };
                features.iter().any(|offered| offered.as_str() == feature)
            }
            HostKind::Program(_) => camlock_abi::HOST_FEATURES.contains(&feature),
        }
    }

    /// The time by the host's clock.
    pub fn now(&self) -> SystemTime {
        match self.0 {
            HostKind::Loaded(host, ..) => {
                // SAFETY: as above.
                let nanos = unsafe { host.table.now()(host.context) };
                SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
            }
            HostKind::Program(_) => SystemTime::now(),
        }
    }

    /// Waits on the host's timer. Works without a runtime in the plugin.
    pub async fn sleep(&self, duration: Duration) {
        match self.0 {
            HostKind::Loaded(host, ..) => {
                let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
                // SAFETY: as above.
                let _ = unsafe { host.table.sleep()(host.context, nanos) }.await;
            }
            HostKind::Program(_) => tokio::time::sleep(duration).await,
        }
    }

    /// Runs a future on the host's threads. It ends with the plugin; to end it earlier, use the handle.
    ///
    /// tokio's own functions work best in `tokio::spawn`, which runs on the plugin's runtime; this is for plugins without one.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> Spawned {
        match self.0 {
            HostKind::Loaded(host, ..) => {
                let done = async {
                    future.await;
                    Ok(Vec::new())
                };
                let job = Job::new(done, DirectWaker, |caught| panicked("while dropping a spawned future", caught));
                // SAFETY: as above.
                Spawned(SpawnedTask::Host(host, unsafe { host.table.spawn()(host.context, job) }))
            }
            HostKind::Program(_) => Spawned(SpawnedTask::Program(tokio::spawn(future).abort_handle())),
        }
    }
}

impl Program {
    fn dir(&self) -> Result<PathBuf> {
        if let Some(dir) = self.dir.get() {
            return Ok(dir.clone());
        }
        let name = format!("camlock-plugin-{}-{}", std::process::id(), assets::unique());
        let made = std::env::temp_dir().join(name);
        // Not one that is there already: it would be somebody else's.
        std::fs::create_dir(&made).with_context(|| format!("{} cannot be made", made.display()))?;
        if self.dir.set(made.clone()).is_err() {
            let _ = std::fs::remove_dir(&made);
        }
        Ok(self.dir.get().cloned().unwrap_or(made))
    }
}

/// A future that runs on the host's threads. Dropping this handle leaves it running.
#[derive(Debug)]
pub struct Spawned(SpawnedTask);

enum SpawnedTask {
    Host(HostRef, u64),
    Program(tokio::task::AbortHandle),
}

impl std::fmt::Debug for SpawnedTask {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SpawnedTask::Host(_, id) => write!(formatter, "{id}"),
            SpawnedTask::Program(handle) => handle.fmt(formatter),
        }
    }
}

impl Spawned {
    /// Drops the future, soon.
    pub fn abort(&self) {
        match &self.0 {
            // SAFETY: the host's record and table are valid while this library is mapped.
            SpawnedTask::Host(host, id) => unsafe { host.table.abort()(host.context, *id) },
            SpawnedTask::Program(handle) => handle.abort(),
        }
    }
}

/// One of the host's texts, if it has one by that name.
fn text_of(host: HostRef, name: &str) -> Option<Vec<u8>> {
    unsafe extern "C" fn take(context: *mut (), _: RStr<'_>, text: RSlice<'_, u8>) {
        // SAFETY: `context` is the text below, which waits for this call.
        unsafe { *context.cast::<Option<Vec<u8>>>() = Some(text.to_vec()) };
    }
    let mut text = None;
    let sink = TextSink { context: (&raw mut text).cast(), text: take, lifetime: PhantomData };
    // SAFETY: the host's record and table are valid while this library is mapped; the sink lives for this call.
    unsafe { host.table.text()(host.context, RStr::from_str(name), &sink) }
    text
}

/// Tells of a panic that has nobody to return to.
pub(crate) fn panicked(place: &str, caught: &FailureMessage) {
    match around::current() {
        // SAFETY: the host's record and table are valid while this library is mapped.
        Some(host) => unsafe { host.table.panicked()(host.context, RStr::from_str(place), &caught.borrow()) },
        None => eprintln!("panic {place}: {} ({})", caught.message, caught.location),
    }
}

/// The trace id of the request that this thread is handling, or zeros.
pub(crate) fn current_trace() -> [u8; 16] {
    let mut trace = [0; 16];
    if let Some(host) = around::current() {
        // SAFETY: the host's record and table are valid while this library is mapped; it writes sixteen bytes.
        unsafe { host.table.trace()(host.context, &mut trace) }
    }
    trace
}
