//! What all parts of a store share.

use crate::{StoreOptions, database::Database, node::NodeIdentity};
use camlock_policy::registry::{Happened, RegistryChange, TokenView};
use std::{
    collections::{HashMap, VecDeque},
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::sync::{Notify, watch};

/// So much of what happened is kept while it cannot be written.
const NOTES: usize = 10_000;

type ChangeListener = Arc<dyn Fn(RegistryChange) + Send + Sync>;

/// A store's insides. Clones are the same.
#[derive(Clone)]
pub(crate) struct StoreCore(Arc<StoreState>);

pub(crate) struct StoreState {
    pub(crate) database: Arc<Database>,
    pub(crate) options: StoreOptions,
    pub(crate) host: String,
    identity: NodeIdentity,
    listener: Mutex<Option<ChangeListener>>,
    notes: Mutex<VecDeque<Happened>>,
    /// There is something to be noted.
    pub(crate) noted: Notify,
    /// This node was put on record since the process began.
    pub(crate) enrolled: AtomicBool,
    /// How often it was connected to anew.
    pub(crate) reconnects: Arc<AtomicU64>,
    pub(crate) tokens: RwLock<Vec<TokenView>>,
    /// The last configuration of each plugin that could be read.
    pub(crate) configs: Mutex<HashMap<String, serde_json::Value>>,
    /// What was refused of each plugin's row, as it was last told.
    pub(crate) refused: Mutex<HashMap<String, String>>,
    /// There may be new events.
    pub(crate) fresh: watch::Sender<u64>,
    /// Something changed in rollouts, artifacts or rights to build.
    pub(crate) fleet: watch::Sender<u64>,
}

impl Deref for StoreCore {
    type Target = StoreState;

    fn deref(&self) -> &StoreState {
        &self.0
    }
}

impl StoreCore {
    pub(crate) fn new(database: Arc<Database>, identity: NodeIdentity, host: String, options: StoreOptions) -> Self {
        StoreCore(Arc::new(StoreState {
            database,
            options,
            host,
            identity,
            listener: Mutex::default(),
            notes: Mutex::default(),
            noted: Notify::new(),
            enrolled: AtomicBool::new(false),
            reconnects: Arc::default(),
            tokens: RwLock::default(),
            configs: Mutex::default(),
            refused: Mutex::default(),
            fresh: watch::Sender::new(0),
            fleet: watch::Sender::new(0),
        }))
    }
}

/// Nothing here is left half done by a panic.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StoreState {
    pub(crate) fn node(&self) -> &str {
        &self.identity.id
    }

    /// Another one may take this node's id.
    pub(crate) fn release(&self) {
        self.identity.release();
    }

    pub(crate) fn queries(&self) -> u64 {
        self.database.queries.load(Ordering::Relaxed)
    }

    /// From now on this one is told.
    pub(crate) fn listen(&self, listener: ChangeListener) {
        *locked(&self.listener) = Some(listener.clone());
        if self.database.trouble().is_none() {
            for change in
                [RegistryChange::Everything, RegistryChange::Rollouts, RegistryChange::Journal, RegistryChange::Tokens]
            {
                listener(change);
            }
        }
    }

    pub(crate) fn tell(&self, change: RegistryChange) {
        match change {
            RegistryChange::Journal => self.fresh.send_modify(|count| *count += 1),
            RegistryChange::Rollouts => self.fleet.send_modify(|count| *count += 1),
            _ => {}
        }
        let listener = locked(&self.listener).clone();
        if let Some(listener) = listener {
            listener(change);
        }
    }

    pub(crate) fn keep_note(&self, happened: Happened) {
        let mut notes = locked(&self.notes);
        if notes.len() == NOTES {
            notes.pop_front();
            tracing::warn!("the journal cannot be written for long; what happened first is lost");
        }
        notes.push_back(happened);
        drop(notes);
        self.noted.notify_one();
    }

    /// The oldest of what is to be noted.
    pub(crate) fn oldest_notes(&self, most: usize) -> Vec<Happened> {
        locked(&self.notes).iter().take(most).cloned().collect()
    }

    /// They were written.
    pub(crate) fn forget_notes(&self, count: usize) {
        let mut notes = locked(&self.notes);
        let count = count.min(notes.len());
        notes.drain(..count);
    }
}
