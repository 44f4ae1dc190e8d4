use super::*;
use camlock_policy::{BoxFuture, Delivered, Delivery, Emission, EventControl, Granted, Grants, Undelivered};

/// Nobody serves.
struct Nobody;

impl Deliver for Nobody {
    fn deliver(&self, _: &str, _: Delivery) -> BoxFuture<Result<Delivered, Undelivered>> {
        Box::pin(std::future::ready(Err(Undelivered::NotServing("nobody serves".to_owned()))))
    }
}

fn events() -> PluginEvents {
    PluginEvents::new(Arc::new(Nobody), EventLimits::default(), Handle::current())
}

fn asker(permissions: &[&str]) -> Asker {
    let granted = Granted::new(permissions.iter().map(|permission| (*permission).to_owned()), &Grants::Asked);
    Asker { plugin: "shop".into(), generation: 1, granted, document: Default::default() }
}

fn emitted(events: &PluginEvents, asker: &Asker, topic: &str, depth: u32) -> Result<(), AskErrorCode> {
    let event = EmittedEvent { topic, payload: b"1", trace_id: [0; 16], depth };
    events.emit_now(Emitter::Plugin(asker), &event).map_err(|error| error.code)
}

#[tokio::test]
async fn a_plugin_emits_what_it_may() {
    let events = events();
    let shop = asker(&["events:emit:plugin.shop.paid", "events:emit:plugin.shop.orders.*"]);
    assert_eq!(emitted(&events, &shop, "plugin.shop.paid", 0), Ok(()));
    assert_eq!(emitted(&events, &shop, "plugin.shop.orders.new", MOST_DEPTH), Ok(()));
    assert_eq!(emitted(&events, &shop, "plugin.shop.orders.new", MOST_DEPTH + 1), Err(AskErrorCode::Limit));
    for (topic, code) in [
        ("plugin.shop.unpaid", AskErrorCode::Denied),
        ("plugin.other.paid", AskErrorCode::Denied),
        ("camlock.plugin.shop.loaded", AskErrorCode::Denied),
        ("session.created", AskErrorCode::Denied),
        ("plugin.shop.", AskErrorCode::Invalid),
    ] {
        assert_eq!(emitted(&events, &shop, topic, 0), Err(code), "{topic}");
    }
    let counts = events.counts()["shop"];
    assert_eq!((counts.emitted, counts.loops), (2, 1));
}

#[tokio::test]
async fn what_the_program_emits_is_heard_in_order() {
    let events = events();
    let emit = |topic: &str, size: usize| {
        let payload = vec![b'1'; size].into();
        let emission = Emission { topic: topic.to_owned(), payload, durable: false, trace_id: [7; 16] };
        EventControl::emit(&events, emission)
    };
    let mut follower = events.follow_topics(None, "session.*".parse().unwrap()).unwrap();
    emit("session.created", 1).await.unwrap();
    emit("sessions.created", 2).await.unwrap();
    emit("session.ended", MOST_PAYLOAD).await.unwrap();
    assert_eq!(emit("session.ended", MOST_PAYLOAD + 1).await.unwrap_err().code, AskErrorCode::Limit);
    assert_eq!(emit("camlock.plugin.shop.loaded", 1).await.unwrap_err().code, AskErrorCode::Denied);
    let mut heard = Vec::new();
    while heard.len() < 2 {
        heard.extend(follower.next().await);
    }
    let told: Vec<_> = heard.iter().map(|event| (&*event.topic, event.payload().len(), event.trace_id)).collect();
    assert_eq!(told, [("session.created", 1, [7; 16]), ("session.ended", MOST_PAYLOAD, [7; 16])]);
}

/// Nobody reads: the emitter goes on all the same, and what is too much is counted.
#[tokio::test]
async fn an_emitter_is_never_held_up() {
    let events =
        PluginEvents::new(Arc::new(Nobody), EventLimits { waiting: 10, ..EventLimits::default() }, Handle::current());
    let wanted: Subscription =
        serde_json::from_value(serde_json::json!({ "pattern": "session.*", "name": "all" })).unwrap();
    events.serve("audit", &[(wanted.clone(), true)]);
    for number in 0..5_000_u32 {
        events.emit_of_program("session.created", number.to_string().as_bytes(), [0; 16]).unwrap();
    }
    events.0.hub.settle();
    let views = events.subscriptions().await.unwrap();
    assert_eq!(views.len(), 1);
    let view = &views[0];
    assert_eq!((&*view.id, view.waiting + view.dropped), ("audit:all", 5_000));
    assert!(view.waiting <= 10, "{view:?}");
    // What is the same goes on where it was; what is not granted is shown, and hears nothing.
    events.serve("audit", &[(wanted.clone(), true)]);
    assert_eq!(events.subscriptions().await.unwrap()[0].dropped, view.dropped);
    events.serve("audit", &[(wanted, false)]);
    assert_eq!(events.subscriptions().await.unwrap()[0].state, camlock_policy::SubscriptionState::Denied);
    events.serve("audit", &[]);
    assert_eq!(events.subscriptions().await.unwrap(), []);
    assert_eq!(events.pause("audit:all", true).await.unwrap_err().code, AskErrorCode::NotFound);
}
