//! The key that a server has now, as far as it is the fleet's: all secrets of its plugins are sealed and opened with it.
//!
//! What must not live here: where it comes from.

use super::{
    key::{KeyCheck, SecretsKey},
    set,
};
use camlock_policy::{NotOpened, SealedSecrets, Sealer};
use parking_lot::RwLock;
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::Notify;

/// How a server stands with the fleet's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldKey {
    /// What the fleet's key is was not learnt yet. The server's own opens what it fits, and seals nothing.
    NotCompared(Option<SecretsKey>),
    /// It has it.
    Fleets(SecretsKey),
    /// It has another one, or none.
    Lacking {
        /// The id of the fleet's.
        needed: String,
        /// The one that it has.
        has: Option<SecretsKey>,
    },
}

impl HeldKey {
    /// How this key stands with what is on record of the fleet's.
    pub fn compared(key: Option<SecretsKey>, check: &KeyCheck) -> Self {
        match key {
            Some(key) if key.passes(check).is_ok() => HeldKey::Fleets(key),
            has => HeldKey::Lacking { needed: check.0.key_id.clone(), has },
        }
    }

    /// The id of the fleet's key and that of the server's, as far as they are known.
    pub fn ids(&self) -> (Option<&str>, Option<&str>) {
        match self {
            HeldKey::NotCompared(has) => (None, has.as_ref().map(SecretsKey::id)),
            HeldKey::Fleets(key) => (Some(key.id()), Some(key.id())),
            HeldKey::Lacking { needed, has } => (Some(needed), has.as_ref().map(SecretsKey::id)),
        }
    }
}

/// The key that a server has now. Clones are the same.
#[derive(Clone, Debug)]
pub struct Keyring(Arc<KeyringState>);

#[derive(Debug)]
struct KeyringState {
    held: RwLock<HeldKey>,
    missed: Notify,
}

impl Keyring {
    /// One with this key, which was not compared yet.
    pub fn new(key: Option<SecretsKey>) -> Self {
        let held = RwLock::new(HeldKey::NotCompared(key));
        Keyring(Arc::new(KeyringState { held, missed: Notify::new() }))
    }

    /// How it stands.
    pub fn held(&self) -> HeldKey {
        self.0.held.read().clone()
    }

    /// From now on it stands so; whether that is new.
    pub fn take(&self, held: HeldKey) -> bool {
        let mut now = self.0.held.write();
        let new = *now != held;
        *now = held;
        new
    }

    /// Waits until something could not be opened or sealed for want of a key, since the last call.
    pub async fn missed(&self) {
        self.0.missed.notified().await;
    }

    fn with_key<T>(
        &self,
        act: impl FnOnce(&SecretsKey) -> Result<T, NotOpened>,
        to_seal: bool,
    ) -> Result<T, NotOpened> {
        let outcome = match &*self.0.held.read() {
            HeldKey::Fleets(key) => act(key),
            HeldKey::NotCompared(Some(key)) if !to_seal => act(key),
            HeldKey::NotCompared(_) => Err(NotOpened::NoKeyYet),
            HeldKey::Lacking { needed, has } => {
                let has = has.as_ref().map(|has| has.id().to_owned());
                Err(NotOpened::OtherKey { needed: needed.clone(), has })
            }
        };
        if outcome.as_ref().is_err_and(NotOpened::lacks_key) {
            self.0.missed.notify_one();
        }
        outcome
    }
}

impl Sealer for Keyring {
    fn set_apart(
        &self,
        plugin: &str,
        config: &Value,
        sensitive: &BTreeSet<String>,
        before: &SealedSecrets,
    ) -> Result<(Value, SealedSecrets), NotOpened> {
        self.with_key(|key| set::set_apart(plugin, config, sensitive, before, key), true)
    }

    fn put_back(&self, plugin: &str, shown: &Value, secrets: &SealedSecrets) -> Result<Value, NotOpened> {
        if secrets.is_empty() {
            return Ok(shown.clone());
        }
        self.with_key(|key| set::put_back(plugin, shown, secrets, key), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_fleets_key_seals() {
        let (mine, other) = (SecretsKey::generate(), SecretsKey::generate());
        let (config, places) = (json!({"a": "secret"}), BTreeSet::from(["/a".to_owned()]));
        let keyring = Keyring::new(Some(mine.clone()));
        let seal = || keyring.set_apart("hello", &config, &places, &SealedSecrets::new());
        assert_eq!(seal(), Err(NotOpened::NoKeyYet));
        assert!(keyring.take(HeldKey::compared(Some(mine.clone()), &mine.check().unwrap())));
        let (shown, secrets) = seal().unwrap();
        assert_eq!(keyring.put_back("hello", &shown, &secrets), Ok(config.clone()));

        let lacking = HeldKey::compared(Some(other.clone()), &mine.check().unwrap());
        assert_eq!(lacking.ids(), (Some(mine.id()), Some(other.id())));
        assert!(keyring.take(lacking.clone()) && !keyring.take(lacking));
        let wrong = NotOpened::OtherKey { needed: mine.id().to_owned(), has: Some(other.id().to_owned()) };
        assert_eq!((seal(), keyring.put_back("hello", &shown, &secrets)), (Err(wrong.clone()), Err(wrong)));
        // Where the registry is away, what its own key fits is opened.
        keyring.take(HeldKey::NotCompared(Some(mine)));
        assert_eq!(keyring.put_back("hello", &shown, &secrets), Ok(config));
        keyring.take(HeldKey::NotCompared(None));
        assert_eq!(keyring.put_back("hello", &shown, &secrets), Err(NotOpened::NoKeyYet));
        assert_eq!(keyring.put_back("hello", &shown, &SealedSecrets::new()), Ok(shown));
    }
}
