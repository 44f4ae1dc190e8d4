//! Loading: from staged bytes to an instance that serves.

use crate::{
    copy::{self, PrivateCopy},
    host::HostSide,
    instance::{Functions, PluginInstance},
    job::{LeasedJob, drive},
    keeper::{self, Code, Order, Remains, order},
    library::is_plain,
    memory::Memory,
    sections::{Made, Sections, Unfit},
    stage::Artifact,
    symbols::Symbols,
    words::{in_words, one_line},
};
use camlock_abi::{BuiltIn, OpenOptions, RSlice, RStr, RootRef, TextSink};
use camlock_policy::{
    Description, Digest, Ending, Fault, FaultKind, Lease, Loaded, Manifest, Use, Watch, manifest::Runtime,
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fs, io,
    marker::PhantomData,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    thread,
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{oneshot, watch},
};
use tracing::Level;

/// How loading is bounded.
#[derive(Clone, Debug)]
pub struct LoaderOptions {
    /// How long `create` may take.
    pub create: Duration,
}

impl Default for LoaderOptions {
    fn default() -> Self {
        LoaderOptions { create: Duration::from_secs(10) }
    }
}

/// Why an artifact did not become an instance.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// What is compiled in is no plugin for this host.
    #[error("{0}")]
    Unfit(#[from] Unfit),
    /// No private copy could be made of it.
    #[error("no private copy can be made in {dir}: {why}; make room there, or let the server write there")]
    NoCopy {
        /// The directory of private copies.
        dir: PathBuf,
        /// What the system says.
        why: String,
    },
    /// The stored bytes are not there any more, or may not be read.
    #[error("the stored artifact {path} cannot be read: {why}")]
    Unreadable {
        /// Where they should be.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// The stored bytes are not the verified ones.
    #[error("the stored artifact {0} is damaged: its bytes no longer have their digest")]
    Rotten(PathBuf),
    /// The dynamic linker refused.
    #[error("it cannot be opened: {0}")]
    Open(String),
    /// `create` failed.
    #[error("`create` {}", told(.0))]
    Create(Fault),
    /// A thread could not be made.
    #[error("no thread could be started for it: {0}")]
    NoThread(String),
}

fn told(fault: &Fault) -> String {
    match fault.kind {
        FaultKind::Panic => format!("panicked: {} ({})", one_line(&fault.message), one_line(&fault.location)),
        FaultKind::Error => format!("failed: {}", one_line(&fault.message)),
        FaultKind::Contract | FaultKind::TimedOut => fault.message.clone(),
    }
}

/// Loads artifacts. One for a process.
#[derive(Debug)]
pub struct Loader {
    /// Private copies, each mapped once.
    dir: PathBuf,
    options: LoaderOptions,
    /// Where plugins' timers and spawned futures run.
    runtime: Option<Handle>,
    known: Mutex<Vec<Known>>,
    /// How loud plugins are that are not as loud as the others.
    levels: Mutex<HashMap<String, Level>>,
}

struct Known {
    plugin: String,
    generation: u64,
    digest: Option<Digest>,
    leases: Watch,
    ending: watch::Receiver<Ending>,
    side: Weak<HostSide>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.plugin, self.generation)
    }
}

/// A generation that is in the process, for people.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The plugin's name.
    pub plugin: String,
    /// Its generation.
    pub generation: u64,
    /// Its artifact; none if it is compiled in.
    pub digest: Option<Digest>,
    /// What keeps it, in words; empty if nothing does.
    pub held_by: String,
    /// How many panics were caught in it.
    pub panics: u64,
    /// How far its end has come.
    pub ending: Ending,
}

