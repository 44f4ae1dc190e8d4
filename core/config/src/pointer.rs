//! JSON pointers (RFC 6901), made step by step.

use serde_json::Value;

/// The pointer to a key below another pointer.
pub(crate) fn to_key(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The pointer to an item below another pointer.
pub(crate) fn to_item(pointer: &str, index: usize) -> String {
    format!("{pointer}/{index}")
}

/// How deep lists and objects are nested in a value.
pub(crate) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
