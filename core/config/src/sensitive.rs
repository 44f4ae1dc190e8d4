//! What of a configuration is secret: what its schema calls `"sensitive": true`.
//!
//! Whoever masks errs on the side of masking: what one branch of an `anyOf` calls sensitive is so whichever branch holds.

use crate::{
    pointer::{to_item, to_key},
    walk::Place,
};
use camlock_policy::MASK;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Schemas that hold at the same place as the one that has them, or may.
const SIDE_BY_SIDE: &[&str] = &["allOf", "anyOf", "oneOf"];
const BESIDE: &[&str] = &["if", "then", "else", "not"];
/// Schemas of anything in an object, and in a list.
const OF_KEYS: &[&str] = &["additionalProperties", "unevaluatedProperties"];
const OF_ITEMS: &[&str] = &["items", "contains", "unevaluatedItems"];

/// Pointers to what is sensitive in a configuration. What lies below one of them is not listed again.
pub(crate) fn pointers(root: &Place<'_>, value: &Value) -> BTreeSet<String> {
    let mut search = Search { found: BTreeSet::new(), seen: BTreeSet::new() };
    search.look(root, value, "");
    search.found
}

/// The configuration with what is sensitive hidden. That there is nothing (`null`) is no secret.
pub(crate) fn masked(root: &Place<'_>, value: &Value) -> Value {
    let mut masked = value.clone();
    for pointer in pointers(root, value) {
        if let Some(secret) = masked.pointer_mut(&pointer)
            && !secret.is_null()
        {
            *secret = Value::from(MASK);
        }
    }
    masked
}

/// Whether a key matches a pattern, as whoever checks sees it. One that cannot be told does.
fn matches(pattern: &str, key: &str) -> bool {
    let validator = jsonschema::draft202012::new(&json!({ "pattern": pattern }));
    validator.map_or(true, |validator| validator.is_valid(&Value::from(key)))
}

struct Search {
    found: BTreeSet<String>,
    /// Schemas, by where they lie in memory, and the place that they were held against.
    seen: BTreeSet<(usize, String)>,
}

impl Search {
    fn look(&mut self, place: &Place<'_>, value: &Value, at: &str) {
        let Some(keywords) = place.keywords() else { return };
        if !self.seen.insert((std::ptr::from_ref(place.schema) as usize, at.to_owned())) {
            return;
        }
        if keywords.get("sensitive") == Some(&Value::Bool(true)) {
            self.found.insert(at.to_owned());
            return;
        }
        let beside = BESIDE.iter().filter_map(|keyword| place.one(keyword));
        let side_by_side = SIDE_BY_SIDE.iter().flat_map(|keyword| place.list(keyword));
        let dependent = place.named("dependentSchemas").into_iter().map(|(_, schema)| schema);
        for other in place.referred().into_iter().chain(side_by_side).chain(beside).chain(dependent) {
            self.look(&other, value, at);
        }
        match value {
            Value::Object(map) => {
                let known = place.named("properties");
                let patterns = place.named("patternProperties");
                for (key, value) in map {
                    let own = known.iter().filter(|(name, _)| name == key);
                    let matching = patterns.iter().filter(|(pattern, _)| matches(pattern, key));
                    let mut schemas: Vec<_> = own.chain(matching).map(|(_, schema)| schema.clone()).collect();
                    if schemas.is_empty() {
                        schemas.extend(OF_KEYS.iter().filter_map(|keyword| place.one(keyword)));
                    }
                    for schema in schemas {
                        self.look(&schema, value, &to_key(at, key));
                    }
                }
            }
            Value::Array(items) => {
                let first = place.list("prefixItems");
                for (index, value) in items.iter().enumerate() {
                    let any = OF_ITEMS.iter().filter_map(|keyword| place.one(keyword));
                    for schema in first.get(index).cloned().into_iter().chain(any) {
                        self.look(&schema, value, &to_item(at, index));
                    }
                }
            }
            _ => {}
        }
    }
}
