//! Configurations that have a schema.

use crate::{
    recorded::write,
    world::{Script, World, limits},
};
use camlock_policy::{Act, Done, Headline, MASK, Refused, Settings, Stage, registry::Decision};
use camlock_testing::MemoryRegistry;
use serde_json::{Value, json};

const SCHEMA: &str = r#"{
    "properties": {"rows": {"type": "integer", "default": 10}, "password": {"type": "string", "sensitive": true}},
    "additionalProperties": false
}"#;
/// What was a secret is none any more.
const OTHER_PASSWORD: &str = r#"{"properties": {"password": {"type": "integer"}}}"#;

fn script(schema: &'static str) -> Script {
    Script { configures: true, schema: Some(schema), ..Script::default() }
}

fn settings() -> Settings {
    Settings { limits: limits(), ..Settings::default() }
}

fn set(config: Value) -> Act {
    Act::Set { enabled: None, config: Some(config), isolation: None }
}

#[tokio::test(start_paused = true)]
async fn a_plugin_gets_what_its_schema_fills_in() {
    let world = World::new();
    world.put("hello", "a", script(SCHEMA));
    let server = world.start();
    server.serves("hello", 1).await;
    assert!(world.taken().contains(&r#"load hello:a as 1 with {"rows":10}"#.to_owned()));
    let Done { plugin, .. } = server.manager.act("hello", set(json!({"password": "hunter2"}))).await.unwrap();
    assert!(world.taken().contains(&r#"configure hello:a 1 with {"password":"hunter2","rows":10}"#.to_owned()));
    // Defaults are not put on record, and what is secret is not shown.
    assert_eq!(plugin.config, Some(json!({"password": MASK})));
    assert_eq!(plugin.config_schema.as_deref(), Some(SCHEMA));
}

#[tokio::test(start_paused = true)]
async fn an_order_that_does_not_fit_changes_nothing() {
    let world = World::new();
    world.put("hello", "a", script(SCHEMA));
    let server = world.start();
    let revision = server.serves("hello", 1).await.revision;
    match server.manager.act("hello", set(json!({"rows": "many", "pass": "hunter2"}))).await.unwrap_err() {
        refused @ Refused::Misfit(_) => assert_eq!(
            refused.to_string(),
            "the configuration does not fit: at `/rows`: expected a whole number, found \"many\"; \
             at `/pass`: expected no such key, found a text"
        ),
        other => panic!("{other:?}"),
    }
    let view = server.manager.plugin("hello").unwrap();
    assert_eq!((view.revision, view.failed.is_none(), view.config.clone()), (revision, true, Some(json!({}))));
}

#[tokio::test(start_paused = true)]
async fn what_stands_for_a_secret_keeps_it() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", script(SCHEMA));
    let server = world.start_on(&registry, settings());
    server.serves("hello", 1).await;
    let none = server.manager.act("hello", set(json!({"password": MASK}))).await.unwrap_err();
    assert!(matches!(&none, Refused::Misfit(places) if places[0].pointer == "/password"), "{none:?}");
    server.manager.act("hello", set(json!({"password": "hunter2"}))).await.unwrap();
    server.manager.act("hello", set(json!({"password": MASK, "rows": 3}))).await.unwrap();
    assert!(world.taken().contains(&r#"configure hello:a 1 with {"password":"hunter2","rows":3}"#.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_row_that_does_not_fit_is_rejected_and_what_was_there_holds() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", script(SCHEMA));
    let server = world.start_on(&registry, settings());
    server.manager.act("hello", set(json!({"rows": 1}))).await.ok();
    server.serves("hello", 1).await;
    let sql = async |config| write(&registry, "hello", Decision { config: Some(config), ..Decision::default() }).await;
    sql(json!({"rows": 1})).await;
    server.until("hello", |plugin| plugin.config == Some(json!({"rows": 1}))).await;
    world.taken();

    sql(json!({"rows": "many"})).await;
    let view = server.until("hello", |plugin| plugin.failed.is_some()).await;
    let failed = view.failed.clone().unwrap();
    assert_eq!((failed.stage, view.state), (Stage::Config, Headline::Serving));
    assert_eq!(
        failed.reason,
        "the configuration on record does not fit the schema of version 1.0.0: at `/rows`: expected a whole number, \
         found \"many\"; it goes on with the one before"
    );
    // Another one that fits is obeyed; and back where it was, the plugin has nothing to do.
    sql(json!({"rows": 1})).await;
    server.until("hello", |plugin| plugin.failed.is_none()).await;
    assert!(world.taken().iter().all(|line| !line.starts_with("configure")));
    sql(json!({"rows": 2})).await;
    world.logged(r#"configure hello:a 1 with {"rows":2}"#).await;
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_does_not_accept_what_is_on_record_fails_until_it_does() {
    let (world, registry) = (World::new(), MemoryRegistry::default());
    world.put("hello", "a", script(SCHEMA));
    let server = world.start_on(&registry, settings());
    server.serves("hello", 1).await;
    server.manager.act("hello", set(json!({"password": "hunter2"}))).await.unwrap();
    world.put("hello", "b", script(OTHER_PASSWORD));
    server.manager.look();
    let view = server.until("hello", |plugin| plugin.failed.is_some()).await;
    let failed = view.failed.clone().unwrap();
    assert_eq!((failed.stage, failed.generation, view.serving.as_ref().unwrap().generation), (Stage::Config, 2, 1));
    assert!(failed.reason.contains("at `/password`: expected a whole number, found a hidden value"), "{failed}");
    assert!(world.taken().iter().all(|line| !line.starts_with("load hello:b")));
    // Mended, it goes on by itself.
    server.manager.act("hello", set(json!({"rows": 2}))).await.unwrap();
    server.serves("hello", 3).await;
    assert!(world.taken().contains(&r#"load hello:b as 3 with {"rows":2}"#.to_owned()));
}
