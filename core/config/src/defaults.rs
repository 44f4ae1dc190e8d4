//! What a configuration does not say and its schema does.
//!
//! A key that is missing is given the `default` of its schema; what is there stays, `null` too. Objects that are missing and have no
//! default of their own are not made: a part that nobody asked for stays away, whatever defaults it would have. What `anyOf`, `oneOf`
//! and `if` say may not hold, so their defaults do not count.

use crate::walk::Place;
use serde_json::Value;

/// Fills in what is missing.
pub(crate) fn fill_in(place: &Place<'_>, value: &mut Value) {
    Filling { left: MOST }.fill(place, value, DEEPEST);
}

/// A default may have itself for a part, even several times: it ends somewhere.
const DEEPEST: usize = 64;
const MOST: usize = 10_000;

struct Filling {
    /// So many more defaults may be filled in.
    left: usize,
}

impl Filling {
    fn fill(&mut self, place: &Place<'_>, value: &mut Value, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else { return };
        let all = place.together();
        match value {
            Value::Object(map) => {
                for (name, schema) in all.iter().flat_map(|place| place.named("properties")) {
                    if !map.contains_key(name)
                        && self.left > 0
                        && let Some(default) = default_of(&schema)
                    {
                        self.left -= 1;
                        map.insert(name.to_owned(), default.clone());
                    }
                    if let Some(value) = map.get_mut(name) {
                        self.fill(&schema, value, depth);
                    }
                }
                for place in &all {
                    let Some(others) = place.one("additionalProperties") else { continue };
                    let known = place.named("properties");
                    let patterns = place.keywords().is_some_and(|keywords| keywords.contains_key("patternProperties"));
                    // Which patterns a key matches is not looked up: what may be another's is left alone.
                    for (name, value) in map.iter_mut().filter(|_| !patterns) {
                        if known.iter().all(|(known, _)| known != name) {
                            self.fill(&others, value, depth);
                        }
                    }
                }
            }
            Value::Array(items) => {
                for place in &all {
                    let first = place.list("prefixItems");
                    for (schema, item) in first.iter().zip(items.iter_mut()) {
                        self.fill(schema, item, depth);
                    }
                    if let Some(rest) = place.one("items") {
                        items.iter_mut().skip(first.len()).for_each(|item| self.fill(&rest, item, depth));
                    }
                }
            }
            _ => {}
        }
    }
}

/// The default that a schema gives, itself or by what holds with it.
pub(crate) fn default_of<'r>(place: &Place<'r>) -> Option<&'r Value> {
    place.together().iter().find_map(|place| place.keywords()?.get("default"))
}
