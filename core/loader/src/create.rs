//! Making an instance of code that is there, on a thread that may be given up: its first calls, `create`, and what it says of
//! itself.
//!
//! What must not live here: opening libraries, and what becomes of a generation whose creation failed (its last lease ends it).

use crate::{
    functions::Functions, host::HostSide, job::LeasedJob, keeper::Remains, library::FirstCalls, memory::MemoryCounter,
    words::one_line,
};
use camlock_abi::{FailureKind, HostRef, OpenOptions, RSlice, RStr, RootRef, TextSink};
use camlock_policy::{Fault, FaultKind, Lease};
use parking_lot::Mutex;
use std::{
    fmt,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::{runtime::Handle, sync::oneshot};

/// What of the plugin runs while it is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CreationStep {
    /// Its library's constructors.
    Constructors,
    /// `create`.
    Create,
    /// `routes`, which comes after it.
    Routes,
    /// What it says of itself.
    Description,
}

impl fmt::Display for CreationStep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            CreationStep::Constructors => "its constructors",
            CreationStep::Create => "`create`",
            CreationStep::Routes => "`routes`",
            CreationStep::Description => "its description of itself",
        })
    }
}

/// Where the plugin's thread has got to, for whoever gives it up.
#[derive(Default)]
struct CreationProgress(AtomicU8);

impl CreationProgress {
    fn reach(&self, step: CreationStep) {
        self.0.store(step as u8, Ordering::Release);
    }

    fn step(&self) -> CreationStep {
        let steps = [CreationStep::Constructors, CreationStep::Create, CreationStep::Routes, CreationStep::Description];
        let reached = self.0.load(Ordering::Acquire);
        steps.into_iter().find(|step| *step as u8 == reached).unwrap_or(CreationStep::Create)
    }
}

/// Why there is no instance.
pub(crate) enum CreationError {
    NoThread(std::io::Error),
    /// The plugin failed.
    Failed(CreationStep, Fault),
}

/// All that it takes to make an instance.
pub(crate) struct Creation {
    pub(crate) root: RootRef,
    /// None for a plugin that is compiled in: its program ran its constructors.
    pub(crate) first_calls: Option<FirstCalls>,
    /// Refers to `side`.
    pub(crate) host: HostRef,
    pub(crate) side: Arc<HostSide>,
    pub(crate) name: String,
    /// Whether the plugin gets a runtime of its own.
    pub(crate) runtime: bool,
    /// Where the keeper finds what there is of the instance.
    pub(crate) remains: Arc<Mutex<Option<Box<Remains>>>>,
    pub(crate) limit: Duration,
}

impl Creation {
    /// Runs it on a thread of its own, which is given up when the time is over. The lease keeps the generation until that thread
    /// returns.
    pub(crate) async fn run(self, lease: Lease) -> Result<(Functions, SelfDescription), CreationError> {
        let (reply, created) = oneshot::channel();
        let progress = Arc::new(CreationProgress::default());
        let (limit, reached) = (self.limit, progress.clone());
        let create = move || {
            let outcome = self.create(&lease, &reached);
            let _ = reply.send(outcome);
            // Nothing of the plugin may run on this thread after this.
            drop(lease);
        };
        thread::Builder::new().name("camlock-create".into()).spawn(create).map_err(CreationError::NoThread)?;
        let outcome = match wait(limit + Duration::from_millis(200), created).await {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err((
                progress.step(),
                Fault::new(FaultKind::Contract, "did not return: the thread that created it has ended"),
            )),
            None => Err((progress.step(), did_not_end(limit))),
        };
        outcome.map_err(|(step, fault)| CreationError::Failed(step, fault))
    }

