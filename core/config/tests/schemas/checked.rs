//! What does not fit, in words.

use crate::violations;
use serde_json::json;

#[test]
fn each_rule_in_words() {
    for (rule, value, words) in [
        (json!({"type": "integer"}), json!("many"), "expected a whole number, found \"many\""),
        (json!({"type": ["string", "null"]}), json!(1), "expected null or a text, found 1"),
        (json!({"enum": ["a", "b", 3]}), json!("c"), "expected \"a\", \"b\" or 3, found \"c\""),
        (json!({"const": 1}), json!({"x": 1}), "expected 1, found an object"),
        (json!({"minimum": 1}), json!(0), "expected at least 1, found 0"),
        (json!({"exclusiveMaximum": 1}), json!(1), "expected less than 1, found 1"),
        (json!({"multipleOf": 5}), json!(7), "expected a multiple of 5, found 7"),
        (json!({"minLength": 1}), json!(""), "expected at least 1 character, found \"\""),
        (json!({"maxItems": 2}), json!([1, 2, 3]), "expected at most 2 items, found a list"),
        (json!({"uniqueItems": true}), json!([1, 1]), "expected items that differ from each other, found a list"),
        (json!({"pattern": "^a$"}), json!("b"), "expected a text that matches `^a$`, found \"b\""),
        (
            json!({"maxLength": 1}),
            json!("x".repeat(200)),
            &format!("expected at most 1 character, found \"{}…", "x".repeat(79)),
        ),
        (json!(false), json!(1), "expected nothing, found 1"),
    ] {
        let document = json!({"properties": {"a/b": {"items": rule}}});
        assert_eq!(violations(&document, &json!({"a/b": [value]})), [format!("at `/a~1b/0`: {words}")], "{document}");
    }
}

#[test]
fn what_is_missing_and_what_is_too_much() {
    let document = json!({
        "type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"], "additionalProperties": false,
    });
    assert_eq!(
        violations(&document, &json!({"ulr": "postgres://me:hunter2@db"})),
        ["at `/ulr`: expected no such key, found a text", "at `/url`: expected a value: it is required, found nothing"]
    );
    assert_eq!(violations(&document, &json!([])), ["expected an object, found a list"]);
}

/// An optional part, as `schemars` writes it.
#[test]
fn the_form_that_was_meant_is_looked_into() {
    let document = json!({
        "properties": {"limits": {"anyOf": [{"$ref": "#/$defs/Limits"}, {"type": "null"}]}},
        "$defs": {"Limits": {"type": "object", "properties": {"rows": {"type": "integer", "maximum": 255}}}},
    });
    let words = |config| violations(&document, &config);
    assert_eq!(words(json!({"limits": {"rows": 256}})), ["at `/limits/rows`: expected at most 255, found 256"]);
    assert_eq!(words(json!({"limits": 7})), ["at `/limits`: expected an object or null, found 7"]);
    assert_eq!(words(json!({"limits": null})), Vec::<String>::new());
}

#[test]
fn no_secret_stands_in_a_violation() {
    let document = json!({
        "properties": {
            "password": {"type": "string", "minLength": 20, "sensitive": true},
            "keys": {"type": "array", "maxItems": 1, "items": {"sensitive": true, "pattern": "^k", "type": "string"}},
            "store": {"sensitive": true, "properties": {"token": {"type": "integer"}}},
        },
    });
    let config = json!({"password": "hunter2", "keys": ["hunter2", "k"], "store": {"token": "hunter2"}});
    let words = violations(&document, &config);
    assert_eq!(words.len(), 4, "{words:?}");
    assert!(words.iter().all(|words| !words.contains("hunter2")), "{words:?}");
    assert!(
        words.contains(&"at `/password`: expected at least 20 characters, found a hidden value".to_owned()),
        "{words:?}"
    );
    assert!(
        words.contains(&"at `/store/token`: expected a whole number, found a hidden value".to_owned()),
        "{words:?}"
    );
}
