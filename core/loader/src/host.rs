//! The host as a plugin sees it: the functions of the contract's host table, and the record of one generation behind them.

use crate::{
    asks,
    firewall::Firewall,
    footprint::Footprint,
    job::LeasedJob,
    surroundings::PluginSurroundings,
    suspects::{
        self, GenerationName,
        running::{RunningRow, UnderWayMark},
    },
    symbols::{self, Symbols},
    traces::Traces,
};
use abi_stable::prefix_type::WithMetadata;
use camlock_abi::{
    BuiltIn, EventView, Failure, FailureKind, FailureMessage, FieldView, HOST_FEATURES, HostRef, HostTable,
    HostTableRef, Job, RSlice, RStr, RequestHead, SpanView, Task, TextSink,
};
use camlock_policy::{Asker, Fault, FaultKind, Granted, ReplacedDocument, Services, Use, Watch};
use http::HeaderValue;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    io,
    ops::Range,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::{
    runtime::{EnterGuard, Handle},
    task::AbortHandle,
};
use tracing::{Instrument, Level, Span};

/// The configuration that says nothing.
const NOTHING: &str = "{}";

/// The record of one generation.
pub(crate) struct HostSide {
    pub(crate) name: Arc<str>,
    pub(crate) generation: u64,
    /// What the plugin is configured with. Nothing, until the loader says so; it never does where a build is verified.
    config: Mutex<Arc<str>>,
    /// Grows whenever what the plugin is told becomes another.
    revision: AtomicU64,
    /// What it may. Operators change it at any time.
    granted: OnceLock<Granted>,
    /// What it says anew of itself.
    document: ReplacedDocument,
    surroundings: PluginSurroundings,
    /// The loudest level that anybody listens to.
    level: AtomicU8,
    traces: Traces,
    /// What the code of a built-in plugin runs in; none for a library, which forwards its records.
    pub(crate) span: Span,
    pub(crate) leases: Watch,
    runtime: Option<Handle>,
    spawned: Mutex<SpawnedJobs>,
    symbols: Arc<Symbols>,
    /// Where the library lies, once it is open; or the program, for a plugin that is compiled in.
    pub(crate) range: OnceLock<Range<usize>>,
    /// What the library registered, once it is open.
    pub(crate) footprint: OnceLock<Weak<Footprint>>,
    panics: AtomicU64,
    /// Where it stands for the next process what of it is under way.
    row: OnceLock<RunningRow>,
}

#[derive(Default)]
struct SpawnedJobs {
    next: u64,
    /// None once the plugin was shut down: nothing is spawned any more.
    ended: bool,
    /// A handle is there as soon as the runtime has taken the job.
    running: HashMap<u64, Option<AbortHandle>>,
}

impl HostSide {
    pub(crate) fn new(
        name: &str,
        generation: u64,
        leases: Watch,
        runtime: Option<Handle>,
        symbols: Symbols,
        surroundings: PluginSurroundings,
    ) -> Arc<Self> {
        let traces = Traces::new(name.into(), generation);
        Self::make(name, generation, leases, runtime, traces, Span::none(), Arc::new(symbols), surroundings)
    }

    /// The record of a plugin that is compiled in.
    pub(crate) fn built_in(
        name: &str,
        generation: u64,
        leases: Watch,
        runtime: Option<Handle>,
        plugin: &BuiltIn,
        surroundings: PluginSurroundings,
    ) -> Arc<Self> {
        let traces = Traces::new(name.into(), generation);
        let span = traces.identity();
        let (symbols, range) = symbols::of_program(plugin.meta().as_ptr() as usize);
        let side = Self::make(name, generation, leases, runtime, traces, span, symbols, surroundings);
        let _ = side.range.set(range);
        side
    }

    #[allow(clippy::too_many_arguments, reason = "each is a field of its own")]
    fn make(
        name: &str,
        generation: u64,
        leases: Watch,
        runtime: Option<Handle>,
        traces: Traces,
        span: Span,
        symbols: Arc<Symbols>,
        surroundings: PluginSurroundings,
    ) -> Arc<Self> {
        Arc::new(HostSide {
            traces,
            span,
            name: name.into(),
            generation,
            config: Mutex::new(NOTHING.into()),
            revision: AtomicU64::new(1),
            granted: OnceLock::new(),
            document: ReplacedDocument::default(),
            surroundings,
            level: AtomicU8::new(loudest()),
            leases,
            runtime,
            spawned: Mutex::default(),
            symbols,
            range: OnceLock::new(),
            footprint: OnceLock::new(),
            panics: AtomicU64::new(0),
            row: OnceLock::new(),
        })
    }

