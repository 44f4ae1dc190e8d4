//! A plugin's configuration: a JSON object that operators write, and that the author's own type reads.

use crate::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    any::Any,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

/// A configuration of this plugin.
#[derive(Clone, PartialEq, Eq)]
pub struct Config(Arc<str>);

/// Whether a running plugin took a configuration over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It goes on with it.
    Live,
    /// It cannot while it runs: the host begins a new instance with it, as if the plugin had been built anew.
    Reload,
}

impl Config {
    /// The one that says nothing, `{}`: what a plugin has as long as nobody configures it, and where its build is verified.
    pub fn empty() -> Self {
        Config("{}".into())
    }

    /// A configuration as a host would hand it over, for tests. It must become a JSON object.
    pub fn new(config: impl Serialize) -> Result<Self> {
        match serde_json::to_value(config)? {
            object @ Value::Object(_) => Ok(Config(object.to_string().into())),
            other => Err(Error::msg(format!("a configuration is a JSON object, and this is {}", kind_of(&other)))),
        }
    }

    pub(crate) fn of_host(text: &str) -> Self {
        Config(text.into())
    }

    /// Reads it as a type of the author's. The error says which part of it is wrong, and how.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        let broken = |error| Error::msg(format!("its configuration is not JSON: {error}"));
        // By way of a value: errors of the text's reader tell lines and columns of a text that nobody wrote.
        let value: Value = serde_json::from_str(&self.0).map_err(broken)?;
        serde_path_to_error::deserialize(value).map_err(|error| {
            let place = match error.path().to_string() {
                path if path == "." => String::new(),
                path => format!(", at `{path}`"),
            };
            Error::msg(format!("its configuration cannot be used{place}: {}", error.inner()))
        })
    }

    /// It as text: a JSON object.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Config {
    /// Without what it says: there may be secrets in it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Config").finish_non_exhaustive()
    }
}

/// A configuration as it was last read, for as long as it is the same.
#[derive(Default)]
pub(crate) struct ReadConfig(RwLock<Option<(u64, Arc<dyn Any + Send + Sync>)>>);

impl ReadConfig {
    /// What was read at this revision; else it is read now.
    pub(crate) fn shared<T: Send + Sync + 'static>(
        &self,
        revision: u64,
        read: impl FnOnce() -> Result<T>,
    ) -> Result<Arc<T>> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, value)) = &*kept
            && *at == revision
            && let Ok(value) = value.clone().downcast()
        {
            return Ok(value);
        }
        drop(kept);
        let value = Arc::new(read()?);
        // What was read may be newer than the revision: then it is read once more.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some((revision, value.clone()));
        Ok(value)
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        name: String,
        #[serde(default)]
        limits: Vec<Limit>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Limit {
        rows: u8,
    }

    fn read(config: Value) -> Result<Settings, String> {
        Config::new(config).unwrap().read().map_err(|error| error.to_string())
    }

    #[test]
    fn an_error_says_which_part_is_wrong() {
        let good = read(json!({"name": "x", "limits": [{"rows": 1}]}));
        assert_eq!(good, Ok(Settings { name: "x".into(), limits: vec![Limit { rows: 1 }] }));
        let refused = |config| read(config).unwrap_err();
        assert_eq!(
            refused(json!({"name": "x", "limits": [{"rows": 1}, {"rows": 256}]})),
            "its configuration cannot be used, at `limits[1].rows`: invalid value: integer `256`, expected u8"
        );
        assert_eq!(refused(json!({})), "its configuration cannot be used: missing field `name`");
        assert_eq!(
            refused(json!({"name": "x", "limit": []})),
            "its configuration cannot be used, at `limit`: unknown field `limit`, expected `name` or `limits`"
        );
    }

    #[test]
    fn what_is_no_object_is_no_configuration() {
        let refused = Config::new([1]).unwrap_err().to_string();
        assert_eq!(refused, "a configuration is a JSON object, and this is a list");
        let broken = Config::of_host("{").read::<Value>().unwrap_err().to_string();
        assert!(broken.starts_with("its configuration is not JSON: "), "{broken}");
        assert_eq!(Config::empty().read::<Value>().unwrap(), json!({}));
    }

    #[test]
    fn what_was_read_is_shared_until_it_is_another() {
        let kept = ReadConfig::default();
        let first = kept.shared(1, || Ok(1)).unwrap();
        assert!(Arc::ptr_eq(&first, &kept.shared(1, || Ok(2)).unwrap()));
        assert_eq!(*kept.shared(2, || Ok(3)).unwrap(), 3);
        // Another type is read anew, and what cannot be read leaves what was.
        assert_eq!(*kept.shared(2, || Ok("text")).unwrap(), "text");
        assert!(kept.shared::<&str>(3, || Err(Error::msg("no"))).is_err());
        assert_eq!(*kept.shared(2, || Ok("other")).unwrap(), "text");
    }

    #[test]
    fn what_it_says_is_not_printed() {
        let secret = Config::new(json!({"password": "hunter2"})).unwrap();
        assert_eq!(format!("{secret:?}"), "Config { .. }");
        assert_eq!(secret.text(), r#"{"password":"hunter2"}"#);
    }
}
