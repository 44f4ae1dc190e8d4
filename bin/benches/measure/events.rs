//! Events. In memory: one emitter and a hundred subscriptions of a plugin that is loaded, beside a broadcast channel of the same payloads
//! with a hundred receivers; and how long each emission takes the emitter. Kept in PostgreSQL: accepted from many emitters at once, beside
//! the same rows in INSERTs of many rows each; and on a NATS server, where the program is built for it. In runs that alternate.

use crate::common::{
    host::{Host, end, serving_runtime},
    is_short,
    kept::Registry,
    report::{Better, Row, finish},
};
use bytes::Bytes;
use camlock_http::Dispatch;
use camlock_loader::on_thread_park;
use camlock_policy::{
    BoxFuture, Deliver, Delivered, Delivery, Emission, EventControl, GenerationStart, Granted, Grants, Loaded, Publish,
    RequestLimits, Subscription, Undelivered, routes::Serving,
};
use camlock_services::{
    PluginData, PostgresConnections,
    events::{EventLimits, PluginEvents},
};
use camlock_testing::Fixtures;
use serde_json::json;
use std::{
    process::ExitCode,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, sync::broadcast, sync::watch};
use tokio_postgres::{Client, NoTls};

const SUBSCRIBERS: u64 = 100;
/// Fewer than may wait for a subscriber: nothing is dropped.
const EVENTS: u64 = 5_000;
const TOPIC: &str = "session.created";
/// The plugin counts what begins with a dot, and looks no further; as do the receivers of the channel.
const PAYLOAD: &[u8] = &[b'.'; 100];

const KEPT: usize = 20_000;
const EMITTERS: usize = 500;
/// As many as are written together.
const TOGETHER: usize = 500;

pub fn run() -> ExitCode {
    let library = Fixtures::release().library("hearing");
    let registry = Registry::new();
    registry.settle_down();
    let runtime = serving_runtime();
    let (in_memory, kept, on_nats) = runtime.block_on(async {
        let served = ServedPlugin::load(&library).await;
        let in_memory = measure_in_memory(&served, if is_short() { 3 } else { 30 }).await;
        let kept = measure_kept(&served, &registry, if is_short() { 3 } else { 30 }).await;
        let on_nats = measure_on_nats(&served, &registry, if is_short() { 3 } else { 30 }).await;
        served.end().await;
        (in_memory, kept, on_nats)
    });
    let higher = Better::Higher;
    let mut rows = vec![
        Row::median("in memory, to 100 subscribers ÷ tokio's broadcast", "×", higher, &in_memory.ratios).must(0.3, 0.6),
        Row::median("in memory, to 100 subscribers: handled a second", "M", higher, &in_memory.rates),
        Row::median("an event takes its emitter", "µs", Better::Lower, &in_memory.emitting).must(2.0, 0.5),
        Row::median("PostgreSQL: accepted ÷ rows of multi-row INSERTs", "×", higher, &kept.accepted).must(0.7, 0.9),
        Row::median("PostgreSQL: accepted a second", "", higher, &kept.rates),
        Row::median("PostgreSQL: accepted and handled ÷ rows of INSERTs", "×", higher, &kept.handled),
        Row::median("PostgreSQL: accepted and handled a second", "", higher, &kept.both_rates),
    ];
    if let Some(on_nats) = on_nats {
        rows.push(Row::median("NATS: accepted a second", "", higher, &on_nats.rates));
        rows.push(Row::median("NATS: accepted and handled a second", "", higher, &on_nats.both_rates));
    }
    finish("events", &rows)
}

/// Brings things to what is served later than this was made.
#[derive(Default)]
struct Later(OnceLock<Box<dyn Deliver>>);

impl Deliver for Later {
    fn deliver(&self, plugin: &str, delivery: Delivery) -> BoxFuture<Result<Delivered, Undelivered>> {
        self.0.get().expect("it is served").deliver(plugin, delivery)
    }
}

/// A plugin, and the way into it.
struct ServedPlugin {
    loaded: Loaded,
    later: Arc<Later>,
    dispatch: Dispatch,
    _host: Host,
    _farewell: watch::Sender<bool>,
}

impl ServedPlugin {
    async fn load(library: &std::path::Path) -> Self {
        let host = Host::new();
        let artifact = host.verified(library).await;
        let granted = Granted::new(artifact.sections.manifest.camlock.permissions.clone(), &Grants::Asked);
        let loaded = host.loader.load(&artifact, GenerationStart { granted, ..(1, "{}").into() }).await;
        let loaded = loaded.expect("it can be loaded");
        loaded.instance.start().await.expect("it starts");
        let (farewell, told) = watch::channel(false);
        let serving = Serving::of(&loaded, 1, RequestLimits::default(), told).expect("it is alive");
        let dispatch = Dispatch::default();
        dispatch.publish(vec![serving.routed(Vec::new())]);
        let later = Arc::new(Later::default());
        let _ = later.0.set(Box::new(dispatch.deliveries(Some(on_thread_park))));
        ServedPlugin { loaded, later, dispatch, _host: host, _farewell: farewell }
    }

