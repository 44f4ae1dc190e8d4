//! All secrets of one configuration: set apart and sealed before it goes on record, and put back before the plugin gets it.

use super::{key::SecretsKey, seal::SecretPlace};
use camlock_policy::{MASK, NotOpened, SealedSecret, SealedSecrets};
use serde_json::Value;
use std::collections::BTreeSet;
use zeroize::Zeroizing;

/// Takes what stands at these places out of a configuration and seals it: what is to be on record of the configuration, with
/// [`MASK`] at those places, and the secrets. Where the mask stands already, or just what was sealed before, that goes on.
pub fn set_apart(
    plugin: &str,
    config: &Value,
    sensitive: &BTreeSet<String>,
    before: &SealedSecrets,
    key: &SecretsKey,
) -> Result<(Value, SealedSecrets), NotOpened> {
    let (mut shown, mut secrets) = (config.clone(), SealedSecrets::new());
    for pointer in sensitive {
        let Some(value) = shown.pointer_mut(pointer).filter(|value| !value.is_null()) else { continue };
        if *value == *MASK {
            if let Some(sealed) = before.get(pointer) {
                secrets.insert(pointer.clone(), sealed.clone());
            }
            continue;
        }
        let text = Zeroizing::new(with_those_below(plugin, pointer, value, before, key)?.to_string());
        let place = SecretPlace { plugin, pointer };
        // Sealed once more it would be other bytes, and look like a change.
        let same =
            before.get(pointer).filter(|known| key.open(&place, known).is_ok_and(|known| *known == *text.as_bytes()));
        if let Some(known) = same {
            secrets.insert(pointer.clone(), known.clone());
            *value = Value::from(MASK);
            continue;
        }
        secrets.insert(pointer.clone(), key.seal(&place, text.as_bytes())?);
        *value = Value::from(MASK);
    }
    Ok((shown, secrets))
}

/// A value that is about to become a secret as a whole, with what was a secret within it: masks are no part of it.
fn with_those_below(
    plugin: &str,
    pointer: &str,
    value: &Value,
    before: &SealedSecrets,
    key: &SecretsKey,
) -> Result<Value, NotOpened> {
    let mut whole = value.clone();
    for (place, sealed) in before {
        let Some(below) = place.strip_prefix(pointer).filter(|below| below.starts_with('/')) else { continue };
        if let Some(value) = whole.pointer_mut(below).filter(|value| **value == *MASK) {
            *value = opened(plugin, place, sealed, key)?;
        }
    }
    Ok(whole)
}

fn opened(plugin: &str, pointer: &str, sealed: &SealedSecret, key: &SecretsKey) -> Result<Value, NotOpened> {
    let opened = key.open(&SecretPlace { plugin, pointer }, sealed)?;
    serde_json::from_slice(&opened)
        .map_err(|_| NotOpened::Damaged { place: format!("the secret `{pointer}` of `{plugin}`") })
}

/// Puts secrets back where the mask stands for them. One that is sealed and has no mask in its place is not wanted any more.
pub fn put_back(plugin: &str, shown: &Value, secrets: &SealedSecrets, key: &SecretsKey) -> Result<Value, NotOpened> {
    let mut config = shown.clone();
    for (pointer, sealed) in secrets {
        let Some(value) = config.pointer_mut(pointer).filter(|value| **value == *MASK) else { continue };
        *value = opened(plugin, pointer, sealed, key)?;
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn places(pointers: &[&str]) -> BTreeSet<String> {
        pointers.iter().map(|pointer| (*pointer).to_owned()).collect()
    }

    #[test]
    fn secrets_come_back_as_they_were() {
        let key = SecretsKey::generate();
        let config = json!({"url": "x", "password": "hunter2", "store": {"pin": 7}, "keys": ["a", "b"], "unset": null});
        let sensitive = places(&["/password", "/store", "/keys/1", "/unset", "/absent"]);
        let (shown, secrets) = set_apart("hello", &config, &sensitive, &SealedSecrets::new(), &key).unwrap();
        let expected = json!({"url": "x", "password": MASK, "store": MASK, "keys": ["a", MASK], "unset": null});
        assert_eq!(shown, expected);
        assert_eq!(secrets.keys().collect::<Vec<_>>(), ["/keys/1", "/password", "/store"]);
        assert_eq!(put_back("hello", &shown, &secrets, &key), Ok(config));
        assert!(put_back("other", &shown, &secrets, &key).is_err());
    }

    /// A later version may call more of it a secret.
    #[test]
    fn what_was_a_secret_within_another_stays_one() {
        let key = SecretsKey::generate();
        let config = json!({"store": {"host": "x", "pin": "1234"}, "keys": ["a", "b"]});
        let first = places(&["/store/pin", "/keys/0", "/keys/1"]);
        let (shown, before) = set_apart("hello", &config, &first, &SealedSecrets::new(), &key).unwrap();
        assert_eq!(shown, json!({"store": {"host": "x", "pin": MASK}, "keys": [MASK, MASK]}));
        let more = places(&["/store", "/store/pin", "/keys", "/keys/0", "/keys/1"]);
        let (shown, secrets) = set_apart("hello", &shown, &more, &before, &key).unwrap();
        assert_eq!(shown, json!({"store": MASK, "keys": MASK}));
        assert_eq!(secrets.keys().collect::<Vec<_>>(), ["/keys", "/store"]);
        assert_eq!(put_back("hello", &shown, &secrets, &key), Ok(config));
    }

    #[test]
    fn what_is_masked_keeps_what_was_sealed() {
        let key = SecretsKey::generate();
        let sensitive = places(&["/a", "/b", "/c"]);
        let first = json!({"a": "one", "b": "two"});
        let (_, before) = set_apart("hello", &first, &sensitive, &SealedSecrets::new(), &key).unwrap();
        let (shown, secrets) =
            set_apart("hello", &json!({"a": MASK, "b": "new", "c": MASK}), &sensitive, &before, &key).unwrap();
        assert_eq!(secrets["/a"], before["/a"]);
        let (_, same) = set_apart("hello", &first, &sensitive, &before, &key).unwrap();
        assert_eq!(same, before);
        // There is none for the last one: it stays what was written.
        assert_eq!(put_back("hello", &shown, &secrets, &key), Ok(json!({"a": "one", "b": "new", "c": MASK})));
        // What was written over by hand counts.
        assert_eq!(put_back("hello", &json!({"a": "plain"}), &secrets, &key), Ok(json!({"a": "plain"})));
    }
}
