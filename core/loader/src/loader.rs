//! Loading: from staged bytes to an instance that serves.

use crate::{
    copy::{self, PrivateCopy},
    create::{self, Creation, CreationError, CreationStep, SelfDescription},
    host::HostSide,
    instance::PluginInstance,
    keeper::{self, Code, KeeperOrder, Remains, order},
    library::{FirstCalls, is_plain},
    own_directory::OwnDirectory,
    sections::{BuildKind, Sections, Unfit},
    stage::Artifact,
    surroundings::Surroundings,
    suspects::{GenerationName, MarkedStep, Suspects},
    symbols::Symbols,
    words::in_words,
};
use camlock_abi::{BuiltIn, RootRef};
use camlock_policy::{
    Description, Digest, Ending, Fault, FaultKind, GenerationStart, Lease, Loaded, Manifest, Use, Watch,
    manifest::Runtime,
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
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
    /// The plugin failed while it was created.
    #[error("{step} {}", create::in_words(.fault))]
    Create {
        /// What of it ran.
        step: CreationStep,
        /// What became of that.
        fault: Fault,
    },
    /// It may have ended the process before this one.
    #[error("{0}; it is not loaded until that is on record")]
    Suspected(String),
    /// A thread could not be made.
    #[error("no thread could be started for it: {0}")]
    NoThread(String),
}

impl LoadError {
    /// Whether the same bytes may be loaded another time.
    pub fn is_transient(&self) -> bool {
        match self {
            LoadError::NoCopy { .. }
            | LoadError::Unreadable { .. }
            | LoadError::NoThread(_)
            | LoadError::Suspected(_) => true,
            LoadError::Create { fault, .. } => fault.kind == FaultKind::TimedOut,
            LoadError::Unfit(_) | LoadError::Rotten(_) | LoadError::Open(_) => false,
        }
    }
}

/// Loads artifacts. One for a process.
#[derive(Debug)]
pub struct Loader {
    /// Where the directories of private copies are, of this loader and of others.
    dir: PathBuf,
    /// Its own copies, each mapped once.
    copies: OwnDirectory,
    options: LoaderOptions,
    /// Where plugins' timers and spawned futures run.
    runtime: Option<Handle>,
    known: Mutex<Vec<KnownGeneration>>,
    /// Who is about to run is written down there, for the next process.
    suspects: Option<Arc<Suspects>>,
    /// How loud plugins are that are not as loud as the others.
    levels: Mutex<HashMap<String, Level>>,
    surroundings: Surroundings,
}

struct KnownGeneration {
    plugin: String,
    generation: u64,
    digest: Option<Digest>,
    leases: Watch,
    ending: watch::Receiver<Ending>,
    side: Weak<HostSide>,
}

impl std::fmt::Debug for KnownGeneration {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.plugin, self.generation)
    }
}

/// A generation that is in the process, for people.
#[derive(Clone, Debug)]
pub struct LoadedGeneration {
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
    /// How many descriptors it has open.
    pub descriptors: usize,
    /// How far its end has come.
    pub ending: Ending,
}

