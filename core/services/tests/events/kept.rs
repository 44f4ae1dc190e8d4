//! Order, failures, restarts, several servers.

use crate::{
    place::{Place, emit, until},
    plugin::FakePlugin,
};
use camlock_policy::{AskErrorCode, Emission, EventControl, SubscriptionState};
use camlock_services::events::PluginEvents;
use camlock_testing::{Postgres, trial};
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// Runs a test on all of these.
fn on_all<F: Future<Output = ()>>(places: impl IntoIterator<Item = Place>, test: impl Fn(Arc<Place>) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for place in places {
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(300), test(Arc::new(place))).await.expect("it ends");
        });
    }
}

fn all() -> Vec<Place> {
    std::iter::once(Place::Memory).chain(kept()).collect()
}

fn kept() -> Vec<Place> {
    let mut places = vec![Place::sqlite(), Place::postgres()];
    places.extend(nats());
    places
}

/// Those that several servers share.
fn shared() -> Vec<Place> {
    let mut places = vec![Place::postgres()];
    places.extend(nats());
    places
}

#[cfg(feature = "nats")]
fn nats() -> Option<Place> {
    Some(Place::nats(Place::sqlite()))
}

#[cfg(not(feature = "nats"))]
fn nats() -> Option<Place> {
    None
}

#[trial]
fn events_come_in_order() {
    on_all(all(), async |place| {
        let plugin = Arc::new(FakePlugin::default());
        let events = place.open("one", &plugin);
        events.serve("shop", &[place.subscription("order.*", "one")]);
        until(&events, |_| true).await;
        for number in 0..1_000 {
            let topic = if number % 3 == 0 { "order.paid" } else { "order.made" };
            emit(&events, topic, json!({ "number": number })).await;
            if number % 100 == 0 {
                emit(&events, "session.created", json!({})).await;
            }
        }
        let heard = plugin.until_heard(1_000).await;
        assert!(heard.iter().enumerate().all(|(at, event)| event.payload["number"] == at && event.attempt == 1));
        assert!(heard.iter().all(|event| event.trace_id == [9; 16]));
        if place.keeps() {
            for topic in ["order.paid", "order.made"] {
                let positions = heard.iter().filter(|event| event.topic == topic).map(|event| event.position);
                assert!(positions.eq(1..=heard.iter().filter(|event| event.topic == topic).count() as u64), "{topic}");
            }
        }
        let view = until(&events, |view| view.delivered == 1_000).await;
        assert_eq!((view.failed, view.dropped, view.dead, view.state), (0, 0, 0, SubscriptionState::Active));
    });
}

#[trial]
fn what_two_servers_and_transactions_emit_has_one_order() {
    on_all([Place::postgres()], async |place| {
        let Place::Postgres(url) = &*place else { unreachable!("it is that") };
        let (plugin, nobody) = (Arc::new(FakePlugin::default()), Arc::new(FakePlugin::default()));
        let (one, two) = (place.open("one", &plugin), place.open("two", &nobody));
        one.serve("shop", &[place.subscription("order.*", "one")]);
        until(&one, |_| true).await;
        let emit = async |events: &PluginEvents, topic: &str, payload: serde_json::Value| {
            let (topic, payload) = (topic.to_owned(), payload.to_string().into());
            // That it is to be kept another server knows a while later.
            let emission = Emission { topic, payload, durable: true, trace_id: [9; 16] };
            EventControl::emit(events, emission).await.expect("it is emitted");
        };
        for round in 0..30 {
            // As `emit` does within a plugin's own transaction: what is emitted after that comes after it.
            let by_sql = format!(
                "INSERT INTO events (topic, payload, at, trace, depth) \
                 VALUES ('order.made', convert_to('{{\"round\": {round}, \"first\": true}}', 'UTF8'), 0, decode(repeat('09', 16), 'hex'), 0)"
            );
            Postgres::shared().sql(url, &by_sql);
            let later = json!({ "round": round, "first": false });
            tokio::join!(emit(&one, "order.made", later.clone()), emit(&two, "order.paid", later.clone()));
            tokio::join!(emit(&one, "order.paid", later.clone()), emit(&two, "order.made", later));
        }
        let heard = plugin.until_heard(150).await;
        for (at, event) in heard.iter().enumerate() {
            assert_eq!(event.payload["round"], at / 5, "{at}");
            assert_eq!(event.payload["first"], at % 5 == 0, "{at}");
        }
        for topic in ["order.paid", "order.made"] {
            let positions = heard.iter().filter(|event| event.topic == topic).map(|event| event.position);
            assert!(positions.eq(1..=heard.iter().filter(|event| event.topic == topic).count() as u64), "{topic}");
        }
    });
}

