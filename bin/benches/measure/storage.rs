//! Values that a plugin keeps: got and put by a plugin that is loaded, beside the same done by the host itself, in runs that
//! alternate, on both databases.

use crate::common::{
    host::{Host, end},
    kept::{self, Registry},
    report::{Better, Row, finish},
};
use bytes::Bytes;
use camlock_loader::Surroundings;
use camlock_policy::{Answer, Body, Call, GenerationStart, Granted, Grants, Loaded};
use camlock_services::{
    AskLimits, HostServices, PluginData, PluginStorage, PostgresConnections, ServiceSet, StorageAct, StorageCondition,
    StorageLimits, StorageOperation, StorageService,
};
use camlock_testing::Fixtures;
use http::Request;
use std::{process::ExitCode, sync::Arc, time::Instant};
use tokio::runtime::Handle;

const RUNS: usize = 40;
const WARM_UP: usize = 4;
const GETS: u32 = 1_000;
const PUTS: u32 = 50;

pub fn run() -> ExitCode {
    let registry = Registry::new();
    let (_directory, file) = kept::file();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (in_sqlite, in_postgres) = runtime.block_on(async {
        let in_sqlite = measure(PluginData::Sqlite(file)).await;
        let connections = PostgresConnections::new(registry.server(), 4, Handle::current());
        (in_sqlite, measure(PluginData::Postgres(connections)).await)
    });
    let rows = [
        Row::median("SQLite: get, by the plugin ÷ by the host", "×", Better::Lower, &in_sqlite.0).must(1.05, 1.0),
        Row::median("SQLite: put, by the plugin ÷ by the host", "×", Better::Lower, &in_sqlite.1).must(1.10, 1.0),
        Row::median("PostgreSQL: get, by the plugin ÷ by the host", "×", Better::Lower, &in_postgres.0).must(1.05, 1.0),
        Row::median("PostgreSQL: put, by the plugin ÷ by the host", "×", Better::Lower, &in_postgres.1).must(1.10, 1.0),
    ];
    finish("storage", &rows)
}

/// Ratios, of gets and of puts.
async fn measure(data: PluginData) -> (Vec<f64>, Vec<f64>) {
    let storage = PluginStorage::new(data, StorageLimits::default());
    let mut services = ServiceSet::default();
    services.add("storage/1", StorageService::new(storage.clone())).expect("a name");
    let limits = AskLimits { asks: u64::MAX, bytes: u64::MAX };
    let services = Arc::new(HostServices::new(services, limits));
    let mut host = Host::new();
    host.loader = host.loader.with_surroundings(Surroundings { services: Some(services), ..Surroundings::default() });
    let artifact = host.verified(&Fixtures::release().library("keeping")).await;
    let granted = Granted::new(["storage".to_owned()], &Grants::Asked);
    let start = GenerationStart { granted, ..(1, "{}").into() };
    let loaded = host.loader.load(&artifact, start).await.expect("it can be loaded");
    let (mut gets, mut puts) = (Vec::new(), Vec::new());
    for run in 0..RUNS + WARM_UP {
        for (what, count, ratios) in [("get", GETS, &mut gets), ("put", PUTS, &mut puts)] {
            // Each goes first half of the time.
            let ratio = if run % 2 == 0 {
                let plugin = by_plugin(&loaded, what, count).await;
                plugin / by_host(&storage, what, count).await
            } else {
                let host = by_host(&storage, what, count).await;
                by_plugin(&loaded, what, count).await / host
            };
            ratios.push(ratio);
        }
    }
    end(loaded).await;
    (gets.split_off(WARM_UP), puts.split_off(WARM_UP))
}

/// Nanoseconds for each.
async fn by_plugin(loaded: &Loaded, what: &str, count: u32) -> f64 {
    let request = Request::get(format!("/measure/{what}/{count}")).body(Body::empty()).expect("a request");
    let Answer { response, .. } = loaded.instance.call(Call::new(request)).await.expect("an answer");
    let text = response.into_body().into_whole().expect("a text");
    let text = String::from_utf8_lossy(&text);
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

async fn by_host(storage: &PluginStorage, what: &str, count: u32) -> f64 {
    let plugin: Arc<str> = "keeping".into();
    let value = Bytes::from_static(&[7; 100]);
    let begun = Instant::now();
    for _ in 0..count {
        if what == "get" {
            std::hint::black_box(storage.get(&plugin, "measured").await.expect("a value"));
        } else {
            let operation = StorageOperation::Put(value.clone(), None);
            let act = StorageAct { key: "measured".to_owned(), condition: StorageCondition::default(), operation };
            storage.write(&plugin, vec![act]).await.expect("it is put");
        }
    }
    begun.elapsed().as_nanos() as f64 / f64::from(count)
}
