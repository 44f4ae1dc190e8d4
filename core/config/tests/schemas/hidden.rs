//! What is secret.

use crate::schema;
use camlock_policy::{ConfigSchema, MASK};
use serde_json::json;

#[test]
fn wherever_it_may_stand() {
    let secret = json!({"type": "string", "sensitive": true});
    let document = json!({
        "properties": {
            "plain": {"type": "string"},
            "password": secret,
            "unset": secret,
            "referred": {"$ref": "#/$defs/Secret"},
            "either": {"anyOf": [{"type": "integer"}, secret]},
            "servers": {"type": "array", "items": {"properties": {"token": secret}}},
            "first": {"prefixItems": [secret, true]},
            "store": {"sensitive": true, "properties": {"key": secret}},
        },
        "patternProperties": {"_key$": secret},
        "additionalProperties": {"allOf": [{"properties": {"pin": secret}}]},
        "if": {"required": ["plain"]}, "then": {"properties": {"conditional": secret}},
        "$defs": {"Secret": secret},
    });
    let config = json!({
        "plain": "x", "password": "p", "unset": null, "referred": "r", "either": "e", "servers": [{"token": "t", "name": "n"}],
        "first": ["f", "g"], "store": {"key": "k"}, "api_key": "a", "a/b": {"pin": "1"}, "conditional": "c",
    });
    let schema = schema(&document);
    let found: Vec<_> = schema.sensitive(&config).into_iter().collect();
    let expected = [
        "/api_key",
        "/a~1b/pin",
        "/conditional",
        "/either",
        "/first/0",
        "/password",
        "/referred",
        "/servers/0/token",
        "/store",
        "/unset",
    ];
    assert_eq!(found, expected);
    let shown = json!({
        "plain": "x", "password": MASK, "unset": null, "referred": MASK, "either": MASK, "servers": [{"token": MASK, "name": "n"}],
        "first": [MASK, "g"], "store": MASK, "api_key": MASK, "a/b": {"pin": MASK}, "conditional": MASK,
    });
    assert_eq!(schema.masked(&config), shown);
}

#[test]
fn a_schema_in_a_circle() {
    let document = json!({
        "properties": {"next": {"$ref": "#"}, "token": {"sensitive": true}}, "allOf": [{"$ref": "#/$defs/a"}],
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}, true]}},
    });
    let config = json!({"next": {"next": {"token": 1}}});
    assert_eq!(schema(&document).sensitive(&config).into_iter().collect::<Vec<_>>(), ["/next/next/token"]);
}

#[test]
fn by_anchors_and_addresses() {
    let document = json!({
        "$id": "https://example.com/hello", "properties": {"a": {"$ref": "#secret"}, "b": {"$ref": "part#/$defs/c"}},
        "$defs": {
            "secret": {"$anchor": "secret", "sensitive": true},
            "part": {"$id": "part", "$defs": {"c": {"$ref": "#/$defs/d"}, "d": {"sensitive": true}}},
        },
    });
    let found = schema(&document).sensitive(&json!({"a": 1, "b": 2}));
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["/a", "/b"]);
}
