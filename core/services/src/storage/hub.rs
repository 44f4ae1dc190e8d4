//! Word of changes: from this server's own writes, and from others' by NOTIFY, throttled, with one LISTEN while somebody watches.
//! Word may be lost: whoever watches looks by itself now and then.

use crate::data::{PluginData, PostgresConnections, drive};
use parking_lot::Mutex;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_postgres::AsyncMessage;

/// Writes within this time are told together.
const TOGETHER: Duration = Duration::from_millis(20);

/// A plugin that writes is swept so often.
const SWEEP: Duration = Duration::from_secs(30);

/// Between attempts to listen.
const PAUSE: Duration = Duration::from_secs(1);

/// So many watches a plugin may have at once.
const WATCHES: usize = 100;

pub(super) struct Hub {
    data: PluginData,
    state: Arc<Mutex<HubState>>,
}

#[derive(Default)]
struct HubState {
    watched: HashMap<Arc<str>, watch::Sender<u64>>,
    swept: HashMap<Arc<str>, Instant>,
    untold: BTreeSet<Arc<str>>,
    listening: bool,
}

impl HubState {
    fn touch(&mut self, plugin: &str) {
        if let Some(sender) = self.watched.get(plugin) {
            sender.send_modify(|count| *count += 1);
        }
    }

    fn is_watched(&mut self) -> bool {
        self.watched.retain(|_, sender| sender.receiver_count() > 0);
        !self.watched.is_empty()
    }
}

impl Hub {
    pub(super) fn new(data: PluginData) -> Self {
        Hub { data, state: Arc::default() }
    }

    /// Something was written here.
    pub(super) fn wrote(&self, plugin: &Arc<str>) {
        let mut state = self.state.lock();
        state.touch(plugin);
        let PluginData::Postgres(connections) = &self.data else { return };
        state.untold.insert(plugin.clone());
        if state.untold.len() == 1 {
            connections.runtime().spawn(tell(self.state.clone(), connections.clone()));
        }
    }

    /// Whether it is time to sweep a plugin's values; it is asked once.
    pub(super) fn is_due(&self, plugin: &Arc<str>) -> bool {
        let now = Instant::now();
        let mut state = self.state.lock();
        let due = state.swept.get(plugin).is_none_or(|last| now.duration_since(*last) > SWEEP);
        if due {
            state.swept.insert(plugin.clone(), now);
        }
        due
    }

    /// Hears of changes from now on; none if the plugin does that too often already.
    pub(super) fn subscribe(&self, plugin: &Arc<str>) -> Option<watch::Receiver<u64>> {
        let mut state = self.state.lock();
        let sender = state.watched.entry(plugin.clone()).or_insert_with(|| watch::channel(0).0);
        if sender.receiver_count() >= WATCHES {
            return None;
        }
        let receiver = sender.subscribe();
        if let PluginData::Postgres(connections) = &self.data
            && !std::mem::replace(&mut state.listening, true)
        {
            connections.runtime().spawn(listen(self.state.clone(), connections.clone()));
        }
        Some(receiver)
    }
}

async fn tell(state: Arc<Mutex<HubState>>, connections: PostgresConnections) {
    tokio::time::sleep(TOGETHER).await;
    let untold = std::mem::take(&mut state.lock().untold);
    let names: Vec<&str> = untold.iter().map(|plugin| &**plugin).collect();
    let own: Arc<str> = "".into();
    let told = async {
        let mut connection = connections.get(&own).await?;
        let sql = "SELECT pg_notify('camlock_storage', name) FROM unnest($1::text[]) AS name";
        let statement = connection.statement(sql).await?;
        connection.client()?.query(&statement, &[&names]).await.map_err(crate::data::unavailable)
    };
    if let Err(error) = told.await {
        // Others find it when they look.
        tracing::debug!(%error, "other servers were not told of what plugins wrote");
    }
}

async fn listen(state: Arc<Mutex<HubState>>, connections: PostgresConnections) {
    loop {
        if let Ok(link) = connections.link().await {
            let heard = state.clone();
            let driver = connections.runtime().spawn(drive(link.messages, move |message| {
                if let AsyncMessage::Notification(told) = message
                    && told.channel() == "camlock_storage"
                {
                    heard.lock().touch(told.payload());
                }
            }));
            if link.client.batch_execute("LISTEN camlock_storage").await.is_ok() {
                // What came before it listened.
                state.lock().watched.values().for_each(|sender| sender.send_modify(|count| *count += 1));
                while !driver.is_finished() && state.lock().is_watched() {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        {
            let mut state = state.lock();
            if !state.is_watched() {
                state.listening = false;
                return;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
