//! What is a schema, and what is none.

use camlock_config::Schema;
use camlock_policy::ConfigSchema;
use serde_json::{Value, json};

fn refused(text: &str) -> String {
    Schema::read(text).expect_err("it is no schema").to_string()
}

#[test]
fn what_cannot_be_used_says_why() {
    let outside = "lies outside the document: put that schema below `$defs`, and refer to `#/$defs/…`";
    for (document, why) in [
        ("{", "it is not JSON: EOF while parsing an object at line 1 column 1"),
        ("[]", "a schema is an object, or true or false"),
        (r#"{"type": "text"}"#, "/type"),
        (
            r#"{"$schema": "http://json-schema.org/draft-07/schema#"}"#,
            "its `$schema` is `http://json-schema.org/draft-07/schema#`",
        ),
        (r#"{"$ref": "https://example.com/a.json"}"#, outside),
        (r#"{"properties": {"a": {"$ref": "file:///etc/passwd"}}}"#, outside),
        (r#"{"properties": {"a": {"$ref": "other.json#/a"}}}"#, outside),
        (r##"{"$ref": "#/$defs/none"}"##, "/$defs/none"),
        (r#"{"pattern": "("}"#, "pattern"),
    ] {
        let said = refused(document);
        assert!(said.starts_with("its configuration schema cannot be used: ") && said.contains(why), "{said}");
    }
}

#[test]
fn too_large_and_too_deep() {
    let large = json!({ "description": "x".repeat(camlock_config::LARGEST_SCHEMA) }).to_string();
    assert!(refused(&large).contains("bytes long, more than 262144"));
    let deep = (0..70).fold(Value::Bool(true), |inner, _| json!({ "not": inner })).to_string();
    assert!(refused(&deep).contains("nested more than 64 deep"));
}

#[test]
fn the_text_is_the_authors() {
    let text = r#"{ "properties": {"zeta": {"title": "Z"}, "alpha": {}} }"#;
    assert_eq!(Schema::read(text).expect("a schema").text(), text);
}
