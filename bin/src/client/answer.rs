//! Answers, read as what they should be. One that does not fit says where it does not.

use crate::Failed;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// An answer as one of the API's types.
pub(crate) fn read<T: DeserializeOwned>(answer: &Value) -> Result<T, Failed> {
    read_at("", answer)
}

/// The items of a list.
pub(crate) fn read_all<T: DeserializeOwned>(items: &[Value]) -> Result<Vec<T>, Failed> {
    items.iter().enumerate().map(|(index, item)| read_at(&format!("items[{index}]"), item)).collect()
}

fn read_at<T: DeserializeOwned>(place: &str, answer: &Value) -> Result<T, Failed> {
    serde_path_to_error::deserialize(answer).map_err(|error| {
        let place = match (place, error.path().to_string()) {
            ("", within) if within == "." => "its top".to_owned(),
            (place, within) if within == "." => format!("`{place}`"),
            ("", within) => format!("`{within}`"),
            (place, within) => format!("`{place}.{within}`"),
        };
        let why = error.into_inner();
        Failed::from(format!(
            "the server's answer does not fit at {place}: {why}; it may be of another version of camlock: `camlock doctor` \
             compares them, and --json shows the answer as it is"
        ))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use camlock_api::PluginView;
    use serde_json::json;

    /// A plugin as a server sends it, with these members of its own.
    pub(crate) fn plugin(own: Value) -> PluginView {
        let mut whole = json!({
            "name": "hello", "version": "0.1.0", "description": "", "category": null, "kind": "dynamic", "enabled": true,
            "revision": 1, "state": "serving", "reason": null, "serving": null, "candidate": null, "failed": null,
            "draining": [], "pinned": [], "endpoints": [], "urls": [],
        });
        let Value::Object(own) = own else { panic!("{own} is no object") };
        whole.as_object_mut().unwrap().extend(own);
        read(&whole).unwrap()
    }

    #[test]
    fn what_does_not_fit_says_where() {
        let mut answer = json!(plugin(json!({
            "serving": {
                "generation": 3, "version": "0.1.0", "artifact": null, "since": "2026-01-02T03:04:05Z", "in_flight": 0,
                "left_behind_bytes": null, "memory_bytes": null, "descriptors": null,
            },
        })));
        assert!(read::<PluginView>(&answer).is_ok());
        answer["serving"]["generation"] = "three".into();
        let told = read::<PluginView>(&answer).unwrap_err().reason;
        assert!(
            told.starts_with("the server's answer does not fit at `serving.generation`: invalid type: string"),
            "{told}"
        );
        let told = read_all::<PluginView>(&[json!(plugin(json!({}))), answer]).unwrap_err().reason;
        assert!(told.contains(" at `items[1].serving.generation`: "), "{told}");
        let told = read::<PluginView>(&json!({ "name": "hello" })).unwrap_err().reason;
        assert!(told.contains(" at its top: missing field `version`"), "{told}");
    }

    #[test]
    fn what_a_later_version_adds_is_no_hindrance() {
        let mut answer = json!(plugin(json!({})));
        answer["colour"] = "green".into();
        assert!(read::<PluginView>(&answer).is_ok());
    }
}