    /// From now on what of it is under way is known to the next process, under this name.
    pub(crate) fn runs_as(&self, named: &GenerationName) {
        let name = serde_json::to_string(named).unwrap_or_default();
        if let Some(row) = RunningRow::of(self.leases.generation(), &name, suspects::now()) {
            let _ = self.row.set(row);
        }
    }

    /// A request is under way, as long as this exists.
    pub(crate) fn under_way(&self) -> UnderWayMark {
        UnderWayMark::counted_at(self.row.get().and_then(RunningRow::count))
    }

    /// What the plugin is given.
    ///
    /// # Safety
    /// This record must be kept until the library that was given it is unmapped: for ever, where that is the program itself.
    pub(crate) unsafe fn reference(self: &Arc<Self>) -> HostRef {
        HostRef { context: Arc::as_ptr(self).cast(), table: TABLE }
    }

    /// What the code of a built-in plugin runs in while it answers a request.
    pub(crate) fn request_span(&self, trace_id: [u8; 16]) -> Option<Span> {
        (!self.span.is_none()).then(|| self.traces.request(trace_id))
    }

    /// Sets the loudest level that the plugin's records are wanted at, if not that of all; takes effect at once. Those of a built-in plugin are the
    /// program's own: for them the program's subscriber decides.
    pub(crate) fn set_level(&self, level: Option<Level>) {
        self.level.store(level.map_or_else(loudest, number), Ordering::Relaxed);
    }

    /// From now on the plugin is told this configuration.
    pub(crate) fn set_config(&self, config: Arc<str>) {
        *self.config.lock() = config;
        // Afterwards: whoever reads between the two reads once more.
        self.revision.fetch_add(1, Ordering::Release);
    }

    /// Says what the plugin may, once; until then, and where a build is verified, it may do nothing.
    pub(crate) fn set_granted(&self, granted: Granted) {
        let _ = self.granted.set(granted);
    }

    /// How many descriptors the plugin has open; none for one that is compiled in, whose are not told apart.
    pub(crate) fn descriptors(&self) -> Option<usize> {
        Some(self.footprint.get()?.upgrade()?.descriptors().count())
    }

    /// Its mount, as its requests tell it.
    pub(crate) fn prefix(&self) -> Option<&HeaderValue> {
        self.surroundings.prefix.as_ref()
    }

    /// What answers what the plugin asks.
    pub(crate) fn services(&self) -> Option<&Arc<dyn Services>> {
        self.surroundings.services.as_ref()
    }

    /// Who asks.
    pub(crate) fn asker(&self) -> Asker {
        let granted = self.granted.get().cloned().unwrap_or_default();
        let document = self.document.clone();
        Asker { plugin: self.name.clone(), generation: self.generation, granted, document }
    }

    /// The document that was put into the place of the one it came with.
    pub(crate) fn replaced_document(&self) -> Option<Arc<str>> {
        self.document.get()
    }

