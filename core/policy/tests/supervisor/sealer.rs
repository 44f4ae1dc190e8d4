//! A sealer that hides nothing from whoever looks closely: with a key that may be taken away.

use camlock_policy::{MASK, NotOpened, SealedSecret, SealedSecrets, Sealer};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicU8, Ordering},
    },
};

pub(super) struct FakeSealer {
    key: Mutex<&'static str>,
    number: AtomicU8,
}

impl Default for FakeSealer {
    fn default() -> Self {
        FakeSealer { key: Mutex::new("first"), number: AtomicU8::new(0) }
    }
}

impl FakeSealer {
    /// From now on it has this key.
    pub(super) fn take_key(&self, key: &'static str) {
        *self.key.lock().unwrap() = key;
    }

    pub(super) fn seal(&self, secret: &Value) -> SealedSecret {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let bytes = std::iter::once(number).chain(secret.to_string().bytes().map(|byte| byte ^ 0x55)).collect();
        SealedSecret { key_id: (*self.key.lock().unwrap()).to_owned(), bytes }
    }

    fn open(&self, sealed: &SealedSecret) -> Result<Value, NotOpened> {
        let key = *self.key.lock().unwrap();
        if sealed.key_id != key {
            return Err(NotOpened::OtherKey { needed: sealed.key_id.clone(), has: Some(key.to_owned()) });
        }
        let opened: Vec<u8> = sealed.bytes[1..].iter().map(|byte| byte ^ 0x55).collect();
        Ok(serde_json::from_slice(&opened).unwrap())
    }
}

impl Sealer for FakeSealer {
    fn set_apart(
        &self,
        _: &str,
        config: &Value,
        sensitive: &BTreeSet<String>,
        before: &SealedSecrets,
    ) -> Result<(Value, SealedSecrets), NotOpened> {
        let (mut shown, mut secrets) = (config.clone(), SealedSecrets::new());
        for place in sensitive {
            let Some(value) = shown.pointer_mut(place).filter(|value| !value.is_null()) else { continue };
            let known = before.get(place);
            let same = *value == *MASK || known.is_some_and(|known| self.open(known).as_ref() == Ok(&*value));
            let sealed = if same { known.cloned() } else { Some(self.seal(value)) };
            *value = Value::from(MASK);
            secrets.extend(sealed.map(|sealed| (place.clone(), sealed)));
        }
        Ok((shown, secrets))
    }

    fn put_back(&self, _: &str, shown: &Value, secrets: &SealedSecrets) -> Result<Value, NotOpened> {
        let mut config = shown.clone();
        for (place, sealed) in secrets {
            let Some(value) = config.pointer_mut(place).filter(|value| **value == *MASK) else { continue };
            *value = self.open(sealed)?;
        }
        Ok(config)
    }
}