    async fn end(self) {
        self.dispatch.publish(Vec::new());
        end(self.loaded).await;
    }
}

/// Until it holds. What is measured takes a hundred times as long.
async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Ratios, millions a second, microseconds.
#[derive(Default)]
struct InMemory {
    ratios: Vec<f64>,
    rates: Vec<f64>,
    emitting: Vec<f64>,
}

async fn measure_in_memory(served: &ServedPlugin, runs: usize) -> InMemory {
    let events = PluginEvents::new(served.later.clone(), EventLimits::default(), Handle::current());
    let named =
        (0..SUBSCRIBERS).map(|number| json!({ "pattern": "session.*", "name": format!("subscriber-{number}") }));
    let wanted: Vec<(Subscription, bool)> =
        named.map(|named| (serde_json::from_value(named).expect("a subscription"), true)).collect();
    events.serve("hearing", &wanted);
    let (channel, received) = (broadcast::channel(EVENTS as usize).0, Arc::<AtomicU64>::default());
    let receivers: Vec<_> =
        (0..SUBSCRIBERS).map(|_| tokio::spawn(receive(channel.subscribe(), received.clone()))).collect();
    let (mut measured, warm_up) = (InMemory::default(), 2);
    for run in 0..runs + warm_up {
        // Each goes first half of the time.
        let before = if run % 2 == 0 { Some(broadcast_all(&channel, &received).await) } else { None };
        let (took, emitting) = emit_all(&events).await;
        let direct = match before {
            Some(direct) => direct,
            None => broadcast_all(&channel, &received).await,
        };
        if run >= warm_up {
            measured.ratios.push(direct / took);
            measured.rates.push((EVENTS * SUBSCRIBERS) as f64 / took / 1e6);
            measured.emitting.push(emitting * 1e6 / EVENTS as f64);
        }
    }
    drop(channel);
    for receiver in receivers {
        receiver.await.expect("it ends");
    }
    events.serve("hearing", &[]);
    measured
}

async fn receive(mut channel: broadcast::Receiver<Bytes>, received: Arc<AtomicU64>) {
    loop {
        match channel.recv().await {
            Ok(payload) if payload.first() == Some(&b'.') => drop(received.fetch_add(1, Ordering::SeqCst)),
            Ok(_) => {}
            Err(broadcast::error::RecvError::Closed) => return,
            Err(lagged) => panic!("it does not keep up: {lagged}"),
        }
    }
}

async fn broadcast_all(channel: &broadcast::Sender<Bytes>, received: &AtomicU64) -> f64 {
    let (sender, all) = (channel.clone(), received.load(Ordering::SeqCst) + EVENTS * SUBSCRIBERS);
    let begun = Instant::now();
    let sending = tokio::spawn(async move {
        for _ in 0..EVENTS {
            sender.send(Bytes::copy_from_slice(PAYLOAD)).expect("somebody receives");
        }
    });
    until(|| received.load(Ordering::SeqCst) == all).await;
    let took = begun.elapsed().as_secs_f64();
    sending.await.expect("it ends");
    took
}

/// Until all have handled all, and how long it took whoever emitted.
async fn emit_all(events: &PluginEvents) -> (f64, f64) {
    let counts = || events.counts().get("hearing").copied().unwrap_or_default();
    let all = counts().delivered + EVENTS * SUBSCRIBERS;
    let emitter = events.clone();
    let begun = Instant::now();
    let emitting = tokio::spawn(async move {
        let begun = Instant::now();
        for _ in 0..EVENTS {
            emitter.emit_of_program(TOPIC, PAYLOAD, [7; 16]).expect("it is emitted");
        }
        begun.elapsed().as_secs_f64()
    });
    until(|| counts().delivered >= all).await;
    let took = begun.elapsed().as_secs_f64();
    assert_eq!((counts().dropped, counts().failed), (0, 0));
    (took, emitting.await.expect("it ends"))
}

/// Ratios, and events a second.
#[derive(Default)]
struct Kept {
    accepted: Vec<f64>,
    handled: Vec<f64>,
    rates: Vec<f64>,
    both_rates: Vec<f64>,
}