    /// For the host's own futures, on threads of plugins too: timers and sockets of theirs are found.
    pub(crate) fn enter_runtime(&self) -> Option<EnterGuard<'_>> {
        self.runtime.as_ref().map(Handle::enter)
    }

    /// See `HostTable::text`.
    fn text(&self, name: &str) -> Option<Vec<u8>> {
        match name {
            "config" => Some(self.config.lock().as_bytes().to_vec()),
            "mount" => Some(self.surroundings.mount.clone().into_bytes()),
            "dir" => self.directory(self.surroundings.dir().transpose()?),
            "scratch" => self.directory(self.surroundings.scratch()),
            _ => None,
        }
    }

    fn directory(&self, made: io::Result<&Path>) -> Option<Vec<u8>> {
        match made {
            Ok(dir) => Some(dir.as_os_str().as_bytes().to_vec()),
            Err(error) => {
                let (plugin, generation) = (&*self.name, self.generation);
                tracing::error!(plugin, generation, "a directory for it cannot be made: {error}");
                None
            }
        }
    }

    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// A failure of the plugin, with the functions of its panic named.
    pub(crate) fn fault(&self, failure: FailureMessage) -> Fault {
        let kind = match failure.kind {
            FailureKind::Panic | FailureKind::PanicInRoutes => FaultKind::Panic,
            _ => FaultKind::Error,
        };
        let backtrace = match (&failure.frames[..], self.range.get()) {
            ([], _) | (_, None) => Vec::new(),
            (frames, Some(range)) => self.symbols.name(frames, range),
        };
        // Further out than where the panic was caught lies the host, which is the same program for a built-in plugin.
        let backtrace = backtrace.into_iter().take_while(|name| self.span.is_none() || !is_boundary(name)).collect();
        if kind == FaultKind::Panic {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
        Fault { kind, message: failure.message, location: failure.location, backtrace }
    }

    /// Ends everything that runs here on the plugin's behalf.
    pub(crate) fn end_spawned(&self) {
        let running = {
            let mut spawned = self.spawned.lock();
            spawned.ended = true;
            std::mem::take(&mut spawned.running)
        };
        running.values().flatten().for_each(AbortHandle::abort);
    }

    fn spawn(self: &Arc<Self>, job: Job) -> u64 {
        let (Some(runtime), Some(lease)) = (&self.runtime, self.leases.try_share(Use::Task)) else { return 0 };
        let id = {
            let mut spawned = self.spawned.lock();
            if spawned.ended {
                return 0;
            }
            spawned.next += 1;
            let id = spawned.next;
            spawned.running.insert(id, None);
            id
        };
        let this = self.clone();
        let job = LeasedJob::new(job, lease).instrument(self.span.clone());
        // Outside the lock: a runtime that is ending drops the job here and now, and a drop may spawn again.
        let task = runtime.spawn(async move {
            let outcome = job.await;
            this.spawned.lock().running.remove(&id);
            if let Err(failure) = outcome {
                this.report("in a spawned future", failure);
            }
        });
        match self.spawned.lock().running.get_mut(&id) {
            Some(place) => *place = Some(task.abort_handle()),
            // It is done already, or all were ended meanwhile.
            None => task.abort(),
        }
        id
    }

    pub(crate) fn report(&self, place: &str, failure: FailureMessage) {
        let fault = self.fault(failure);
        let (plugin, generation) = (&*self.name, self.generation);
        let backtrace = fault.backtrace.join("\n");
        tracing::error!(plugin, generation, place, location = fault.location, backtrace, "{}", fault.message);
    }
}

/// Whether a function is where a plugin's panics are caught.
fn is_boundary(name: &str) -> bool {
    name.starts_with("camlock_abi::failure::catch")
}

/// The loudest level that the host's own subscriber listens to.
fn loudest() -> u8 {
    tracing::level_filters::LevelFilter::current().into_level().map_or(0, number)
}

/// A level as the contract writes it down.
fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

const STORED: &WithMetadata<HostTable> = &WithMetadata::new(HostTable {
    features,
    panicked,
    level,
    event,
    span_new,
    span_record,
    span_follows,
    span_enter,
    span_exit,
    span_clone,
    span_close,
    trace,
    now,
    sleep,
    spawn,
    abort,
    text,
    ask,
    revision,
    environment,
});
const TABLE: HostTableRef = HostTableRef(STORED.static_as_prefix());

/// # Safety
/// `context` is the record that `reference` gave out, kept until the plugin that was given it is unmapped.
unsafe fn side<'a>(context: *const ()) -> &'a HostSide {
    // SAFETY: as promised.
    unsafe { &*context.cast::<HostSide>() }
}

/// # Safety
/// As for [`side`].
unsafe fn shared(context: *const ()) -> Arc<HostSide> {
    // SAFETY: the record lies in an `Arc` that is kept.
    unsafe {
        Arc::increment_strong_count(context.cast::<HostSide>());
        Arc::from_raw(context.cast::<HostSide>())
    }
}

unsafe extern "C" fn features(_: *const ()) -> RSlice<'static, RStr<'static>> {
    static TOLD: OnceLock<Vec<RStr<'static>>> = OnceLock::new();
    RSlice::from_slice(TOLD.get_or_init(|| HOST_FEATURES.iter().map(|name| RStr::from_str(name)).collect()))
}

// SAFETY (for the functions below): the context is this generation's record (see `side`); whatever they run of the host's is
// kept from unwinding into the plugin.

unsafe extern "C" fn panicked(context: *const (), place: RStr<'_>, failure: &Failure<'_>) {
    // SAFETY: see above.
    let side = unsafe { side(context) };
    camlock_abi::catch_quietly(|| side.report(place.as_str(), failure.into()));
}

unsafe extern "C" fn level(context: *const ()) -> *const u8 {
    // SAFETY: see above.
    unsafe { side(context) }.level.as_ptr()
}

