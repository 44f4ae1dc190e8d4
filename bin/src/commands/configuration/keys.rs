//! Single keys of a configuration: `limits.rows=100`. Pure.

use crate::Failed;
use serde_json::Value;

/// Sets one key: `KEY=VALUE`.
pub(super) fn set(config: &mut Value, change: &str) -> Result<(), Failed> {
    let Some((key, value)) = change.split_once('=').filter(|(key, _)| !key.is_empty()) else {
        return Err(Failed::usage(format!("`{change}` is not KEY=VALUE")));
    };
    // What is no JSON is a text, as people write it.
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    let mut place = config;
    for part in parts(key) {
        place = match place {
            Value::Array(items) => {
                let (count, index) = (items.len(), index(key, &part)?);
                if index == count {
                    items.push(Value::Null);
                }
                items.get_mut(index).ok_or_else(|| {
                    Failed::usage(format!("`{key}`: the list has {count} items, and the next one is {count}"))
                })?
            }
            Value::Object(map) => map.entry(part).or_insert(Value::Null),
            other => {
                // What was something else, or nothing, becomes an object.
                *other = super::empty();
                match other {
                    Value::Object(map) => map.entry(part).or_insert(Value::Null),
                    _ => return Err(Failed::usage(format!("`{key}` cannot be set"))),
                }
            }
        };
    }
    *place = value;
    Ok(())
}

/// Takes one key out.
pub(super) fn unset(config: &mut Value, key: &str) -> Result<(), Failed> {
    let parts = parts(key);
    let Some((last, way)) = parts.split_last() else { return Ok(()) };
    let mut place = config;
    for part in way {
        let inner = match place {
            Value::Array(items) => items.get_mut(index(key, part)?),
            Value::Object(map) => map.get_mut(part),
            _ => None,
        };
        match inner {
            Some(inner) => place = inner,
            None => return Ok(()),
        }
    }
    match place {
        Value::Array(items) => {
            let index = index(key, last)?;
            if index < items.len() {
                items.remove(index);
            }
        }
        Value::Object(map) => drop(map.remove(last)),
        _ => {}
    }
    Ok(())
}

/// A key's parts: `a.b` and `/a/b` are the same. A key with a dot in it is written the second way.
fn parts(key: &str) -> Vec<String> {
    match key.strip_prefix('/') {
        Some(pointer) => pointer.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect(),
        None => key.split('.').map(str::to_owned).collect(),
    }
}

fn index(key: &str, part: &str) -> Result<usize, Failed> {
    part.parse().map_err(|_| Failed::usage(format!("`{key}`: `{part}` is no place in a list")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_key_after_the_other() {
        let mut config = json!({"a": 1, "list": [1], "limits": {"rows": 1, "columns": 2}});
        for change in
            ["a=text", "b=true", "limits.rows=100", "list.1={\"x\":1}", "/c~1d=\"5\"", "new.deep=x=y", "a.b=1"]
        {
            set(&mut config, change).unwrap();
        }
        unset(&mut config, "limits.columns").unwrap();
        unset(&mut config, "list.0").unwrap();
        unset(&mut config, "not.there").unwrap();
        let expected = json!({
            "a": {"b": 1}, "b": true, "list": [{"x": 1}], "limits": {"rows": 100}, "c/d": "5", "new": {"deep": "x=y"},
        });
        assert_eq!(config, expected);
    }

    #[test]
    fn what_makes_no_sense_says_so() {
        for (change, why) in [
            ("greeting", "`greeting` is not KEY=VALUE"),
            ("=1", "`=1` is not KEY=VALUE"),
            ("list.x=1", "`list.x`: `x` is no place in a list"),
            ("list.7=1", "`list.7`: the list has 1 items, and the next one is 1"),
        ] {
            assert_eq!(set(&mut json!({"list": [1]}), change).unwrap_err().reason, why);
        }
    }
}