    fn create(
        self,
        lease: &Lease,
        progress: &CreationProgress,
    ) -> Result<(Functions, SelfDescription), (CreationStep, Fault)> {
        let Creation { root, first_calls, host, side, name, runtime, remains, limit } = self;
        let _entered = side.span.enter();
        if let Some(first_calls) = first_calls {
            // SAFETY: the lease keeps the library mapped, and nothing of it was called before: this is the one creation.
            unsafe { first_calls.run() };
        }
        progress.reach(CreationStep::Create);
        let options = OpenOptions { verifying: false, runtime, name: RStr::from_str(&name) };
        // SAFETY: the host's side outlives the library; the contract's order is kept: installed, then opened.
        let object = unsafe { root.open()(host, &options) };
        if object.is_null() {
            let fault = Fault::new(FaultKind::Error, "no instance could be opened");
            return Err((CreationStep::Create, fault));
        }
        let functions = Functions { root, object };
        match &mut *remains.lock() {
            Some(remains) => remains.functions = Some(functions),
            None => {
                camlock_policy::never!("the remains are taken when the last lease is gone, and this thread has one")
            }
        }
        // SAFETY: root and object belong together; the lease keeps them.
        let job = unsafe { root.create()(object) };
        match LeasedJob::drive_under(job, lease, limit) {
            Some(Ok(_)) => {}
            Some(Err(failure)) => return Err((step_of(failure.kind), side.fault(failure))),
            None => return Err((CreationStep::Create, did_not_end(limit))),
        }
        progress.reach(CreationStep::Description);
        // SAFETY: the instance is created, and the lease keeps it until this returns.
        let description = unsafe { describe(functions, &side) };
        if let Some(remains) = &mut *remains.lock() {
            remains.memory = description.memory;
        }
        Ok((functions, description))
    }
}

/// Which step a failure of the job `create` belongs to.
pub(crate) fn step_of(kind: FailureKind) -> CreationStep {
    if kind == FailureKind::PanicInRoutes { CreationStep::Routes } else { CreationStep::Create }
}

fn did_not_end(limit: Duration) -> Fault {
    Fault::new(FaultKind::TimedOut, format!("did not come to an end within {} s", limit.as_secs_f64()))
}

/// What became of a step, to follow its name.
pub(crate) fn in_words(fault: &Fault) -> String {
    match fault.kind {
        FaultKind::Panic => format!("panicked: {} ({})", one_line(&fault.message), one_line(&fault.location)),
        FaultKind::Error => format!("failed: {}", one_line(&fault.message)),
        FaultKind::Contract | FaultKind::TimedOut | FaultKind::Ended => fault.message.clone(),
    }
}

/// Waits on whatever runtime there is: the time comes from a thread, for the caller's runtime may have no timers.
async fn wait<T>(limit: Duration, receiver: oneshot::Receiver<T>) -> Option<Result<T, oneshot::error::RecvError>> {
    match Handle::try_current() {
        Ok(_) => tokio::time::timeout(limit, receiver).await.ok(),
        Err(_) => Some(receiver.await),
    }
}

/// What a plugin says of itself once it is created.
#[derive(Default)]
pub(crate) struct SelfDescription {
    pub(crate) openapi: Option<String>,
    /// Where its memory is counted.
    pub(crate) memory: Option<MemoryCounter>,
    /// The schema of its configuration, where a type makes it; told before it is created.
    pub(crate) config_schema: Option<String>,
}

/// A larger OpenAPI document is not shown.
const LARGEST_DOCUMENT: usize = 8 * 1024 * 1024;

/// Asks a plugin that is created, or is about to be.
///
/// # Safety
/// A lease must keep the instance during the call, and as long as the memory that it counts is read.
pub(crate) unsafe fn describe(Functions { root, object }: Functions, side: &HostSide) -> SelfDescription {
    #[derive(Default)]
    struct Texts {
        openapi: Option<String>,
        memory: Option<Vec<u8>>,
        config_schema: Option<String>,
    }
    unsafe extern "C" fn take(context: *mut (), name: RStr<'_>, text: RSlice<'_, u8>) {
        // SAFETY: `context` is the texts below, which wait for this call.
        let texts = unsafe { &mut *context.cast::<Texts>() };
        camlock_abi::catch_quietly(|| match name.as_str() {
            "openapi" if text.len() <= LARGEST_DOCUMENT => texts.openapi = String::from_utf8(text.to_vec()).ok(),
            // One that is too long is refused by whoever reads it.
            "config-schema" if text.len() <= LARGEST_DOCUMENT => {
                texts.config_schema = String::from_utf8(text.to_vec()).ok();
            }
            "memory" if text.len() <= size_of::<usize>() => texts.memory = Some(text.to_vec()),
            _ => {}
        });
    }
    let mut texts = Texts::default();
    let sink = TextSink { context: (&raw mut texts).cast(), text: take, lifetime: PhantomData };
    // SAFETY: root and object belong together, the instance is created and kept (as promised); the sink lives for this call.
    unsafe { root.describe()(object, &sink) };
    let memory = texts.memory.zip(side.range.get()).and_then(|(address, range)| {
        // SAFETY: it is the plugin's own word, and it is read only as long as the plugin is there (as promised).
        unsafe { MemoryCounter::counted_at(&address, range) }
    });
    SelfDescription { openapi: texts.openapi, memory, config_schema: texts.config_schema }
}
