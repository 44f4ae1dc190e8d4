//! The port through which core and server use a plugin, whatever loaded it.

use crate::{Answer, Call, Fault, Isolation, Manifest, lease::Watch};
use camlock_api::ProcessView;
use std::{fmt, future::Future, pin::Pin, sync::Arc};
use tokio::sync::watch;

/// A future of the port.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A plugin's instance. It holds a lease on its generation, and so does everything it gives out.
pub trait Instance: Send + Sync {
    /// What it says of itself.
    fn description(&self) -> &Description;
    /// Answers a request. Dropping the future cancels it.
    fn call(&self, call: Call) -> BoxFuture<Result<Answer, Fault>>;
    /// Answers what the host brings to it beside requests of clients. Dropping the future cancels it.
    fn deliver(&self, call: Call) -> BoxFuture<Result<Answer, Fault>>;
    /// Has it begin what it does beside requests.
    fn start(&self) -> BoxFuture<Result<(), Fault>>;
    /// Whether it is well.
    fn health(&self) -> BoxFuture<Result<(), Fault>>;
    /// State for a successor.
    fn save(&self) -> BoxFuture<Result<Option<Vec<u8>>, Fault>>;
    /// State of a predecessor.
    fn restore(&self, saved: Saved) -> BoxFuture<Result<(), Fault>>;
    /// Takes over another configuration, a JSON object, while it serves: whether it did. If not, a new generation begins with it.
    /// A fault of the kind `Error` is the plugin's own word: it refuses this configuration, and why. After any fault the one that
    /// it had before still holds.
    fn configure(&self, config: Arc<str>) -> BoxFuture<Result<bool, Fault>> {
        let _ = config;
        Box::pin(async { Ok(false) })
    }
    /// The OpenAPI document with which it replaced that of its description, if it did.
    fn replaced_document(&self) -> Option<Arc<str>> {
        None
    }
    /// Where its code runs.
    fn isolation(&self) -> Isolation {
        Isolation::None
    }
    /// Whether nothing can be asked of it any more, because its process is gone. Known before it is known how that ended.
    fn is_gone(&self) -> bool {
        false
    }
    /// Done when it has died of itself: it had a process of its own, and that has ended; and how. Keeps no lease.
    fn died(&self) -> BoxFuture<String> {
        Box::pin(std::future::pending())
    }
    /// How many panics were caught in it.
    fn panics(&self) -> u64;
    /// How many bytes it holds; none if it does not count them.
    fn memory(&self) -> Option<u64> {
        None
    }
    /// How many descriptors it has open; none if that is not known.
    fn descriptors(&self) -> Option<u64> {
        None
    }
    /// What its own process uses, if it has one.
    fn process(&self) -> Option<ProcessView> {
        None
    }
    /// Has it end what it does beside requests.
    fn shutdown(&self) -> BoxFuture<Result<(), Fault>>;
}

/// State that crosses a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The version that saved it.
    pub version: String,
    /// The state, in the plugin's own encoding.
    pub state: Vec<u8>,
}

/// What is known of an instance once it was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// What its file says.
    pub manifest: Manifest,
    /// Its OpenAPI document, as JSON text.
    pub openapi: Option<String>,
}

/// A generation that was loaded. It ends when `instance` and everything the instance gave out are dropped.
pub struct Loaded {
    /// The instance that is called.
    pub instance: Arc<dyn Instance>,
    /// The leases on it, its own among them.
    pub leases: Watch,
    /// What became of it in the end.
    pub ending: watch::Receiver<Ending>,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Loaded")
            .field("plugin", &self.instance.description().manifest.name)
            .field("leases", &self.leases)
            .field("ending", &*self.ending.borrow())
            .finish()
    }
}

/// How far a generation's end has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Somebody holds a lease.
    Alive,
    /// Nothing of it is left: its library is gone from the process, as was looked up. A plugin that is compiled into the
    /// program has none: its instance was dropped, and its runtime has ended.
    Unmapped {
        /// Thread-locals whose destructors never ran because their threads slept.
        forgotten: usize,
        /// Bytes that it allocated and never freed; none if it did not count them.
        left_behind: Option<u64>,
    },
    /// Its library stays in the process. It is tried again when something else is unloaded.
    Pinned {
        /// What keeps it in the process, in words.
        reason: String,
    },
}
