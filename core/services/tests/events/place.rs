//! Where events are kept, if they are.

use crate::{plugin::FakePlugin, server::TestServer};
use camlock_policy::{Emission, EventControl, Subscription, SubscriptionView};
use camlock_services::{
    PluginData, PostgresConnections, SqliteFile,
    events::{EventLimits, EventPlace, PluginEvents},
};
use camlock_testing::Postgres;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::runtime::Handle;

/// A database, and whatever it needs to be there.
pub enum Place {
    Memory,
    Sqlite(tempfile::TempDir),
    Postgres(String),
    /// With a database beside it.
    #[cfg(feature = "nats")]
    Nats(String, Box<Place>),
}

impl Place {
    pub fn sqlite() -> Self {
        Place::Sqlite(tempfile::tempdir().unwrap())
    }

    pub fn postgres() -> Self {
        let postgres = Postgres::shared();
        let url = postgres.database();
        postgres.sql(&url, "CREATE TABLE _plugin_roles (plugin TEXT PRIMARY KEY, migrate TEXT NOT NULL UNIQUE)");
        postgres.sql(&url, include_str!("../../../../migrations/postgres/2026-11-29-000007_events/up.sql"));
        Place::Postgres(url)
    }

    #[cfg(feature = "nats")]
    pub fn nats(beside: Place) -> Self {
        Place::Nats(camlock_testing::NatsServer::shared().url(), Box::new(beside))
    }

    pub fn keeps(&self) -> bool {
        !matches!(self, Place::Memory)
    }

    /// As the server with that name sees it, whose only plugin is this one.
    pub fn open(&self, node: &str, plugin: &Arc<FakePlugin>) -> PluginEvents {
        let limits = EventLimits { attempts: 3, pause: Duration::from_millis(20), ..EventLimits::default() };
        let place: EventPlace = match self {
            Place::Memory => return PluginEvents::new(plugin.clone(), limits, Handle::current()),
            Place::Sqlite(_) | Place::Postgres(_) => self.data().into(),
            #[cfg(feature = "nats")]
            Place::Nats(url, beside) => EventPlace::new(Some(url.parse().unwrap()), beside.data()),
        };
        PluginEvents::kept_in(place, node, plugin.clone(), limits, Handle::current())
    }

    /// The database.
    pub fn data(&self) -> PluginData {
        match self {
            Place::Memory => unreachable!("it has none"),
            Place::Sqlite(directory) => PluginData::Sqlite(SqliteFile::at(directory.path().join("plugins.db"))),
            Place::Postgres(url) => {
                let server = Arc::new(TestServer::new(url, "public"));
                PluginData::Postgres(PostgresConnections::new(server, 4, Handle::current()))
            }
            #[cfg(feature = "nats")]
            Place::Nats(_, beside) => beside.data(),
        }
    }

    /// What `shop` has in its manifest; kept, where something can be.
    pub fn subscription(&self, pattern: &str, deliver: &str) -> (Subscription, bool) {
        let mut written = json!({ "pattern": pattern, "name": "all" });
        if self.keeps() {
            written["durable"] = json!(true);
            written["deliver"] = json!(deliver);
        }
        (serde_json::from_value(written).unwrap(), true)
    }
}

pub async fn emit(events: &PluginEvents, topic: &str, payload: Value) {
    let payload = payload.to_string().into();
    let emission = Emission { topic: topic.to_owned(), payload, durable: false, trace_id: [9; 16] };
    EventControl::emit(events, emission).await.expect("it is emitted");
}

/// The subscription of `shop`, once this holds of it.
pub async fn until(events: &PluginEvents, holds: impl Fn(&SubscriptionView) -> bool) -> SubscriptionView {
    loop {
        let views = events.subscriptions().await.expect("they can be looked up");
        if let Some(view) = views.into_iter().find(|view| view.id == "shop:all" && holds(view)) {
            return view;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
