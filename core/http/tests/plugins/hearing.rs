//! Events in memory, to and from plugins that are really loaded.

use crate::harness::{Host, Served, run};
use camlock_loader::{Surroundings, on_thread_park};
use camlock_policy::{
    AskErrorCode, BoxFuture, Deliver, Delivered, Delivery, Emission, EventControl, Grants, Subscription, Undelivered,
};
use camlock_services::{
    AskLimits, HostServices, ServiceSet,
    events::{EventLimits, EventService, PluginEvents},
};
use camlock_testing::{Fixtures, trial};
use serde_json::{Value, json};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::runtime::Handle;

/// Brings things to what is served later than this was made.
#[derive(Default)]
struct Later(OnceLock<Box<dyn Deliver>>);

impl Deliver for Later {
    fn deliver(&self, plugin: &str, delivery: Delivery) -> BoxFuture<Result<Delivered, Undelivered>> {
        match self.0.get() {
            Some(deliver) => deliver.deliver(plugin, delivery),
            None => Box::pin(std::future::ready(Err(Undelivered::NotServing("not yet".to_owned())))),
        }
    }
}

/// The fixture, served, and the events of its host.
struct Hearing {
    served: Served,
    host: Host,
    events: PluginEvents,
}

impl Hearing {
    async fn start(limits: EventLimits) -> Self {
        let later = Arc::new(Later::default());
        let events = PluginEvents::new(later.clone(), limits, Handle::current());
        let mut services = ServiceSet::default();
        services.add("events/1", EventService::new(events.clone())).unwrap();
        let mut host = Host::new();
        let services: Arc<HostServices> = Arc::new(HostServices::new(services, AskLimits::default()));
        let around = Surroundings { services: Some(services), ..Surroundings::default() };
        host.loader = host.loader.with_surroundings(around);
        let served = host.serve(&Fixtures::quick().library("hearing")).await;
        let _ = later.0.set(Box::new(served.dispatch.deliveries(Some(on_thread_park))));
        let hearing = Hearing { served, host, events };
        hearing.subscribe();
        hearing
    }

    /// What its manifest names, all of it granted.
    fn subscribe(&self) {
        let named = &self.served.instance.description().manifest.camlock.subscriptions;
        let wanted: Vec<(Subscription, bool)> = named.iter().map(|wanted| (wanted.clone(), true)).collect();
        self.events.serve("hearing", &wanted);
    }

    async fn emit(&self, topic: &str, payload: Value) {
        let payload = payload.to_string().into();
        let emission = Emission { topic: topic.to_owned(), payload, durable: false, trace_id: [5; 16] };
        EventControl::emit(&self.events, emission).await.expect("it is emitted");
    }

    async fn heard(&self) -> Vec<Value> {
        serde_json::from_str(&self.served.text("/heard").await).unwrap()
    }