impl Loader {
    /// A loader with a directory for private copies; what an earlier process left there is removed.
    pub fn new(dir: impl Into<PathBuf>, options: LoaderOptions, runtime: Option<Handle>) -> io::Result<Self> {
        let dir: PathBuf = dir.into();
        fs::create_dir_all(&dir)?;
        let dir = dir.canonicalize()?;
        if !is_plain(&dir) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the directory of private copies has no plain path",
            ));
        }
        remove_leftovers(&dir);
        keeper::begin();
        Ok(Loader { dir, options, runtime, known: Mutex::default(), levels: Mutex::default() })
    }

    /// Opens the artifact's very bytes and makes an instance with this configuration, a JSON object. The artifact must have been
    /// verified: its code runs here.
    pub async fn load(
        &self,
        artifact: &Artifact,
        generation: u64,
        config: impl Into<Arc<str>>,
    ) -> Result<Loaded, LoadError> {
        self.load_copy(self.private_copy(artifact)?, artifact, generation, config).await
    }

    /// The same with a copy that was made. Neither this nor whatever waits for it runs any code of the plugin on its thread.
    pub(crate) async fn load_copy(
        &self,
        copy: PrivateCopy,
        artifact: &Artifact,
        generation: u64,
        config: impl Into<Arc<str>>,
    ) -> Result<Loaded, LoadError> {
        let (reply, opened) = oneshot::channel();
        let sections = &artifact.sections;
        order(Order::Open(copy.path().to_owned(), sections.crate_name.clone(), sections.stays.clone(), reply));
        let opened =
            opened.await.unwrap_or_else(|_| Err(crate::library::OpenError("the loader's thread has ended".into())));
        let (library, entry) = opened.map_err(|error| LoadError::Open(error.0))?.take();
        copy.hand_over();

        let manifest = &sections.manifest;
        let (symbols, range) = (Symbols::of(artifact.path.clone()), library.range.clone());
        let side = |leases| {
            let side = HostSide::new(&manifest.name, generation, leases, self.runtime.clone(), symbols);
            let _ = side.range.set(range);
            side.set_config(config.into());
            side
        };
        self.make(Code::Library(library), entry.root, manifest, Some(artifact.digest), side).await
    }

    /// Makes an instance of a plugin that is compiled in. Its generation ends as any other does, but that its code stays: there
    /// is no library to close, and nothing of what it does is intercepted.
    pub async fn load_built_in(
        &self,
        plugin: &BuiltIn,
        generation: u64,
        config: impl Into<Arc<str>>,
    ) -> Result<Loaded, LoadError> {
        let manifest = inspect_built_in(plugin)?.manifest;
        let side = |leases| {
            let side = HostSide::built_in(&manifest.name, generation, leases, self.runtime.clone(), plugin);
            // Its code is there for ever, and may have kept its host: so is that.
            let _ = Arc::into_raw(side.clone());
            side.set_config(config.into());
            side
        };
        self.make(Code::BuiltIn, plugin.root(), &manifest, None, side).await
    }

    /// Makes an instance of code that is there.
    async fn make(
        &self,
        code: Code,
        root: RootRef,
        manifest: &Manifest,
        digest: Option<Digest>,
        side: impl FnOnce(Watch) -> Arc<HostSide>,
    ) -> Result<Loaded, LoadError> {
        // From here on everything belongs to the generation: its last lease ends it, whatever fails.
        let (ending, ended) = watch::channel(Ending::Alive);
        let remains: Arc<Mutex<Option<Box<Remains>>>> = Arc::default();
        let theirs = remains.clone();
        let lease = Lease::first(move || {
            if let Some(remains) = theirs.lock().take() {
                order(Order::End(remains));
            }
        });
        let side = side(lease.watch());
        // SAFETY: the footprint and the host's side are parts of `remains`, which the keeper drops once the library is
        // unmapped; the side of what is compiled in is never dropped. This is the library's first use after its constructors.
        let host = unsafe { side.reference() };
        *remains.lock() = Some(Box::new(Remains::new(code, Some(side.clone()), ending)));
        self.remember(manifest.name.clone(), side.generation, digest, lease.watch(), ended.clone(), &side);
        // Only now: whoever chooses another meanwhile finds it among those that are known.
        side.set_level(self.levels.lock().get(&manifest.name).copied());

        let (reply, created) = oneshot::channel();
        let create = {
            let (lease, side, remains) = (lease.share(Use::Job), side.clone(), remains.clone());
            let (limit, name, runtime) =
                (self.options.create, manifest.name.clone(), manifest.camlock.runtime == Runtime::Tokio);
            move || {
                let _entered = side.span.enter();
                let options = OpenOptions { verifying: false, runtime, name: RStr::from_str(&name) };
                // SAFETY: the host's side outlives the library (above); the contract's order is kept: installed, then opened.
                let object = unsafe { root.open()(host, &options) };
                if object.is_null() {
                    let _ = reply.send(Err(Fault::new(FaultKind::Error, "no instance could be opened")));
                    return;
                }
                let functions = Functions { root, object };
                #[cfg(feature = "next")]
                let _ = side.functions.set(functions);
                if let Some(remains) = &mut *remains.lock() {
                    remains.functions = Some(functions);
                }
                // SAFETY: root and object belong together; the job runs under a lease.
                let job = LeasedJob::new(unsafe { root.create()(object) }, lease);
                let outcome = match drive(job, limit) {
                    Some(outcome) => outcome.map_err(|failure| side.fault(failure)),
                    None => Err(did_not_end(limit)),
                };
                let _ = reply.send(outcome.map(|_| (functions, describe(functions))));
            }
        };
        thread::Builder::new()
            .name("camlock-create".into())
            .spawn(create)
            .map_err(|error| LoadError::NoThread(in_words(&error)))?;
        // A thread that blocks cannot be helped: it is given up, and its lease keeps the generation until it returns.
        let created = wait(self.options.create + Duration::from_millis(200), created).await;
        let created = match created {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err(Fault::new(FaultKind::Contract, "the thread that created it has ended")),
            None => Err(did_not_end(self.options.create)),
        };
        let (functions, Told { openapi, memory }) = created.map_err(LoadError::Create)?;
        let memory = memory.zip(side.range.get()).and_then(|(told, range)| {
            // SAFETY: it is the plugin's own word, and `remains` and the instance read it while the plugin is there.
            unsafe { Memory::told(&told, range) }
        });
        if let Some(remains) = &mut *remains.lock() {
            remains.memory = memory;
        }
        let description = Description { manifest: manifest.clone(), openapi };
        let leases = lease.watch();
        let instance = Arc::new(PluginInstance { functions, side, description, memory, lease });
        Ok(Loaded { instance, leases, ending: ended })
    }

    /// Where private copies are made.
    pub(crate) fn copies(&self) -> &Path {
        &self.dir
    }

    /// The one that was made when the artifact was looked at, or another one.
    pub(crate) fn private_copy(&self, artifact: &Artifact) -> Result<PrivateCopy, LoadError> {
        if let Some(copy) = artifact.copy.lock().take().filter(|copy| copy.path().exists()) {
            return Ok(copy);
        }
        let bytes = copy::read(&artifact.path)
            .map_err(|error| LoadError::Unreadable { path: artifact.path.clone(), why: in_words(&error) })?;
        let (digest, copy) = PrivateCopy::of(&bytes, &self.dir);
        let copy = copy.map_err(|error| LoadError::NoCopy { dir: self.dir.clone(), why: in_words(&error) })?;
        if digest == artifact.digest { Ok(copy) } else { Err(LoadError::Rotten(artifact.path.clone())) }
    }

    fn remember(
        &self,
        plugin: String,
        generation: u64,
        digest: Option<Digest>,
        leases: Watch,
        ending: watch::Receiver<Ending>,
        side: &Arc<HostSide>,
    ) {
        let mut known = self.known.lock();
        known.retain(|known| !matches!(*known.ending.borrow(), Ending::Unmapped { .. }));
        known.push(Known { plugin, generation, digest, leases, ending, side: Arc::downgrade(side) });
    }

    /// All generations that are in the process, oldest first.
    pub fn overview(&self) -> Vec<Overview> {
        let known = self.known.lock();
        let present = known.iter().filter(|known| !matches!(*known.ending.borrow(), Ending::Unmapped { .. }));
        present
            .map(|known| Overview {
                plugin: known.plugin.clone(),
                generation: known.generation,
                digest: known.digest,
                held_by: known.leases.describe_holders(),
                panics: known.side.upgrade().map_or(0, |side| side.panics()),
                ending: known.ending.borrow().clone(),
            })
            .collect()
    }

    /// Sets the loudest level at which a plugin's records are wanted, of all its generations; none: what the host's own
    /// subscriber listens to.
    pub fn set_level(&self, plugin: &str, level: Option<Level>) {
        {
            let mut levels = self.levels.lock();
            match level {
                Some(level) => levels.insert(plugin.to_owned(), level),
                None => levels.remove(plugin),
            };
        }
        for known in self.known.lock().iter().filter(|known| known.plugin == plugin) {
            if let Some(side) = known.side.upgrade() {
                side.set_level(level);
            }
        }
    }

    /// What a plugin at contract 1.2 replies; nothing if it is older.
    #[cfg(feature = "next")]
    pub fn reply(&self, generation: u64) -> Option<String> {
        let known = self.known.lock();
        let known = known.iter().find(|known| known.generation == generation)?;
        let _lease = known.leases.try_share(Use::Job)?;
        let Functions { root, object } = known.side.upgrade()?.functions.get().copied()?;
        // SAFETY: root and object belong together, and the lease keeps them.
        root.reply().map(|reply| unsafe { reply(object) }.as_str().to_owned())
    }

    /// Looks at once whether what kept pinned generations has gone.
    pub fn retry_pinned(&self) {
        order(Order::Retry);
    }
}

