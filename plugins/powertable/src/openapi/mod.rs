//! The document that follows the tables: told to the host at the start, and whenever they change.

mod document;

use crate::store::Store;
use camlock_plugin::{Host, HostErrorCode};
use serde_json::Value;
use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// So often the host is told at most.
const BETWEEN: Duration = Duration::from_secs(1);
/// So often it is tried again when it was too early.
const TRIES: usize = 5;

/// Tells the host which tables there are.
pub struct Describer {
    host: Host,
    store: Arc<Store>,
    /// What holds whatever tables there are.
    base: Value,
    telling: Mutex<Telling>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Telling {
    Quiet,
    /// The host is being told.
    Busy,
    /// And there is something new since that began.
    Again,
}

impl Describer {
    pub fn new(host: Host, store: Arc<Store>, base: Value) -> Self {
        Describer { host, store, base, telling: Mutex::new(Telling::Quiet) }
    }

    /// The tables have changed, or are not told yet. It is told beside whatever goes on.
    pub fn tell(self: &Arc<Self>) {
        if self.was(|telling| if telling == Telling::Quiet { Telling::Busy } else { Telling::Again }) == Telling::Quiet
        {
            let describer = self.clone();
            self.host.spawn(async move { describer.tell_all().await });
        }
    }

    fn was(&self, next: impl FnOnce(Telling) -> Telling) -> Telling {
        let mut telling = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        let next = next(*telling);
        mem::replace(&mut *telling, next)
    }

    async fn tell_all(&self) {
        loop {
            self.tell_once().await;
            let after = |telling| if telling == Telling::Again { Telling::Busy } else { Telling::Quiet };
            if self.was(after) == Telling::Busy {
                return;
            }
        }
    }

    /// Where it cannot be told the document stays as it was: nothing else depends on it.
    async fn tell_once(&self) {
        for _ in 0..TRIES {
            let Ok(tables) = self.store.tables().await else { return };
            let document = document::with_tables(&self.base, &tables);
            match self.host.openapi().replace(&document).await {
                Err(error) if error.code == HostErrorCode::Limit => self.host.sleep(BETWEEN).await,
                _ => return,
            }
        }
    }
}
