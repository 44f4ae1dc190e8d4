//! The handle through which everybody else reaches the supervisor: looks, changes in the registry, acts, and the overview.
//!
//! What must not live here: any decision. That something changed only has the supervisor look again; an act is answered when its outcome is known.

use crate::{
    ConfigViolation, Digest, Failure, Grants, Installation, Isolation, Kept, LivePlugin, NotInstalled, Overview,
    Placement,
    registry::{Actor, RegistryChange},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot, watch};

/// What an operator asks of one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Make a new generation, even of unchanged code. Ends a quarantine.
    Reload {
        /// Also if too many generations are pinned.
        force: bool,
    },
    /// Go back to an artifact that was kept: this one, or the one that served before.
    Rollback {
        /// The artifact to go back to; without, the one that served before.
        to: Option<Digest>,
        /// Also if its tables lack what it needs.
        force: bool,
    },
    /// Serve it, or do not.
    Enable(bool),
    /// Both at once, each if it is said: whether to serve it, and its configuration.
    Set {
        /// Whether to serve it.
        enabled: Option<bool>,
        /// Its configuration, an object.
        config: Option<serde_json::Value>,
        /// Where it runs; none: wherever the configuration and its manifest say.
        isolation: Option<Option<Isolation>>,
    },
    /// Grant it this, as it came from where it did. What serves has it at once; what waits for it goes on.
    Grant(Grants),
    /// Take it out, everywhere, and move its entry away.
    Remove {
        /// Also remove all that it kept: its directory, its values, its tables.
        purge: bool,
    },
}

/// An act, with who asks for it and on what condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The plugin that the act is about.
    pub plugin: String,
    /// What is to be done with it.
    pub act: Act,
    /// Who, for the journal.
    pub by: Actor,
    /// Only if this is the plugin's revision.
    pub revision: Option<u64>,
}

/// An act that was done.
#[derive(Clone, Debug)]
pub struct Done {
    /// The plugin as it is when the act is done.
    pub plugin: Arc<LivePlugin>,
    /// How long each stage took, in order: `build`, `verify`, `load`, `start`, `swap`.
    pub stages: Vec<(&'static str, Duration)>,
}

/// An act that was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refused {
    /// There is no such plugin.
    #[error("there is no plugin `{0}`")]
    Unknown(String),
    /// The candidate failed; what served before serves on.
    #[error("{failure}")]
    Failed {
        /// The stage that it failed at, and why.
        failure: Failure,
        /// The number of the generation that failed.
        generation: u64,
        /// The plugin as it is after the failure.
        plugin: Arc<LivePlugin>,
    },
    /// It cannot be done as things are, and why: dependents, too many pins, a disabled plugin.
    #[error("{0}")]
    Conflict(String),
    /// The configuration does not fit the schema of what serves, and where; nothing was changed.
    #[error("the configuration does not fit: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Misfit(Vec<ConfigViolation>),
    /// The plugin has another revision by now.
    #[error("the plugin's revision is {0} by now: look at it again")]
    Outdated(u64),
    /// It cannot be put on record now, and why; that passes.
    #[error("{0}")]
    Unavailable(String),
    /// The server is ending.
    #[error("the server is ending")]
    Ending,
}

/// What the other end of a handle hears.
#[derive(Debug)]
pub enum Message {
    /// Look at the plugins directory.
    Look,
    /// Something changed in the registry.
    Registry(RegistryChange),
    /// There may be another key for secrets.
    SecretsKey,
    /// Do this, and say what came of it.
    Act(Order, oneshot::Sender<Result<Done, Refused>>),
    /// Install this, and say where it lies.
    Install(Installation, oneshot::Sender<Result<Placement, NotInstalled>>),
    /// Which artifacts of a plugin are kept.
    History(String, oneshot::Sender<Vec<Kept>>),
    /// End everything, and say when it is done.
    End(oneshot::Sender<()>),
}

/// The other end of a handle.
#[derive(Debug)]
pub struct Inbox {
    /// What the holders of handles ask, in order.
    pub messages: mpsc::UnboundedReceiver<Message>,
    /// Where the overview is shown to them.
    pub overview: watch::Sender<Arc<Overview>>,
}

/// A handle on the supervisor. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Manager {
    messages: mpsc::UnboundedSender<Message>,
    overview: watch::Receiver<Arc<Overview>>,
}

impl Manager {
    /// A handle, and its other end.
    pub fn channel() -> (Manager, Inbox) {
        let (sender, messages) = mpsc::unbounded_channel();
        let (shown, overview) = watch::channel(Arc::default());
        (Manager { messages: sender, overview }, Inbox { messages, overview: shown })
    }

    /// Has it look at the plugins directory: something may have changed there.
    pub fn look(&self) {
        let _ = self.messages.send(Message::Look);
    }

    /// Asks for something, and waits for its outcome. Dropping the future does not take it back.
    pub async fn act(&self, plugin: &str, act: Act) -> Result<Done, Refused> {
        self.order(Order { plugin: plugin.to_owned(), act, by: Actor::Program, revision: None }).await
    }

    /// The same, with who asks for it and on what condition.
    pub async fn order(&self, order: Order) -> Result<Done, Refused> {
        let (reply, outcome) = oneshot::channel();
        let _ = self.messages.send(Message::Act(order, reply));
        outcome.await.unwrap_or(Err(Refused::Ending))
    }

    /// Installs something, and says where it lies; what comes of it is [`Placement::outcome`]. Dropping the future does not take it
    /// back.
    pub async fn install(&self, installation: Installation) -> Result<Placement, NotInstalled> {
        let (reply, outcome) = oneshot::channel();
        let _ = self.messages.send(Message::Install(installation, reply));
        outcome.await.unwrap_or(Err(NotInstalled::Ending))
    }

    /// The artifacts of a plugin that are kept here, the newest first.
    pub async fn history(&self, plugin: &str) -> Vec<Kept> {
        let (reply, history) = oneshot::channel();
        let _ = self.messages.send(Message::History(plugin.to_owned(), reply));
        history.await.unwrap_or_default()
    }

    /// What tells it that there may be another key for secrets: what could not be opened is tried again.
    pub fn key_listener(&self) -> impl Fn() + Clone + Send + Sync + use<> {
        let messages = self.messages.downgrade();
        move || {
            if let Some(messages) = messages.upgrade() {
                let _ = messages.send(Message::SecretsKey);
            }
        }
    }

    /// What tells it of changes in the registry, and does not keep it from ending when all handles are gone.
    pub fn registry_listener(&self) -> impl Fn(RegistryChange) + Clone + Send + Sync + use<> {
        let messages = self.messages.downgrade();
        move |change| {
            if let Some(messages) = messages.upgrade() {
                let _ = messages.send(Message::Registry(change));
            }
        }
    }

    /// All plugins, as they were last seen.
    pub fn overview(&self) -> Arc<Overview> {
        self.overview.borrow().clone()
    }

    /// Hears of every change of the overview.
    pub fn watch(&self) -> watch::Receiver<Arc<Overview>> {
        self.overview.clone()
    }

    /// A plugin as it was last seen, if it is known.
    pub fn plugin(&self, name: &str) -> Option<Arc<LivePlugin>> {
        self.overview().plugins.iter().find(|plugin| plugin.name == name).cloned()
    }

    /// Ends everything in order: no new requests, drain, shut down in reverse order of dependencies, unload.
    pub async fn end(&self) {
        let (done, ended) = oneshot::channel();
        let _ = self.messages.send(Message::End(done));
        let _ = ended.await;
    }
}
