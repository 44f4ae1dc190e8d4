//! What an author implements.

use crate::{Config, Due, Event, Execution, Host, Result, Routes, Taken, Task, assets::Assets, deliveries::NotTaken};
use serde_json::Value;
use std::{future::Future, sync::Arc};

/// A plugin.
///
/// Only [`create`](Plugin::create) and [`routes`](Plugin::routes) must be written. Write the others as `async fn` too.
pub trait Plugin: Sized + Send + Sync + 'static {
    /// Makes the value.
    ///
    /// It must have no effects outside: it also runs in the short-lived process that verifies a build. Connect, spawn and
    /// write in [`start`](Plugin::start).
    fn create(host: Host) -> impl Future<Output = Result<Self>> + Send;

    /// The routes to serve, as an [`axum::Router`] or a `utoipa_axum::router::OpenApiRouter`. Called once, after `create`.
    fn routes(self: Arc<Self>) -> impl Into<Routes>;

    /// Begins work. Runs only in a server, before the first request.
    fn start(&self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Says whether the plugin is well; the error is shown to the operator.
    fn health(&self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Hands state to the plugin's next build, which finds it in [`restore`](Plugin::restore).
    fn save(&self) -> impl Future<Output = Result<Option<Vec<u8>>>> + Send {
        async { Ok(None) }
    }

    /// Takes over state. An error means that it is not understood: the plugin then starts without it.
    fn restore(&self, _saved: Saved) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Takes over another configuration while it serves. Calls come one at a time; what it began with is in
    /// [`Host::config`](crate::Host::config).
    ///
    /// [`Taken::Reload`], the default, says that only a new instance can begin with it: the host then makes one. An error refuses
    /// the configuration, with that reason, and everything stays as it was.
    fn configure(&self, _config: Config) -> impl Future<Output = Result<Taken>> + Send {
        async { Ok(Taken::Reload) }
    }

    /// Works something out for whoever waits for it: `POST /api/v1/plugins/NAME/execute`, `camlock execute`, or the host's own
    /// program. Many may run at once, on threads that are this plugin's alone. When nobody waits any more, or its time is over, the
    /// future is dropped.
    fn execute(&self, _execution: Execution) -> impl Future<Output = Result<Value>> + Send {
        async { Err(NotTaken.into()) }
    }

    /// Hears of an event of a topic that `subscriptions` in the manifest name. Events of one subscription come one after the other.
    ///
    /// An error or a panic concerns this event alone: one in memory is counted as failed, one of a durable subscription is tried
    /// again. So a durable one may come more than once: look at its topic and [`position`](crate::Event::position).
    fn event(&self, _event: Event) -> impl Future<Output = Result<()>> + Send {
        async { Err(NotTaken.into()) }
    }

    /// Does what was enqueued to be done later: a task of one of the types that the manifest names, by `host.tasks()`, by
    /// `POST /api/v1/tasks`, or by the host's own program.
    ///
    /// An error has it tried again, later each time, as often as its type may fail; a panic counts as one. If the server dies, or this
    /// build has to leave before it is done, it begins anew elsewhere: what it does outside should do no harm when it is done twice.
    /// When it is cancelled, or its time is over, the future is dropped.
    fn task(&self, _task: Task) -> impl Future<Output = Result<Value>> + Send {
        async { Err(NotTaken.into()) }
    }

    /// Does what is to be done at a set time, as one of the manifest's `schedules` says: on one server of the fleet, and never twice at
    /// once for one schedule. An error has it tried again, as for a task.
    fn schedule(&self, _due: Due) -> impl Future<Output = Result<()>> + Send {
        async { Err(NotTaken.into()) }
    }

    /// Runs before each attempt of a task. An error is that of the attempt, which does not begin.
    fn before_task(&self, _task: &Task) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Runs after each attempt that came to an end, with what came of it. It is not called for one that panicked or was dropped.
    fn after_task(&self, _task: &Task, _outcome: &Result<Value>) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Ends work: the last call before the value is dropped. It also runs where `start` did not: when a build is verified, and
    /// when `start` failed.
    fn shutdown(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// State that another build of this plugin handed over.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Saved {
    /// The version of the plugin that saved it.
    pub version: String,
    /// What its `save` returned.
    pub state: Vec<u8>,
}

impl Saved {
    /// State as a host would hand it over, for tests of `restore`.
    pub fn new(version: impl Into<String>, state: impl Into<Vec<u8>>) -> Self {
        Saved { version: version.into(), state: state.into() }
    }
}

/// What `export!` adds to a plugin type.
pub trait ExportedPlugin: Plugin {
    /// The files of the crate's folder `assets`.
    const ASSETS: Assets;
    /// The file with the schema of its configuration that the manifest names.
    const CONFIG_FILE: Option<&'static str>;

    /// The schema of its configuration that is made of a type.
    fn config_schema() -> Option<String> {
        None
    }
}