impl Loader {
    /// A loader with a directory for private copies; what loaders that are no more left there is removed.
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
        let copies = OwnDirectory::within(&dir, |_, _| Ok(()))?;
        keeper::begin();
        Ok(Loader {
            copies,
            dir,
            options,
            runtime,
            known: Mutex::default(),
            suspects: None,
            levels: Mutex::default(),
            surroundings: Surroundings::default(),
        })
    }

    /// The same, where plugins find this around them.
    #[must_use]
    pub fn with_surroundings(self, surroundings: Surroundings) -> Self {
        Loader { surroundings, ..self }
    }

    /// What plugins find around them.
    pub fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    /// Writes down what it is about to run, so that the next process knows should this one end by it; and loads nobody who is
    /// suspected as long as that is not on record.
    #[must_use]
    pub fn with_suspects(self, suspects: Arc<Suspects>) -> Self {
        Loader { suspects: Some(suspects), ..self }
    }

    /// Opens the artifact's very bytes and makes an instance that begins so. The artifact must have been verified: its code runs
    /// here.
    pub async fn load(&self, artifact: &Artifact, start: impl Into<GenerationStart>) -> Result<Loaded, LoadError> {
        self.load_copy(self.private_copy(artifact)?, artifact, start.into()).await
    }

    /// The same with a copy that was made. Neither this nor whatever waits for it runs any code of the plugin on its thread.
    pub(crate) async fn load_copy(
        &self,
        copy: PrivateCopy,
        artifact: &Artifact,
        GenerationStart { generation, config, granted, .. }: GenerationStart,
    ) -> Result<Loaded, LoadError> {
        let named =
            GenerationName { plugin: artifact.sections.manifest.name.clone(), generation, digest: artifact.digest };
        let suspicion = self.suspects.as_ref().and_then(|suspects| suspects.suspicion(artifact.digest));
        if let Some(why) = suspicion {
            return Err(LoadError::Suspected(why));
        }
        let _mark = self.suspects.as_ref().and_then(|suspects| suspects.announce(MarkedStep::Load, named.clone()));
        let (reply, opened) = oneshot::channel();
        let sections = &artifact.sections;
        let (crate_name, stays) = (sections.crate_name.clone(), sections.stays.clone());
        order(KeeperOrder::Open { copy: copy.path().to_owned(), crate_name, stays, reply });
        let opened =
            opened.await.unwrap_or_else(|_| Err(crate::library::OpenError("the loader's thread has ended".into())));
        let (library, first_calls) = opened.map_err(|error| LoadError::Open(error.0))?.take();
        copy.hand_over();
        library.is_known_as(&named);

        let manifest = &sections.manifest;
        let (symbols, range) = (Symbols::of(artifact.path.clone()), library.range.clone());
        let footprint = Arc::downgrade(&library.footprint);
        let surroundings = self.surroundings.of(&manifest.name, self.copies.path());
        let side = |leases| {
            let side = HostSide::new(&manifest.name, generation, leases, self.runtime.clone(), symbols, surroundings);
            let _ = side.range.set(range);
            let _ = side.footprint.set(footprint);
            side.set_config(config);
            side.set_granted(granted);
            side
        };
        let root = first_calls.entry.root;
        self.make(Code::Library(library), Some(first_calls), root, manifest, Some(artifact.digest), side).await
    }

    /// Makes an instance of a plugin that is compiled in, which begins so. Its generation ends as any other does, but that its code stays: there
    /// is no library to close, and nothing of what it does is intercepted.
    pub async fn load_built_in(
        &self,
        plugin: &BuiltIn,
        start: impl Into<GenerationStart>,
    ) -> Result<Loaded, LoadError> {
        let GenerationStart { generation, config, granted, .. } = start.into();
        let manifest = inspect_built_in(plugin)?.manifest;
        let surroundings = self.surroundings.of(&manifest.name, self.copies.path());
        let side = |leases| {
            let runtime = self.runtime.clone();
            let side = HostSide::built_in(&manifest.name, generation, leases, runtime, plugin, surroundings);
            // Its code is there for ever, and may have kept its host: so is that.
            let _ = Arc::into_raw(side.clone());
            side.set_config(config);
            side.set_granted(granted);
            side
        };
        self.make(Code::BuiltIn, None, plugin.root(), &manifest, None, side).await
    }

    /// Makes an instance of code that is there.
    async fn make(
        &self,
        code: Code,
        first_calls: Option<FirstCalls>,
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
                order(KeeperOrder::End(remains));
            }
        });
        if let Code::Library(library) = &code {
            library.is_kept_by(&lease);
        }
        let side = side(lease.watch());
        if let Some(digest) = digest {
            let (plugin, generation) = (manifest.name.clone(), side.generation);
            side.runs_as(&GenerationName { plugin, generation, digest });
        }
        // SAFETY: the footprint and the host's side are parts of `remains`, which the keeper drops once the library is
        // unmapped; the side of what is compiled in is never dropped.
        let host = unsafe { side.reference() };
        *remains.lock() = Some(Box::new(Remains::new(code, Some(side.clone()), ending)));
        self.remember(manifest.name.clone(), side.generation, digest, lease.watch(), ended.clone(), &side);
        // Only now: whoever chooses another meanwhile finds it among those that are known.
        side.set_level(self.levels.lock().get(&manifest.name).copied());

        let creation = Creation {
            root,
            first_calls,
            host,
            side: side.clone(),
            name: manifest.name.clone(),
            runtime: manifest.camlock.runtime == Runtime::Tokio,
            remains,
            limit: self.options.create,
        };
        let (functions, SelfDescription { openapi, memory, config_schema: _ }) =
            creation.run(lease.share(Use::Job)).await.map_err(|error| match error {
                CreationError::NoThread(error) => LoadError::NoThread(in_words(&error)),
                CreationError::Failed(step, fault) => LoadError::Create { step, fault },
            })?;
        let description = Description { manifest: manifest.clone(), openapi };
        let leases = lease.watch();
        let watched = self.suspects.clone().zip(digest);
        let instance = Arc::new(PluginInstance { functions, side, description, memory, watched, lease });
        Ok(Loaded { instance, leases, ending: ended })
    }

    /// Where private copies are made.
    pub(crate) fn copies(&self) -> &Path {
        self.copies.path()
    }

    /// The one that was made when the artifact was looked at, or another one.
    pub(crate) fn private_copy(&self, artifact: &Artifact) -> Result<PrivateCopy, LoadError> {
        if let Some(copy) = artifact.copy.lock().take().filter(|copy| copy.path().exists()) {
            return Ok(copy);
        }
        let bytes = copy::read(&artifact.path)
            .map_err(|error| LoadError::Unreadable { path: artifact.path.clone(), why: in_words(&error) })?;
        let (digest, copy) = PrivateCopy::of(&bytes, self.copies.path());
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
        known.push(KnownGeneration { plugin, generation, digest, leases, ending, side: Arc::downgrade(side) });
    }

    /// All generations that are in the process, oldest first.
    pub fn overview(&self) -> Vec<LoadedGeneration> {
        let known = self.known.lock();
        let present = known.iter().filter(|known| !matches!(*known.ending.borrow(), Ending::Unmapped { .. }));
        present
            .map(|known| LoadedGeneration {
                plugin: known.plugin.clone(),
                generation: known.generation,
                digest: known.digest,
                held_by: known.leases.describe_holders(),
                panics: known.side.upgrade().map_or(0, |side| side.panics()),
                descriptors: known.side.upgrade().and_then(|side| side.descriptors()).unwrap_or(0),
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

    /// Looks at once whether what kept pinned generations has gone.
    pub fn retry_pinned(&self) {
        order(KeeperOrder::RetryPinned);
    }
}

/// What a plugin that is compiled in says of itself.
pub fn inspect_built_in(plugin: &BuiltIn) -> Result<Sections, Unfit> {
    Sections::parse(plugin.meta(), plugin.manifest(), BuildKind::IntoProgram)?
        .with_migrations(plugin.migrations())?
        .with_ui(plugin.ui())
}
