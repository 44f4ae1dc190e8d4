//! Secrets of configurations as they are on record, and the port through which they are sealed and opened; and texts without them.
//!
//! What must not live here: keys, and how it is sealed.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::MASK;

/// A secret that can be opened with one key, at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret {
    /// The id of the key.
    pub key_id: String,
    /// What was made of the secret.
    #[serde(serialize_with = "as_hexadecimal", deserialize_with = "of_hexadecimal")]
    pub bytes: Vec<u8>,
}

/// The sealed secrets of a plugin, by the places in its configuration where [`MASK`] stands for them: JSON pointers.
pub type SealedSecrets = BTreeMap<String, SealedSecret>;

/// Why a secret was not opened, or not sealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    /// It was sealed with another key.
    #[error(
        "the secrets are sealed with the key {needed}, and this server has {}: give it that key (`secrets.key`, \
         CAMLOCK_SECRETS_KEY, or the file `secrets.key` of a server that has it)",
        .has.as_ref().map_or_else(|| "none".to_owned(), |has| format!("the key {has}"))
    )]
    OtherKey {
        /// The id of that key.
        needed: String,
        /// The id of the one that was tried, if there is one.
        has: Option<String>,
    },
    /// Which key is the right one is not known yet.
    #[error("which key seals secrets is not known yet: the registry is asked for it")]
    NoKeyYet,
    /// It was changed, or belongs somewhere else.
    #[error("{place} is damaged, or was moved there from somewhere else: set that secret anew")]
    Damaged {
        /// Where it was found.
        place: String,
    },
    /// It could not be sealed: it is too long.
    #[error("{place} cannot be sealed: it is too long")]
    TooLong {
        /// Where it stands.
        place: String,
    },
}

impl NotOpened {
    /// Whether another key would help.
    pub fn lacks_key(&self) -> bool {
        matches!(self, NotOpened::OtherKey { .. } | NotOpened::NoKeyYet)
    }
}

/// Seals the secrets of configurations, and opens them, with the key that this server has.
pub trait Sealer: Send + Sync {
    /// Takes what stands at these places out of a configuration and seals it: what is to be on record of the configuration, with
    /// [`MASK`] at those places, and the secrets. Where the mask stands already, or just what was sealed before, that goes on.
    fn set_apart(
        &self,
        plugin: &str,
        config: &Value,
        sensitive: &BTreeSet<String>,
        before: &SealedSecrets,
    ) -> Result<(Value, SealedSecrets), NotOpened>;

    /// Puts secrets back where the mask stands for them.
    fn put_back(&self, plugin: &str, shown: &Value, secrets: &SealedSecrets) -> Result<Value, NotOpened>;
}

/// Whether the mask stands there.
pub(crate) fn is_masked(config: &Value, pointer: &str) -> bool {
    config.pointer(pointer).is_some_and(|value| *value == *MASK)
}

/// Texts that must not be told.
#[derive(Clone, Default)]
pub(crate) struct SecretTexts(BTreeSet<String>);

impl fmt::Debug for SecretTexts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SecretTexts").finish_non_exhaustive()
    }
}

impl SecretTexts {
    /// What is shorter is in many words by chance: it is only hidden where it stands between quotes.
    const SHORTEST: usize = 4;

    /// All that may be told of a secret: each text and number in it, as it is and as it is quoted.
    pub(crate) fn add(&mut self, secret: &Value) {
        match secret {
            Value::String(text) if !text.is_empty() && text != MASK => {
                let quoted = [format!("{text:?}"), Value::from(text.as_str()).to_string()];
                for quoted in quoted {
                    let inner = &quoted[1..quoted.len() - 1];
                    self.0.extend((inner.chars().count() >= Self::SHORTEST).then(|| inner.to_owned()));
                    self.0.insert(quoted);
                }
                self.0.extend((text.chars().count() >= Self::SHORTEST).then(|| text.clone()));
            }
            Value::Number(number) => {
                let text = number.to_string();
                self.0.extend((text.len() >= Self::SHORTEST).then_some(text));
            }
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(members) => members.values().for_each(|member| self.add(member)),
            Value::String(_) | Value::Bool(_) | Value::Null => {}
        }
    }

    /// The text without them.
    pub(crate) fn hide(&self, text: &str) -> String {
        let mut hidden = text.to_owned();
        // The longest first: one may lie in another.
        let mut all: Vec<_> = self.0.iter().filter(|secret| text.contains(secret.as_str())).collect();
        all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        for secret in all {
            hidden = hidden.replace(secret.as_str(), MASK);
        }
        hidden
    }
}

fn as_hexadecimal<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn of_hexadecimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits: Option<Vec<u8>> = text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0);
    let digits = digits.ok_or_else(|| D::Error::custom("it is not hexadecimal"))?;
    Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sealed_bytes_are_written_as_text() {
        let sealed = SealedSecret { key_id: "k".to_owned(), bytes: vec![0, 15, 16, 255] };
        let text = serde_json::to_string(&sealed).unwrap();
        assert_eq!(text, r#"{"key_id":"k","bytes":"000f10ff"}"#);
        assert_eq!(serde_json::from_str::<SealedSecret>(&text).unwrap(), sealed);
        for bad in ["0", "0g", "é0"] {
            assert!(serde_json::from_value::<SealedSecret>(json!({"key_id": "k", "bytes": bad})).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_are_hidden_however_they_are_quoted() {
        let mut texts = SecretTexts::default();
        texts.add(&json!({"password": "hunt\"er2\n", "pin": 471_100, "short": "ab", "none": null, "on": true}));
        for (text, hidden) in [
            ("no hunt\"er2\n here", "no ******** here"),
            (r#"invalid "hunt\"er2\n" at"#, "invalid ******** at"),
            ("pin 471100 is bad, and so is \"ab\" (about)", "pin ******** is bad, and so is ******** (about)"),
            ("nothing true", "nothing true"),
        ] {
            assert_eq!(texts.hide(text), hidden);
        }
        assert!(!format!("{texts:?}").contains("471100"));
    }

    #[test]
    fn which_key_is_needed_is_told() {
        let other = NotOpened::OtherKey { needed: "aaa".to_owned(), has: Some("bbb".to_owned()) };
        assert!(
            other.to_string().starts_with("the secrets are sealed with the key aaa, and this server has the key bbb: ")
        );
        let none = NotOpened::OtherKey { needed: "aaa".to_owned(), has: None };
        assert!(none.to_string().contains("this server has none: give it that key") && none.lacks_key());
    }
}
