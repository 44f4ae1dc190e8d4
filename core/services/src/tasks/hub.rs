//! Word of tasks: from this server's own acts at once, and from others' by NOTIFY, throttled, with one LISTEN a server. Word may be
//! lost: whoever runs tasks looks by itself now and then.

use crate::data::{PluginData, PostgresConnections, drive};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;
use tokio_postgres::AsyncMessage;

/// After others were told they are told nothing for so long: commits that notify wait for one another.
const BETWEEN: Duration = Duration::from_millis(20);

/// Between attempts to listen, and between two looks whether the connection is still there.
const PAUSE: Duration = Duration::from_secs(1);

/// That there may be something to do, and that something is to be cancelled.
const WORDS: [&str; 2] = ["work", "cancel"];

pub(super) struct TaskHub {
    data: PluginData,
    shared: Arc<SharedHub>,
}

#[derive(Default)]
struct SharedHub {
    work: Notify,
    cancel: Notify,
    untold: Mutex<Untold>,
    listening: AtomicBool,
}

#[derive(Default)]
struct Untold {
    words: [bool; 2],
    /// Whether somebody is telling them.
    being_told: bool,
}

impl SharedHub {
    fn heard(&self, word: usize) {
        if word == 0 { self.work.notify_one() } else { self.cancel.notify_one() }
    }
}

impl TaskHub {
    pub(super) fn new(data: PluginData) -> Self {
        TaskHub { data, shared: Arc::default() }
    }

    /// There may be something to do.
    pub(super) fn wake(&self) {
        self.say(0);
    }

    /// Something that runs is to be cancelled.
    pub(super) fn cancelled(&self) {
        self.say(1);
    }

    fn say(&self, word: usize) {
        self.shared.heard(word);
        let PluginData::Postgres(connections) = &self.data else { return };
        let mut untold = self.shared.untold.lock();
        if let Some(untold) = untold.words.get_mut(word) {
            *untold = true;
        }
        if !std::mem::replace(&mut untold.being_told, true) {
            connections.runtime().spawn(tell(self.shared.clone(), connections.clone()));
        }
    }

    /// Comes when there may be something to do.
    pub(super) async fn work(&self) {
        self.shared.work.notified().await;
    }

    /// Comes when something is to be cancelled.
    pub(super) async fn cancel(&self) {
        self.shared.cancel.notified().await;
    }

    /// Hears of other servers from now on, as long as this is polled.
    pub(super) async fn listen(&self) {
        match &self.data {
            PluginData::Sqlite(_) => std::future::pending().await,
            PluginData::Postgres(connections) => listen(&self.shared, connections).await,
        }
    }

    /// Whether all that others do is heard of.
    pub(super) fn hears_all(&self) -> bool {
        matches!(self.data, PluginData::Sqlite(_)) || self.shared.listening.load(Ordering::Relaxed)
    }
}

async fn tell(shared: Arc<SharedHub>, connections: PostgresConnections) {
    loop {
        let words: Vec<&str> = {
            let mut untold = shared.untold.lock();
            let words = std::mem::take(&mut untold.words);
            untold.being_told = words.contains(&true);
            WORDS.iter().zip(words).filter(|(_, untold)| *untold).map(|(word, _)| *word).collect()
        };
        if words.is_empty() {
            return;
        }
        let told = async {
            let mut connection = connections.get(&super::host()).await?;
            let statement =
                connection.statement("SELECT pg_notify('camlock_tasks', word) FROM unnest($1::text[]) AS word");
            let statement = statement.await?;
            connection.client()?.query(&statement, &[&words]).await.map_err(crate::data::unavailable)
        };
        if let Err(error) = told.await {
            // Others find it when they look.
            tracing::debug!(%error, "other servers were not told of tasks");
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

async fn listen(shared: &Arc<SharedHub>, connections: &PostgresConnections) {
    loop {
        if let Ok(link) = connections.link().await {
            let heard = shared.clone();
            let mut driver = connections.runtime().spawn(drive(link.messages, move |message| {
                if let AsyncMessage::Notification(told) = message
                    && told.channel() == "camlock_tasks"
                    && let Some(word) = WORDS.iter().position(|word| *word == told.payload())
                {
                    heard.heard(word);
                }
            }));
            let _ends = EndsListening(shared, driver.abort_handle());
            if link.client.batch_execute("LISTEN camlock_tasks").await.is_ok() {
                shared.listening.store(true, Ordering::Relaxed);
                // What came before it listened.
                shared.heard(0);
                shared.heard(1);
                let _ = (&mut driver).await;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// However it ends, nobody thinks that it listens, and nothing is left behind.
struct EndsListening<'a>(&'a Arc<SharedHub>, tokio::task::AbortHandle);

impl Drop for EndsListening<'_> {
    fn drop(&mut self) {
        self.0.listening.store(false, Ordering::Relaxed);
        self.1.abort();
    }
}