#[trial]
fn what_fails_is_tried_again_and_given_up_and_replayed() {
    on_all(kept(), async |place| {
        let plugin = Arc::new(FakePlugin::default());
        plugin.failures.lock().extend([("twice".to_owned(), 2), ("always".to_owned(), 4)]);
        let events = place.open("one", &plugin);
        events.serve("shop", &[place.subscription("**", "one")]);
        until(&events, |_| true).await;
        for (topic, fail) in [("a", "no"), ("a", "twice"), ("b", "always"), ("a", "no")] {
            emit(&events, topic, json!({ "fail": fail })).await;
        }
        let heard = plugin.until_heard(8).await;
        let heard: Vec<_> = heard.iter().map(|event| (&*event.topic, event.position, event.attempt)).collect();
        let expected =
            [("a", 1, 1), ("a", 2, 1), ("a", 2, 2), ("a", 2, 3), ("b", 1, 1), ("b", 1, 2), ("b", 1, 3), ("a", 3, 1)];
        assert_eq!(heard, expected, "in order, whatever fails");
        let view = until(&events, |view| view.delivered == 3).await;
        assert_eq!((view.failed, view.dead, view.state, view.waiting), (5, 1, SubscriptionState::Active, 0));
        let (dead, more) = events.dead("shop:all", 0, 10).await.unwrap();
        assert_eq!((dead.len(), more, &*dead[0].topic, dead[0].attempts), (1, false, "b", 3));
        assert_eq!((&*dead[0].reason, &dead[0].payload), ("the disk is full", &json!({ "fail": "always" })));
        // It fails once more, and is still there; then it does not.
        assert_eq!(events.replay("shop:all", Some(dead[0].number)).await.unwrap(), 1);
        assert_eq!(plugin.until_heard(9).await[8].attempt, 4);
        while events.dead("shop:all", 0, 10).await.unwrap().0[0].attempts != 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(events.replay("shop:all", None).await.unwrap(), 1);
        until(&events, |view| view.dead == 0).await;
        assert_eq!(plugin.until_heard(10).await.len(), 10);
        assert_eq!(events.replay("shop:all", Some(7)).await.unwrap_err().code, AskErrorCode::NotFound);
        assert_eq!(events.replay("shop:nothing", None).await.unwrap_err().code, AskErrorCode::NotFound);
    });
}