unsafe extern "C" fn revision(context: *const ()) -> *const u64 {
    // SAFETY: see above.
    unsafe { side(context) }.revision.as_ptr()
}

unsafe extern "C" fn event(context: *const (), view: &EventView<'_>) {
    // SAFETY: see above.
    let side = unsafe { side(context) };
    camlock_abi::catch_quietly(|| side.traces.event(view));
}

unsafe extern "C" fn span_new(context: *const (), view: &SpanView<'_>) -> u64 {
    // SAFETY: see above.
    let side = unsafe { side(context) };
    camlock_abi::catch(|| side.traces.open(view)).unwrap_or(u64::MAX)
}

unsafe extern "C" fn span_record(context: *const (), id: u64, fields: RSlice<'_, FieldView<'_>>) {
    // SAFETY: see above.
    let side = unsafe { side(context) };
    camlock_abi::catch_quietly(|| side.traces.record(id, fields));
}

unsafe extern "C" fn span_follows(context: *const (), id: u64, other: u64) {
    // SAFETY: see above.
    let side = unsafe { side(context) };
    camlock_abi::catch_quietly(|| side.traces.follows(id, other));
}

unsafe extern "C" fn span_enter(context: *const (), id: u64) {
    // SAFETY: see above.
    let side = unsafe { side(context) };
    camlock_abi::catch_quietly(|| side.traces.enter(id));
}

unsafe extern "C" fn span_exit(context: *const (), id: u64) {
    // SAFETY: see above.
    let side = unsafe { side(context) };
    camlock_abi::catch_quietly(|| side.traces.exit(id));
}

unsafe extern "C" fn span_clone(context: *const (), id: u64) -> u64 {
    // SAFETY: see above.
    let side = unsafe { side(context) };
    camlock_abi::catch_quietly(|| side.traces.keep(id));
    id
}

unsafe extern "C" fn span_close(context: *const (), id: u64) -> bool {
    // SAFETY: see above.
    let side = unsafe { side(context) };
    camlock_abi::catch(|| side.traces.close(id)).unwrap_or(true)
}

unsafe extern "C" fn trace(_: *const (), into: &mut [u8; 16]) {
    *into = crate::traces::current();
}

unsafe extern "C" fn now(_: *const ()) -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

unsafe extern "C" fn sleep(context: *const (), nanos: u64) -> Job {
    // SAFETY: see above.
    let side = unsafe { side(context) };
    let firewall = Firewall::new(side.leases.clone());
    let timer = camlock_abi::catch(|| {
        let _entered = side.runtime.as_ref()?.enter();
        Some(tokio::time::sleep(Duration::from_nanos(nanos)))
    });
    let done = async move {
        match timer {
            Ok(Some(timer)) => timer.await,
            _ => return Err(FailureMessage::error("the host has no timers here")),
        }
        Ok(Vec::new())
    };
    Job::new(done, firewall, |_| ())
}

unsafe extern "C" fn spawn(context: *const (), job: Job) -> u64 {
    // SAFETY: see above.
    let side = unsafe { shared(context) };
    camlock_abi::catch(|| side.spawn(job)).unwrap_or(0)
}

unsafe extern "C" fn abort(context: *const (), id: u64) {
    // SAFETY: see above.
    let side = unsafe { side(context) };
    camlock_abi::catch_quietly(|| {
        let task = side.spawned.lock().running.remove(&id);
        if let Some(Some(task)) = task {
            task.abort();
        }
    });
}

unsafe extern "C" fn text(context: *const (), name: RStr<'_>, sink: &TextSink<'_>) {
    // SAFETY: see above.
    let side = unsafe { side(context) };
    let found = camlock_abi::catch(|| side.text(name.as_str())).ok().flatten();
    if let Some(text) = found {
        // SAFETY: the sink is the plugin's, valid for this call.
        unsafe { (sink.text)(sink.context, name, RSlice::from_slice(&text)) }
    }
}

unsafe extern "C" fn ask(context: *const (), head: &RequestHead<'_>, body: camlock_abi::Body) -> Task {
    // SAFETY: see above.
    let side = unsafe { shared(context) };
    camlock_abi::catch(|| asks::take_up(&side, head, body)).unwrap_or_else(asks::failing)
}

unsafe extern "C" fn environment(context: *const ()) -> *const *const u8 {
    // SAFETY: see above.
    unsafe { side(context) }.surroundings.environment()
}
