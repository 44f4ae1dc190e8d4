//! What is filled in.

use crate::complete;
use serde_json::json;

#[test]
fn where_defaults_stand() {
    let document = json!({
        "properties": {
            "greeting": {"default": "Hello!"},
            "port": {"$ref": "#/$defs/Port"},
            "limits": {"$ref": "#/$defs/Limits", "default": {}},
            "absent": {"properties": {"deep": {"default": 1}}},
            "present": {"properties": {"deep": {"default": 1}}},
            "servers": {"items": {"properties": {"weight": {"default": 10}}}},
            "pair": {"prefixItems": [{"properties": {"a": {"default": 1}}}], "items": {"properties": {"b": {"default": 2}}}},
            "others": {"additionalProperties": {"properties": {"on": {"default": true}}}},
        },
        "allOf": [{"properties": {"mode": {"default": "fast"}}}],
        "anyOf": [{"properties": {"maybe": {"default": 1}}}],
        "$defs": {
            "Port": {"type": "integer", "default": 80},
            "Limits": {"allOf": [{"properties": {"rows": {"default": 100}}}]},
        },
    });
    let config = json!({
        "present": {}, "servers": [{}, {"weight": 1}], "pair": [{}, {}, {}], "others": {"x": {}},
    });
    let expected = json!({
        "greeting": "Hello!", "port": 80, "limits": {"rows": 100}, "present": {"deep": 1}, "mode": "fast",
        "servers": [{"weight": 10}, {"weight": 1}], "pair": [{"a": 1}, {"b": 2}, {"b": 2}], "others": {"x": {"on": true}},
    });
    assert_eq!(complete(&document, &config), Ok(expected));
}

#[test]
fn what_is_said_stays() {
    let document = json!({"properties": {"a": {"default": 1}, "b": {"default": {"c": 1}}}});
    let config = json!({"a": null, "b": {}});
    assert_eq!(complete(&document, &config), Ok(config));
}

#[test]
fn a_default_that_does_not_fit_is_told() {
    let document = json!({"properties": {"a": {"type": "integer", "default": "one"}}});
    let said = complete(&document, &json!({})).expect_err("it does not fit");
    assert_eq!(said[0].to_string(), "at `/a`: expected a whole number, found \"one\"");
}

#[test]
fn a_default_without_end_ends() {
    let document = json!({"properties": {"inner": {"$ref": "#", "default": {}}}});
    assert!(complete(&document, &json!({})).is_ok());
    let part = json!({"$ref": "#", "default": {}});
    let document = json!({"properties": {"left": part, "right": part}});
    assert!(complete(&document, &json!({})).is_ok());
    assert!(crate::schema(&document).placeholders().is_ok());
}
