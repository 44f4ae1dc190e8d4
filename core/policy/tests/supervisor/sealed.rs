//! Secrets of configurations: how they get on record, what becomes of them there, and what is told of them.

use crate::{
    recorded::write,
    world::{Script, Server, World, limits},
};
use camlock_policy::{
    Act, Headline, MASK, Refused, SealedSecrets, Settings, Stage,
    registry::{Decision, Record, Registry},
};
use camlock_testing::MemoryRegistry;
use serde_json::{Value, json};

const SCHEMA: &str = r#"{
    "properties": {
        "rows": {"type": "integer", "default": 10},
        "password": {"type": "string", "sensitive": true},
        "keys": {"type": "array", "items": {"type": "string", "sensitive": true}}
    },
    "additionalProperties": false
}"#;

fn script() -> Script {
    Script { configures: true, schema: Some(SCHEMA), ..Script::default() }
}

fn set(config: Value) -> Act {
    Act::Set { enabled: None, config: Some(config), isolation: None }
}

async fn serving() -> (World, MemoryRegistry, Server) {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", script());
    let server = world.start_on(&registry, Settings { limits: limits(), ..Settings::default() });
    server.serves("hello", 1).await;
    (world, registry, server)
}

fn record(registry: &MemoryRegistry) -> Record {
    registry.record("hello").unwrap()
}