async fn measure_kept(served: &ServedPlugin, registry: &Registry, runs: usize) -> Kept {
    let connections = PostgresConnections::new(registry.server(), 4, Handle::current());
    let (data, limits) = (PluginData::Postgres(connections), EventLimits::default());
    let events = PluginEvents::kept_in(data, "measured", served.later.clone(), limits, Handle::current());
    let wanted = json!({ "pattern": "session.*", "name": "kept", "durable": true });
    events.serve("hearing", &[(serde_json::from_value(wanted).expect("a subscription"), true)]);
    let (client, connection) = tokio_postgres::connect(&registry.url, NoTls).await.expect("PostgreSQL");
    tokio::spawn(connection);
    let plain = "CREATE TABLE plain (LIKE camlock.events INCLUDING ALL)";
    client.batch_execute(plain).await.expect("a table");
    let (mut measured, warm_up) = (Kept::default(), 1);
    for run in 0..runs + warm_up {
        let before = if run % 2 == 0 { Some(insert_all(&client).await) } else { None };
        let (accepted, handled) = keep_all(&events).await;
        let direct = match before {
            Some(direct) => direct,
            None => insert_all(&client).await,
        };
        if run >= warm_up {
            measured.accepted.push(direct / accepted);
            measured.handled.push(direct / handled);
            measured.rates.push(KEPT as f64 / accepted);
            measured.both_rates.push(KEPT as f64 / handled);
        }
        client
            .batch_execute("TRUNCATE plain; DELETE FROM camlock.events WHERE number IS NOT NULL")
            .await
            .expect("room");
        client.batch_execute("VACUUM camlock.events").await.expect("room");
    }
    events.serve("hearing", &[]);
    measured
}

#[cfg(not(feature = "nats"))]
async fn measure_on_nats(_: &ServedPlugin, _: &Registry, _: usize) -> Option<Kept> {
    None
}

/// The same on a NATS server, in one stream that grows.
#[cfg(feature = "nats")]
async fn measure_on_nats(served: &ServedPlugin, registry: &Registry, runs: usize) -> Option<Kept> {
    let connections = PostgresConnections::new(registry.server(), 4, Handle::current());
    let url = camlock_testing::NatsServer::shared().url().parse().expect("a URL");
    let place = camlock_services::events::EventPlace::new(Some(url), PluginData::Postgres(connections));
    let limits = EventLimits::default();
    let events = PluginEvents::kept_in(place, "measured", served.later.clone(), limits, Handle::current());
    let wanted = json!({ "pattern": "session.*", "name": "kept", "durable": true });
    events.serve("hearing", &[(serde_json::from_value(wanted).expect("a subscription"), true)]);
    while !events.subscriptions().await.is_ok_and(|all| all.iter().any(|one| one.position.is_some())) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (mut measured, warm_up) = (Kept::default(), 1);
    for run in 0..runs + warm_up {
        let (accepted, handled) = keep_all(&events).await;
        if run >= warm_up {
            measured.rates.push(KEPT as f64 / accepted);
            measured.both_rates.push(KEPT as f64 / handled);
        }
    }
    events.serve("hearing", &[]);
    Some(measured)
}

/// Until the last is acknowledged, and until the plugin has handled it.
async fn keep_all(events: &PluginEvents) -> (f64, f64) {
    let counts = || events.counts().get("hearing").copied().unwrap_or_default();
    let all = counts().delivered + KEPT as u64;
    let begun = Instant::now();
    let emitters: Vec<_> = (0..EMITTERS)
        .map(|_| {
            let events = events.clone();
            tokio::spawn(async move {
                for _ in 0..KEPT / EMITTERS {
                    let payload = Bytes::from_static(PAYLOAD);
                    let emission = Emission { topic: TOPIC.to_owned(), payload, durable: true, trace_id: [7; 16] };
                    EventControl::emit(&events, emission).await.expect("it is accepted");
                }
            })
        })
        .collect();
    for emitter in emitters {
        emitter.await.expect("it ends");
    }
    let accepted = begun.elapsed().as_secs_f64();
    until(|| counts().delivered >= all).await;
    (accepted, begun.elapsed().as_secs_f64())
}

async fn insert_all(client: &Client) -> f64 {
    let statement = "INSERT INTO plain (topic, payload, at, trace, depth) \
                     SELECT * FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bytea[], $5::bigint[])";
    let statement = client.prepare(statement).await.expect("a statement");
    let begun = Instant::now();
    for _ in 0..KEPT / TOGETHER {
        let (topics, payloads) = (vec![TOPIC; TOGETHER], vec![PAYLOAD; TOGETHER]);
        let (times, traces) = (vec![1_800_000_000_000_000_i64; TOGETHER], vec![&[7_u8; 16][..]; TOGETHER]);
        let depths = vec![0_i64; TOGETHER];
        client.execute(&statement, &[&topics, &payloads, &times, &traces, &depths]).await.expect("rows");
    }
    begun.elapsed().as_secs_f64()
}