/// What a plugin that is compiled in says of itself.
pub fn inspect_built_in(plugin: &BuiltIn) -> Result<Sections, Unfit> {
    Sections::parse(plugin.meta(), plugin.manifest(), Made::BuiltIn)
}

fn did_not_end(limit: Duration) -> Fault {
    Fault::new(FaultKind::TimedOut, format!("did not come to an end within {} s", limit.as_secs_f64()))
}

/// Waits on whatever runtime there is: the time comes from a thread, for the caller's runtime may have no timers.
async fn wait<T>(limit: Duration, receiver: oneshot::Receiver<T>) -> Option<Result<T, oneshot::error::RecvError>> {
    match Handle::try_current() {
        Ok(_) => tokio::time::timeout(limit, receiver).await.ok(),
        Err(_) => Some(receiver.await),
    }
}

/// What a plugin tells of itself once it is created.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) openapi: Option<String>,
    /// Where its memory is counted, as it said it.
    memory: Option<Vec<u8>>,
}

/// Asks a plugin that is created.
pub(crate) fn describe(Functions { root, object }: Functions) -> Told {
    unsafe extern "C" fn take(context: *mut (), name: RStr<'_>, text: RSlice<'_, u8>) {
        // SAFETY: `context` is what is told below, which waits for this call.
        let told = unsafe { &mut *context.cast::<Told>() };
        match name.as_str() {
            "openapi" if text.len() <= LARGEST_DOCUMENT => told.openapi = String::from_utf8(text.to_vec()).ok(),
            "memory" if text.len() <= size_of::<usize>() => told.memory = Some(text.to_vec()),
            _ => {}
        }
    }
    let mut told = Told::default();
    let sink = TextSink { context: (&raw mut told).cast(), text: take, lifetime: PhantomData };
    // SAFETY: root and object belong together and the instance is created; the sink lives for this call.
    unsafe { root.describe()(object, &sink) };
    told
}

/// A larger OpenAPI document is not shown.
const LARGEST_DOCUMENT: usize = 8 * 1024 * 1024;

/// Removes the private copies of processes that are no more.
fn remove_leftovers(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.split_once('-')?.0.parse::<u32>().ok());
        let alive = |pid: u32| Path::new(&format!("/proc/{pid}")).exists();
        if owner.is_some_and(|pid| !alive(pid)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
