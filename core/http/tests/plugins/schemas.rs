//! Plugins whose configuration has a schema, made of a type or in a file.

use crate::{
    direct::{call, goes},
    harness::{next_generation, run},
};
use camlock_loader::{Loader, LoaderOptions, Staging, Verifier, VerifierLimits, Workbench, inspect};
use camlock_policy::{Candidate, Failure, Loaded, Loading, Stage};
use camlock_testing::{Outside, repository, trial};
use serde_json::{Value, json};
use std::{fs, path::Path, sync::Arc};

fn fixture(name: &str) -> Outside {
    Outside::new(name).with_folder(&repository().join("core/loader/fixtures").join(name))
}

async fn prepare(dir: &Path, library: &Path) -> Result<Arc<dyn Candidate>, Failure> {
    let staging = Staging::at(dir.join("artifacts")).expect("a staging directory");
    let verifier = Verifier::new(dir.join("verdicts"), VerifierLimits::default()).expect("a verifier");
    let loader = Loader::new(dir.join("run"), LoaderOptions::default(), None).expect("a loader");
    Workbench::new(staging, verifier, Arc::new(loader)).prepare(library).await
}

/// What it was told, with this configuration completed.
async fn configuration_of(candidate: &Arc<dyn Candidate>, config: Value) -> String {
    let complete = candidate.schema().expect("it has a schema").complete(&config).expect("it fits");
    let begun = candidate.load((next_generation(), complete.to_string()).into()).await;
    let Loaded { instance, mut ending, .. } = begun.expect("it can be loaded");
    let answer = call(&instance, "/text").await.expect("an answer").response;
    drop(instance);
    goes(&mut ending).await;
    String::from_utf8_lossy(&answer.into_body().into_whole().expect("it is whole")).into_owned()
}

#[trial]
fn made_of_a_type() {
    let library = fixture("schemed").library();
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        // `create` fails with placeholders, which is not held against it; and that is kept.
        for _ in 0..2 {
            let candidate = prepare(dir.path(), &library).await.expect("it is verified");
            let schema = candidate.schema().expect("it has a schema");
            let text = schema.text();
            let order = ["\"url\"", "\"password\"", "\"rows\"", "\"limits\""].map(|name| text.find(name));
            assert!(order.is_sorted() && order[0].is_some(), "as in the type: {text}");
            assert!(text.contains("\"title\":\"URL\"") && text.contains("The address of the tables."), "{text}");
            let config = json!({"url": "x", "password": "hunter2"});
            assert_eq!(schema.sensitive(&config).into_iter().collect::<Vec<_>>(), ["/password"]);
            let refused = schema.complete(&json!({"rows": 0})).expect_err("it does not fit");
            let refused: Vec<_> = refused.iter().map(ToString::to_string).collect();
            assert_eq!(
                refused,
                [
                    "at `/rows`: expected at least 1, found 0",
                    "at `/url`: expected a value: it is required, found nothing"
                ]
            );
            let complete = r#"{"limits":{"guests":0},"rows":100,"url":"x"}"#;
            assert_eq!(configuration_of(&candidate, json!({"url": "x"})).await, complete);
        }
        let verdicts = fs::read_dir(dir.path().join("verdicts")).expect("verdicts");
        let verdict = verdicts.map(|entry| fs::read_to_string(entry.expect("a file").path()).expect("text")).next();
        assert!(verdict.expect("a verdict").contains("`create` failed: there is nothing at `placeholder`"));
    });
}

#[trial]
fn in_a_file() {
    let library = fixture("schemed-file").library();
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let candidate = prepare(dir.path(), &library).await.expect("it is verified");
        let text = include_str!("../../../loader/fixtures/schemed-file/config.schema.json");
        assert_eq!(candidate.schema().expect("it has a schema").text(), text);
        assert_eq!(configuration_of(&candidate, json!({"as": "html"})).await, r#"{"as":"html","greeting":"Hello!"}"#);
        // It can be read without running it.
        let sections = inspect(&fs::read(&library).expect("it can be read")).expect("it is a plugin");
        assert_eq!(sections.config_schema.as_deref(), Some(text));
    });
}

#[trial]
fn a_file_that_is_no_schema() {
    let outside = json!({"$ref": "https://example.com/schema.json"}).to_string();
    let folder = repository().join("core/loader/fixtures/schemed-file");
    let manifest = include_str!("../../../loader/fixtures/schemed-file/Cargo.toml");
    let manifest = manifest.replace("\"schemed-file\"", "\"schemed-outside\"");
    let files = Outside::new("schemed-outside").with_folder(&folder).with_file("Cargo.toml", manifest);
    let library = files.with_file("config.schema.json", outside).library();
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let failure = prepare(dir.path(), &library).await.err().expect("it is no schema");
        assert_eq!(failure.stage, Stage::Verify);
        assert!(
            failure.reason.contains("it refers to `https://example.com/schema.json`, which lies outside the document")
        );
    });
}

/// What the compiler said.
fn not_built(outside: Outside) -> String {
    let refused = std::panic::catch_unwind(|| outside.library()).expect_err("it is not built");
    refused.downcast_ref::<String>().expect("what cargo said").clone()
}

#[trial]
fn what_cannot_be_built_says_why() {
    let source = include_str!("../../../loader/fixtures/schemed/Cargo.toml");
    let named = |name: &str| source.replace("name = \"schemed\"", &format!("name = \"{name}\""));
    let both = named("schemed-twice") + "[package.metadata.camlock]\nconfig = \"config.schema.json\"\n";
    let source_of = |name: &str| {
        let folder = repository().join("core/loader/fixtures/schemed");
        Outside::new(name).with_folder(&folder)
    };
    let said =
        not_built(source_of("schemed-twice").with_file("Cargo.toml", &both).with_file("config.schema.json", "{}"));
    assert!(said.contains("the configuration has two schemas"), "{said}");
    let said = not_built(source_of("schemed-twice").with_file("Cargo.toml", &both));
    assert!(said.contains("names as the schema of the configuration, cannot be read"), "{said}");
    let without = named("schemed-less").replace(", features = [\"config-schema\"]", "");
    let said = not_built(source_of("schemed-less").with_file("Cargo.toml", without));
    assert!(said.contains("needs the feature `config-schema` of camlock-plugin"), "{said}");
}
