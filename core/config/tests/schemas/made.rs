//! Placeholders.

use crate::schema;
use serde_json::{Value, json};

#[test]
fn what_fits_each_rule() {
    for rule in [
        json!({"type": "string"}),
        json!({"type": "string", "minLength": 30}),
        json!({"type": "string", "maxLength": 3}),
        json!({"type": "string", "pattern": "^[A-Z]{2}[0-9]+$", "minLength": 10}),
        json!({"type": "integer", "minimum": 3, "multipleOf": 5}),
        json!({"type": "integer", "maximum": -3}),
        json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
        json!({"type": ["null", "integer"], "minimum": 1}),
        json!({"enum": ["a"]}),
        json!({"const": {"x": 1}}),
        json!({"type": "array", "minItems": 3, "uniqueItems": true, "items": {"type": "string"}}),
        json!({"type": "array", "minItems": 3, "uniqueItems": true, "items": {"type": "integer", "maximum": 0}}),
        json!({"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "string"}, "minItems": 2}),
        json!({"type": "array", "contains": {"const": 7}}),
        json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "boolean"}}}),
        json!({"required": ["a", "b"], "additionalProperties": {"type": "integer"}}),
        json!({"oneOf": [{"type": "object", "required": ["kind"], "properties": {"kind": {"const": "file"}}}, {"type": "null"}]}),
        json!({"allOf": [{"type": "integer"}, {"minimum": 10}, {"maximum": 10}]}),
        json!({"anyOf": [{"type": "integer", "not": {"const": 0}}, {"type": "boolean"}]}),
        json!({"dependentRequired": {"a": ["b"]}, "required": ["a"], "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}),
        json!({"type": "string", "format": "uri"}),
        json!({"type": "string", "pattern": "^(?=x)", "examples": ["x"]}),
        json!({"$ref": "#/$defs/Deep"}),
    ] {
        let document = json!({
            "properties": {"x": rule}, "required": ["x"],
            "$defs": {"Deep": {"type": "object", "required": ["deep"], "properties": {"deep": {"enum": [1, 2]}}}},
        });
        let schema = schema(&document);
        let made = schema.placeholders().unwrap_or_else(|none| panic!("{rule}: {none}"));
        assert_eq!(schema.check(&made), [], "{rule}: {made}");
        assert!(made.get("x").is_some());
    }
}

#[test]
fn what_is_not_required_is_not_made_up() {
    let document = json!({"properties": {"a": {"type": "string"}, "b": {"default": 1}, "c": {"type": "integer"}}, "required": ["c"]});
    assert_eq!(schema(&document).placeholders(), Ok(json!({"b": 1, "c": 0})));
    assert_eq!(schema(&json!(true)).placeholders(), Ok(json!({})));
}

#[test]
fn what_cannot_be_made_is_named() {
    let none = |rule: Value| {
        let document = json!({"properties": {"x": rule}, "required": ["x"]});
        schema(&document).placeholders().expect_err("there is none").to_string()
    };
    assert_eq!(
        none(json!({"type": "string", "pattern": "^(?!a)(?=b)"})),
        "no placeholder could be made for `/x`: its pattern `^(?!a)(?=b)` cannot be read backwards; \
         give it a `default` or `examples` in the schema"
    );
    assert!(none(json!({"$ref": "#"})).contains("nested without end"));
    assert!(none(json!(false)).contains("its schema allows nothing"));
    assert!(
        none(json!({"type": "integer", "not": {"const": 0}}))
            .starts_with("no placeholder could be made for `/x`: 0 was tried")
    );
}