#[trial]
fn what_comes_meanwhile_is_kept() {
    on_all(kept(), async |place| {
        let plugin = Arc::new(FakePlugin::default());
        let events = place.open("one", &plugin);
        events.serve("shop", &[place.subscription("order.*", "one")]);
        until(&events, |_| true).await;
        emit(&events, "order.made", json!({ "number": 0 })).await;
        plugin.until_heard(1).await;
        until(&events, |view| view.position == Some(1)).await;
        // Paused by an operator, it waits and says so.
        events.pause("shop:all", true).await.unwrap();
        let paused = until(&events, |view| view.state == SubscriptionState::Paused).await;
        assert_eq!(paused.reason.as_deref(), Some("an operator paused it"));
        tokio::time::sleep(Duration::from_millis(100)).await;
        emit(&events, "order.made", json!({ "number": 1 })).await;
        until(&events, |view| view.waiting == 1).await;
        assert_eq!(plugin.heard.lock().len(), 1);
        events.pause("shop:all", false).await.unwrap();
        plugin.until_heard(2).await;
        // It does not serve for a while, and is gone for another.
        *plugin.is_gone.lock() = true;
        emit(&events, "order.made", json!({ "number": 2 })).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        *plugin.is_gone.lock() = false;
        plugin.until_heard(3).await;
        until(&events, |view| view.position == Some(3)).await;
        events.serve("shop", &[]);
        emit(&events, "order.made", json!({ "number": 3 })).await;
        drop(events);
        // Another server, later.
        let events = place.open("two", &plugin);
        events.serve("shop", &[place.subscription("order.*", "one")]);
        let heard = plugin.until_heard(4).await;
        assert_eq!(heard.iter().map(|event| event.position).collect::<Vec<_>>(), [1, 2, 3, 4]);
        events.serve("shop", &[]);
        events.purge("shop").await.unwrap();
        assert_eq!(events.subscriptions().await.unwrap(), []);
    });
}