fn tells_nothing(record: &Record) -> bool {
    !serde_json::to_string(record).unwrap().contains("hunter2")
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_on_record_sealed_and_the_plugin_has_it() {
    let (world, registry, server) = serving().await;
    server.manager.act("hello", set(json!({"password": "hunter2", "rows": 3}))).await.unwrap();
    let on_record = record(&registry);
    assert_eq!(on_record.config, json!({"password": MASK, "rows": 3}));
    assert!(on_record.secrets.contains_key("/password") && tells_nothing(&on_record), "{on_record:?}");
    assert!(world.taken().contains(&r#"configure hello:a 1 with {"password":"hunter2","rows":3}"#.to_owned()));
    let view = server.manager.plugin("hello").unwrap();
    assert_eq!(view.config, Some(json!({"password": MASK, "rows": 3})));
    // Whoever keeps secrets out of what is told has it for that.
    assert_eq!(view.secrets_in.as_ref().unwrap()(), json!({"password": "hunter2", "rows": 3}));
    // The same once more decides nothing.
    let revision = on_record.revision;
    server.manager.act("hello", set(json!({"password": "hunter2", "rows": 3}))).await.unwrap();
    assert_eq!(record(&registry).revision, revision);
    // A new generation has it too.
    server.reload("hello").await.unwrap();
    assert!(world.taken().contains(&r#"load hello:a as 2 with {"password":"hunter2","rows":3}"#.to_owned()));
    // Taken out, nothing of it is left.
    server.manager.act("hello", set(json!({"rows": 3}))).await.unwrap();
    assert_eq!(record(&registry).secrets, SealedSecrets::new());
}

#[tokio::test(start_paused = true)]
async fn masks_that_stand_for_nothing_are_refused() {
    let (_, registry, server) = serving().await;
    let refused = async |config: Value| {
        let before = record(&registry);
        let refused = server.manager.act("hello", set(config)).await.unwrap_err();
        assert!(matches!(refused, Refused::Misfit(_)), "{refused:?}");
        assert_eq!(record(&registry), before);
        refused.to_string()
    };
    let told = refused(json!({"password": MASK})).await;
    let none = "expected a secret, found `********`, which stands for the one on record, and there is none";
    assert!(told.contains(&format!("at `/password`: {none}")), "{told}");
    server.manager.act("hello", set(json!({"keys": ["one", "two"]}))).await.unwrap();
    // One of two stays, and the other is new.
    server.manager.act("hello", set(json!({"keys": [MASK, "three"]}))).await.unwrap();
    let view = server.manager.plugin("hello").unwrap();
    assert_eq!(view.secrets_in.as_ref().unwrap()(), json!({"keys": ["one", "three"]}));
    let told = refused(json!({"keys": [MASK]})).await;
    assert!(
        told.contains("at `/keys/0`: expected a secret, for the list that it stands in has another length"),
        "{told}"
    );
    server.manager.act("hello", set(json!({"keys": ["three"]}))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_lies_in_plain_is_sealed_by_who_sees_it_and_changes_nothing_for_the_plugin() {
    let (world, registry, server) = serving().await;
    let plain = Decision { config: Some(json!({"password": "hunter2"})), ..Decision::default() };
    write(&registry, "hello", plain).await;
    server.until("hello", |_| tells_nothing(&record(&registry))).await;
    assert_eq!(record(&registry).config, json!({"password": MASK}));
    server.until("hello", |plugin| plugin.revision == record(&registry).revision).await;
    let configured = world.taken().into_iter().filter(|line| line.starts_with("configure")).collect::<Vec<_>>();
    assert_eq!(configured, [r#"configure hello:a 1 with {"password":"hunter2","rows":10}"#]);
    // Nor does it when it is sealed anew.
    let again = world.fake_sealer().seal(&json!("hunter2"));
    let anew = Decision {
        config: Some(json!({"password": MASK})),
        secrets: [("/password".to_owned(), again)].into(),
        ..Decision::default()
    };
    write(&registry, "hello", anew).await;
    server.until("hello", |plugin| plugin.revision == record(&registry).revision).await;
    assert_eq!(world.taken(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn without_the_key_others_serve_and_it_waits_until_there_is_one() {
    let (world, registry, server) = serving().await;
    server.manager.act("hello", set(json!({"password": "hunter2"}))).await.unwrap();
    world.put("open", "a", Script::default());
    world.fake_sealer().take_key("second");
    server.manager.act("hello", Act::Enable(false)).await.unwrap();
    let _ = server.manager.act("hello", Act::Enable(true)).await;
    let waits = server.until("hello", |plugin| plugin.state == Headline::Waiting).await;
    let why = waits.reason.clone().unwrap();
    assert!(
        why.starts_with("the secrets are sealed with the key first, and this server has the key second: "),
        "{why}"
    );
    server.serves("open", 1).await;
    world.fake_sealer().take_key("first");
    server.manager.key_listener()();
    server.until("hello", |plugin| plugin.state == Headline::Serving).await;
    assert!(tells_nothing(&record(&registry)));
}

#[tokio::test(start_paused = true)]
async fn what_serves_goes_on_when_its_secrets_are_sealed_with_another_key() {
    let (world, registry, server) = serving().await;
    server.manager.act("hello", set(json!({"password": "hunter2"}))).await.unwrap();
    world.taken();
    world.fake_sealer().take_key("second");
    let anew = Decision {
        config: Some(json!({"password": MASK})),
        secrets: [("/password".to_owned(), world.fake_sealer().seal(&json!("hunter2")))].into(),
        ..Decision::default()
    };
    world.fake_sealer().take_key("first");
    write(&registry, "hello", anew).await;
    let view = server.until("hello", |plugin| plugin.failed.is_some()).await;
    let failed = view.failed.clone().unwrap();
    assert_eq!((failed.stage, view.state), (Stage::Config, Headline::Serving));
    assert!(failed.reason.contains("sealed with the key second") && failed.reason.ends_with("with the one before"));
    world.fake_sealer().take_key("second");
    server.manager.key_listener()();
    server.until("hello", |plugin| plugin.failed.is_none()).await;
    assert_eq!(world.taken(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_a_plugin_says_of_its_configuration_is_told_without_its_secrets() {
    let (world, registry, server) = serving().await;
    server.manager.act("hello", set(json!({"password": "hunter2"}))).await.unwrap();
    world.put("hello", "b", Script { load_fails: true, ..script() });
    let view = server.until("hello", |plugin| plugin.failed.is_some()).await;
    let reason = &view.failed.as_ref().unwrap().reason;
    assert_eq!(reason, r#"`create` failed: it does not want to with {"password":********,"rows":10}"#);
    let noted = format!("{:?}", registry.noted());
    assert!(noted.contains("it does not want to with") && !noted.contains("hunter2"), "{noted}");
    world.put("hello", "b", Script { refuses_config: Some("hunter3 is too short"), ..script() });
    world.put("hello", "a", Script { refuses_config: Some("hunter3 is too short"), ..script() });
    let refused = server.manager.act("hello", set(json!({"password": "hunter3"}))).await.unwrap_err().to_string();
    assert!(refused.contains("******** is too short"), "{refused}");
    assert!(tells_nothing(&registry.read(Default::default()).await.unwrap().records[0]));
}