    /// As soon as so many were heard.
    async fn until_heard(&self, count: usize) -> Vec<Value> {
        loop {
            let heard = self.heard().await;
            if heard.len() >= count {
                return heard;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn until_counted(&self, count: u64) {
        while self.served.text("/count").await != count.to_string() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn end(self) {
        self.events.serve("hearing", &[]);
        drop(self.events);
        self.served.unload_wholly().await;
    }
}

#[trial]
fn events_come_in_order_with_their_trace() {
    run(async {
        let hearing = Hearing::start(EventLimits::default()).await;
        for number in 0..1_000 {
            let topic = if number % 3 == 0 { "session.ended" } else { "session.created" };
            hearing.emit(topic, json!({ "do": "note", "number": number })).await;
        }
        // What it does not name it does not hear of.
        hearing.emit("sessions.created", json!({ "do": "note" })).await;
        let heard = hearing.until_heard(1_000).await;
        assert!(heard.iter().enumerate().all(|(at, event)| event["payload"]["number"] == at));
        let (first, trace) = (&heard[0], "05".repeat(16));
        assert_eq!(first["topic"], "session.ended");
        assert_eq!((&first["by"], &first["trace"]), (&json!("session.*"), &json!(trace)));
        assert_eq!((&first["depth"], &first["position"], &first["attempt"]), (&json!(0), &json!(0), &json!(1)));
        let counts = hearing.events.counts()["hearing"];
        assert_eq!((counts.delivered, counts.failed, counts.dropped, counts.waiting), (1_000, 0, 0, 0));
        hearing.end().await;
    });
}

/// A panic and an error concern one event: those before and after it are handled, and the plugin serves on.
#[trial]
fn what_a_handler_does_concerns_its_event_alone() {
    run(async {
        let hearing = Hearing::start(EventLimits::default()).await;
        for act in ["count", "panic", "count", "fail", "count", "panic", "count"] {
            hearing.emit("session.created", json!({ "do": act })).await;
        }
        hearing.until_counted(4).await;
        while hearing.events.counts()["hearing"].failed < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let views = hearing.events.subscriptions().await.unwrap();
        let view = views.iter().find(|view| view.id == "hearing:session.*").unwrap();
        assert_eq!((view.delivered, view.failed), (4, 3));
        assert!(view.reason.as_deref().is_some_and(|why| why.contains("a handler panics")), "{view:?}");
        hearing.end().await;
    });
}

/// A plugin that answers each event with another one is cut off, and is told so; the trace is the first one's.
#[trial]
fn a_loop_is_cut() {
    run(async {
        let hearing = Hearing::start(EventLimits::default()).await;
        hearing.emit("session.created", json!({ "do": "loop" })).await;
        let heard = hearing.until_heard(17).await;
        while hearing.events.counts()["hearing"].loops == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(hearing.heard().await.len(), 17, "and not one more");
        let depths: Vec<_> = heard.iter().map(|event| event["depth"].as_u64().unwrap()).collect();
        assert_eq!(depths, (0..=16).collect::<Vec<_>>());
        assert!(heard.iter().all(|event| event["trace"] == "05".repeat(16)));
        let counts = hearing.events.counts()["hearing"];
        assert_eq!((counts.emitted, counts.loops, counts.failed), (16, 1, 1));
        hearing.end().await;
    });
}

/// One that takes long misses the oldest, which is counted; nobody waits for it.
#[trial]
fn who_is_slow_misses_the_oldest() {
    run(async {
        let hearing = Hearing::start(EventLimits { waiting: 100, ..EventLimits::default() }).await;
        hearing.emit("session.created", json!({ "do": "hold" })).await;
        hearing.until_heard(1).await;
        for number in 0..5_000 {
            hearing.emit("session.created", json!({ "do": "note", "number": number })).await;
        }
        // All of them were emitted while the first was handled.
        while hearing.events.counts()["hearing"].dropped < 4_900 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(hearing.heard().await.len(), 1);
        hearing.served.post("/yield", "text/plain", "").await;
        let heard = hearing.until_heard(101).await;
        assert_eq!(heard[1]["payload"]["number"], 4_900);
        assert_eq!(hearing.events.counts()["hearing"].dropped, 4_900);
        hearing.end().await;
    });
}

#[trial]
fn what_a_plugin_may_emit_and_follow() {
    run(async {
        let hearing = Hearing::start(EventLimits::default()).await;
        let emit = async |topic: &str| {
            hearing.served.post(&format!("/emit/{topic}"), "text/plain", "{}").await.status().as_u16()
        };
        assert_eq!(emit("plugin.hearing.greeted").await, 200);
        for (topic, status) in [
            ("plugin.other.greeted", 403),
            ("session.created", 403),
            ("camlock.plugin.hearing.loaded", 403),
            ("plugin.hearing..x", 400),
        ] {
            assert_eq!(emit(topic).await, status, "{topic}");
        }
        let follow = async |pattern: &str| hearing.served.get(&format!("/follow/{pattern}?count=3")).await;
        assert_eq!(follow("secret.*").await.status(), 403);
        assert_eq!(follow("**").await.status(), 403, "more than it may");
        let (followed, ()) = tokio::join!(follow("session.**"), async {
            while hearing.events.subscriptions().await.unwrap().iter().all(|view| !view.id.contains(":stream:")) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            for topic in ["session.created", "order.paid", "session.a.b", "session"] {
                hearing.emit(topic, json!({})).await;
            }
        });
        let topics: Vec<String> = serde_json::from_slice(followed.body()).unwrap();
        assert_eq!(topics, ["session.created", "session.a.b", "session"]);
        // What is revoked is refused at once.
        hearing.host.granted.lock().unwrap().update(&Grants::default());
        assert_eq!(emit("plugin.hearing.greeted").await, 403);
        assert_eq!(follow("session.**").await.status(), 403);
        hearing.end().await;
    });
}

/// Operators see, pause and resume it; an event that comes meanwhile waits.
#[trial]
fn a_subscription_is_paused_and_goes_on() {
    run(async {
        let hearing = Hearing::start(EventLimits::default()).await;
        hearing.events.pause("hearing:session.*", true).await.unwrap();
        hearing.emit("session.created", json!({ "do": "count" })).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!((&*hearing.served.text("/count").await, hearing.events.counts()["hearing"].waiting), ("0", 1));
        hearing.events.pause("hearing:session.*", false).await.unwrap();
        hearing.until_counted(1).await;
        assert_eq!(hearing.events.pause("hearing:nothing", true).await.unwrap_err().code, AskErrorCode::NotFound);
        hearing.end().await;
    });
}

/// It leaves in the middle of it; what waits stays where it is, and nothing keeps the library.
#[trial]
fn a_subscriber_that_unloads() {
    run(async {
        let hearing = Hearing::start(EventLimits::default()).await;
        for _ in 0..20_000 {
            hearing.emit("session.created", json!({ "do": "count" })).await;
        }
        hearing.end().await;
    });
}
