//! The host, as a plugin sees it.

use crate::{Config, Result, around};
use camlock_abi::{DirectWaker, FailureMessage, HostRef, Job, RSlice, RStr, TextSink};
use serde::de::DeserializeOwned;
use std::{
    future::Future,
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

/// What the host offers a plugin. Cheap to clone; keep one wherever it is needed.
#[derive(Clone)]
pub struct Host(Kind);

#[derive(Clone)]
enum Kind {
    /// Inside a server that loaded the plugin, or has it compiled in.
    Loaded(HostRef),
    /// Inside an ordinary program, such as the plugin's own tests.
    Program(Arc<Mutex<Config>>),
}

impl std::fmt::Debug for Host {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self.0 {
            Kind::Loaded(_) => "Host",
            Kind::Program(_) => "Host(program)",
        })
    }
}

impl Host {
    pub(crate) fn loaded(host: HostRef) -> Self {
        Host(Kind::Loaded(host))
    }

    pub(crate) fn reference(&self) -> Option<HostRef> {
        match self.0 {
            Kind::Loaded(host) => Some(host),
            Kind::Program(_) => None,
        }
    }

    /// A host for tests: the functions run on the tokio runtime of the program.
    pub fn in_program() -> Self {
        Host::in_program_with(Config::empty())
    }

    /// The same, with a configuration.
    pub fn in_program_with(config: Config) -> Self {
        Host(Kind::Program(Arc::new(Mutex::new(config))))
    }

    /// The plugin's configuration, read as a type of the author's: what this instance began with, or what its
    /// [`configure`](crate::Plugin::configure) took over since. The error says which part of it is wrong.
    ///
    /// It is there from `create` on. But where a build is verified it is `{}`, whatever operators wrote: so `create` needs a
    /// default for everything, and what must be said is asked for in [`start`](crate::Plugin::start).
    pub fn config<T: DeserializeOwned>(&self) -> Result<T> {
        self.configuration().read()
    }

    /// The same as text: a JSON object.
    pub fn config_text(&self) -> String {
        self.configuration().text().to_owned()
    }

    fn configuration(&self) -> Config {
        match &self.0 {
            Kind::Loaded(host) => told_config(*host),
            Kind::Program(config) => config.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// What a host does when a configuration was taken live, for testkits.
    #[doc(hidden)]
    pub fn take_over(&self, config: Config) {
        if let Kind::Program(current) = &self.0 {
            *current.lock().unwrap_or_else(PoisonError::into_inner) = config;
        }
    }

    /// Whether this host offers a feature by that name.
    pub fn offers(&self, feature: &str) -> bool {
        match self.0 {
            Kind::Loaded(host) => {
                // SAFETY: the host's record and table are valid while this library is mapped.
                let features = unsafe { host.table.features()(host.context) };
                features.iter().any(|offered| offered.as_str() == feature)
            }
            Kind::Program(_) => camlock_abi::HOST_FEATURES.contains(&feature),
        }
    }

    /// The time by the host's clock.
    pub fn now(&self) -> SystemTime {
        match self.0 {
            Kind::Loaded(host) => {
                // SAFETY: as above.
                let nanos = unsafe { host.table.now()(host.context) };
                SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
            }
            Kind::Program(_) => SystemTime::now(),
        }
    }

    /// Waits on the host's timer. Works without a runtime in the plugin.
    pub async fn sleep(&self, duration: Duration) {
        match self.0 {
            Kind::Loaded(host) => {
                let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
                // SAFETY: as above.
                let _ = unsafe { host.table.sleep()(host.context, nanos) }.await;
            }
            Kind::Program(_) => tokio::time::sleep(duration).await,
        }
    }

    /// Runs a future on the host's threads. It ends with the plugin; to end it earlier, use the handle.
    ///
    /// tokio's own functions work best in `tokio::spawn`, which runs on the plugin's runtime; this is for plugins without one.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> Spawned {
        match self.0 {
            Kind::Loaded(host) => {
                let done = async {
                    future.await;
                    Ok(Vec::new())
                };
                let job = Job::new(done, DirectWaker, |caught| panicked("while dropping a spawned future", caught));
                // SAFETY: as above.
                Spawned(Task::Host(host, unsafe { host.table.spawn()(host.context, job) }))
            }
            Kind::Program(_) => Spawned(Task::Program(tokio::spawn(future).abort_handle())),
        }
    }

    /// What a host at contract 1.2 says.
    #[cfg(feature = "next")]
    #[doc(hidden)]
    pub fn greeting(&self) -> &'static str {
        match self.0 {
            Kind::Loaded(host) => match host.table.greeting() {
                // SAFETY: as above.
                Some(greeting) => unsafe { greeting(host.context) }.as_str(),
                None => "the host has no greeting",
            },
            Kind::Program(_) => "no host",
        }
    }
}

/// A future that runs on the host's threads. Dropping this handle leaves it running.
#[derive(Debug)]
pub struct Spawned(Task);

enum Task {
    Host(HostRef, u64),
    Program(tokio::task::AbortHandle),
}

impl std::fmt::Debug for Task {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Task::Host(_, id) => write!(formatter, "{id}"),
            Task::Program(handle) => handle.fmt(formatter),
        }
    }
}

impl Spawned {
    /// Drops the future, soon.
    pub fn abort(&self) {
        match &self.0 {
            // SAFETY: the host's record and table are valid while this library is mapped.
            Task::Host(host, id) => unsafe { host.table.abort()(host.context, *id) },
            Task::Program(handle) => handle.abort(),
        }
    }
}

/// A host of 1.0 has none to tell.
fn told_config(host: HostRef) -> Config {
    unsafe extern "C" fn take(context: *mut (), name: RStr<'_>, text: RSlice<'_, u8>) {
        if name.as_str() == "config" {
            // SAFETY: `context` is the configuration below, which waits for this call.
            unsafe { *context.cast::<Config>() = Config::of_host(&String::from_utf8_lossy(&text)) };
        }
    }
    let mut told = Config::empty();
    if let Some(config) = host.table.config() {
        let sink = TextSink { context: (&raw mut told).cast(), text: take, lifetime: PhantomData };
        // SAFETY: the host's record and table are valid while this library is mapped; the sink lives for this call.
        unsafe { config(host.context, &sink) }
    }
    told
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