/// Three servers: one of them hears of each event, or all of them do; numbers have no gaps though all of them emit.
#[trial]
fn one_server_or_each() {
    for deliver in ["one", "every"] {
        on_all(shared(), async |place| {
            let plugins: Vec<_> = (0..3).map(|_| Arc::new(FakePlugin::default())).collect();
            let servers: Vec<_> =
                plugins.iter().enumerate().map(|(at, plugin)| place.open(&format!("node-{at}"), plugin)).collect();
            for server in &servers {
                server.serve("shop", &[place.subscription("order.*", deliver)]);
            }
            while servers[0].subscriptions().await.unwrap().len() < if deliver == "one" { 1 } else { 3 } {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let emitting = servers.iter().map(async |server| {
                for number in 0..200 {
                    emit(server, "order.made", json!({ "number": number })).await;
                }
            });
            futures_util::future::join_all(emitting).await;
            let heard = async || {
                let heard = plugins.iter().map(|plugin| plugin.heard.lock().clone());
                heard.collect::<Vec<_>>()
            };
            let expected = if deliver == "one" { 600 } else { 1_800 };
            while heard().await.iter().map(Vec::len).sum::<usize>() < expected {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let heard = heard().await;
            match deliver {
                "one" => {
                    let mut positions: Vec<_> = heard.concat().iter().map(|event| event.position).collect();
                    positions.sort_unstable();
                    assert!(positions.into_iter().eq(1..=600));
                }
                _ => assert!(heard.iter().all(|heard| heard.iter().map(|event| event.position).eq(1..=600))),
            }
        });
    }
}

/// Connections break again and again: what was acknowledged comes, in order, and what was not says so.
#[trial]
fn connections_are_cut() {
    on_all([Place::postgres()], async |place| {
        let Place::Postgres(url) = &*place else { unreachable!("it is on PostgreSQL") };
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        while_cut(&place, |_| drop(Postgres::shared().sql(url, cut))).await;
    });
}

/// Emits while something is done now and then.
async fn while_cut(place: &Place, cut: impl Fn(u32)) {
    let plugin = Arc::new(FakePlugin::default());
    let events = place.open("one", &plugin);
    events.serve("shop", &[place.subscription("order.*", "one")]);
    until(&events, |_| true).await;
    let (mut acknowledged, mut number) = (Vec::new(), 0_u32);
    while acknowledged.len() < 450 {
        if number % 50 == 25 {
            cut(number);
        }
        let payload = json!({ "number": number }).to_string().into();
        let emission = Emission { topic: "order.made".to_owned(), payload, durable: true, trace_id: [0; 16] };
        match EventControl::emit(&events, emission).await {
            Ok(()) => acknowledged.push(number),
            Err(error) => assert_eq!(error.code, AskErrorCode::Unavailable, "{error}"),
        }
        number += 1;
    }
    let missing = || {
        let heard = plugin.heard.lock();
        let is_heard = |number: &&u32| heard.iter().any(|event| event.payload["number"] == **number);
        acknowledged.iter().filter(|number| !is_heard(number)).count()
    };
    while missing() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let heard = plugin.heard.lock();
    let mut firsts: Vec<_> = heard.iter().map(|event| event.position).collect();
    firsts.dedup();
    let mut sorted = firsts.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert!(sorted.iter().copied().eq(1..=sorted.len() as u64), "positions have no gaps");
}

/// The server is killed again and again, in the middle of what it does.
#[cfg(feature = "nats")]
#[trial]
fn nats_is_killed() {
    let server = camlock_testing::NatsServer::start();
    on_all([Place::Nats(server.url(), Box::new(Place::sqlite()))], async |place| {
        while_cut(&place, |number| {
            server.kill();
            // What is asked meanwhile is refused, not kept for later.
            if number % 100 == 25 {
                let later = Duration::from_millis(100);
                std::thread::sleep(later);
            }
            server.start_again();
        })
        .await;
    });
}

/// What plugins emit in their own transactions is carried over from the database, in its order, by one server at a time.
#[cfg(feature = "nats")]
#[trial]
fn nats_hears_of_transactions() {
    on_all([Place::nats(Place::sqlite()), Place::nats(Place::postgres())], async |place| {
        let plugin = Arc::new(FakePlugin::default());
        // A file has one server.
        let names: &[&str] =
            if let camlock_services::PluginData::Sqlite(_) = place.data() { &["one"] } else { &["one", "two"] };
        let servers: Vec<_> = names.iter().map(|node| place.open(node, &plugin)).collect();
        servers[0].serve("shop", &[place.subscription("order.*", "one")]);
        until(&servers[0], |_| true).await;
        let emit = "INSERT INTO events (topic, payload, at, trace, depth) VALUES";
        match place.data() {
            camlock_services::PluginData::Sqlite(file) => {
                let write = move |connection: &mut rusqlite::Connection| {
                    for number in 0..1_100 {
                        let payload = json!({ "number": number }).to_string().into_bytes();
                        let values = rusqlite::params!["order.made", payload, 1, [7_u8; 16].to_vec(), 0];
                        connection.execute(&format!("{emit} (?, ?, ?, ?, ?)"), values).unwrap();
                    }
                    Ok(())
                };
                file.write(&"shop".into(), write).await.unwrap();
            }
            camlock_services::PluginData::Postgres(_) => {
                let Place::Nats(_, beside) = &*place else { unreachable!("it is on NATS") };
                let Place::Postgres(url) = &**beside else { unreachable!("it is on PostgreSQL") };
                let many = "SELECT 'order.made', convert_to('{\"number\":' || number || '}', 'UTF8'), 1, \
                            decode(repeat('07', 16), 'hex'), 0 FROM generate_series(0, 1099) AS number";
                Postgres::shared().sql(url, &format!("{} {many}", emit.trim_end_matches("VALUES")));
            }
        }
        let heard = plugin.until_heard(1_100).await;
        assert!(heard.iter().enumerate().all(|(at, event)| event.payload["number"] == at));
        assert!(heard.iter().map(|event| event.position).eq(1..=1_100));
        assert_eq!(heard[0].trace_id, [7; 16]);
    });
}

/// The server comes back with nothing of what it had: that is noticed, and what is emitted then is heard of, by each server.
#[cfg(feature = "nats")]
#[trial]
fn nats_has_lost_everything() {
    let server = camlock_testing::NatsServer::start();
    on_all([Place::Nats(server.url(), Box::new(Place::sqlite()))], async |place| {
        let plugins: Vec<_> = (0..2).map(|_| Arc::new(FakePlugin::default())).collect();
        let servers: Vec<_> =
            plugins.iter().enumerate().map(|(at, plugin)| place.open(&format!("node-{at}"), plugin)).collect();
        for one in &servers {
            one.serve("shop", &[place.subscription("order.*", "every")]);
        }
        while servers[0].subscriptions().await.unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for number in 0..10 {
            emit(&servers[0], "order.made", json!({ "number": number })).await;
        }
        for plugin in &plugins {
            plugin.until_heard(10).await;
        }
        server.kill();
        server.wipe();
        server.start_again();
        // Nothing is acknowledged before there is somewhere to keep it.
        let mut number = 10;
        while number < 20 {
            let payload = json!({ "number": number }).to_string().into();
            let emission = Emission { topic: "order.made".to_owned(), payload, durable: true, trace_id: [0; 16] };
            match EventControl::emit(&servers[number % 2], emission).await {
                Ok(()) => number += 1,
                Err(error) => assert_eq!(error.code, AskErrorCode::Unavailable, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for plugin in &plugins {
            let heard = plugin.until_heard(20).await;
            let anew: Vec<_> =
                heard[10..].iter().map(|event| (event.payload["number"].as_u64(), event.position)).collect();
            assert!(anew.into_iter().eq((10..20).map(|number| (Some(number), number - 9))), "{heard:?}");
        }
    });
}

/// Somebody removes one of the streams while all goes on: it is made again, and what is emitted then is heard of once, from servers
/// that were there as from one that comes later.
#[cfg(feature = "nats")]
#[trial]
fn nats_has_lost_a_stream() {
    let place = Place::nats(Place::sqlite());
    let Place::Nats(url, _) = &place else { unreachable!("it is on NATS") };
    let (server, prefix) = url.rsplit_once('/').unwrap();
    let (server, prefix) = (server.to_owned(), prefix.to_owned());
    on_all([place], async |place| {
        let plugin = Arc::new(FakePlugin::default());
        let open = async |node: &str| {
            let events = place.open(node, &plugin);
            events.serve("shop", &[place.subscription("order.*", "one")]);
            until(&events, |_| true).await;
            events
        };
        let events = open("one").await;
        emit(&events, "order.made", json!({ "number": 0 })).await;
        plugin.until_heard(1).await;
        until(&events, |view| view.delivered == 1).await;
        let mut there = Some(events);
        let streams = async_nats::jetstream::new(async_nats::connect(&server).await.unwrap());
        for (lost, again) in [("subscriptions", false), ("dead", false), ("events", false), ("events", true)] {
            if again {
                // Nobody is there while it is lost.
                drop(there.take());
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            streams.delete_stream(format!("{prefix}_{lost}")).await.unwrap();
            let events = match there.take() {
                Some(events) => events,
                None => open("two").await,
            };
            // Looking at them brings them back; until then it says that it cannot.
            while !events.subscriptions().await.is_ok_and(|views| views.iter().any(|view| view.id == "shop:all")) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let before = plugin.heard.lock().len();
            emit(&events, "order.made", json!({ "number": before })).await;
            let heard = plugin.until_heard(before + 1).await;
            assert_eq!(heard[before].payload["number"], before, "{lost}: {heard:?}");
            let position = if lost == "events" { 1 } else { before as u64 + 1 };
            assert_eq!(heard[before].position, position, "{lost}");
            there = Some(events);
        }
        assert_eq!(plugin.heard.lock().len(), 5);
    });
}

/// One server alone keeps no second copy, and says so.
#[cfg(feature = "nats")]
#[trial]
fn nats_has_no_replicas() {
    let url = format!("{}?replicas=3", camlock_testing::NatsServer::shared().url());
    on_all([Place::Nats(url, Box::new(Place::sqlite()))], async |place| {
        let events = place.open("one", &Arc::default());
        let emission =
            Emission { topic: "order.made".to_owned(), payload: "{}".into(), durable: true, trace_id: [0; 16] };
        let refused = EventControl::emit(&events, emission).await.unwrap_err();
        assert_eq!(refused.code, AskErrorCode::Unavailable);
        assert!(refused.message.contains("_events on 127.0.0.1:") && refused.message.contains("replicas"), "{refused}");
    });
}
