//! Another key in the place of the fleet's, and how things stand. What must not live here: what a running server does (`secrets`).

use super::{
    OwnKey,
    files::{NEXT, alone, forget, install, put, read},
};
use crate::RegistrySettings;
use camlock_policy::SealedSecret;
use camlock_services::secrets::{HeldKey, KeyCheck, SecretPlace, SecretsKey};
use camlock_store::{SecretsOnRecord, Store, StoreOptions};
use std::{fs, path::Path};

/// How the key that a server with these settings would have stands, without a change to anything; and what is on record.
pub async fn look_at_secrets(
    registry: &RegistrySettings,
    store: &StoreOptions,
    given: Option<&SecretsKey>,
    data: &Path,
) -> Result<(HeldKey, SecretsOnRecord), String> {
    let key = OwnKey::given(given.cloned(), data).read()?;
    let there = Store::secrets(&registry.url(data), store).await.map_err(|trouble| trouble.sentence)?;
    let Some(check) = there.check.clone().map(KeyCheck) else { return Ok((HeldKey::NotCompared(key), there)) };
    let held = HeldKey::compared(key, &check);
    // A rotation may have been broken off when all was sealed with the other key, and before that was in its place.
    let next = match held {
        HeldKey::Lacking { .. } if given.is_none() => read(&data.join(NEXT))?,
        _ => None,
    };
    match HeldKey::compared(next, &check) {
        HeldKey::Fleets(next) => Ok((HeldKey::Fleets(next), there)),
        _ => Ok((held, there)),
    }
}

/// Seals all secrets anew with another key, all or nothing: how many they were. Without a setting that names the key of now, the
/// other one lies in the data directory afterwards.
pub async fn rotate_secrets(
    registry: &RegistrySettings,
    store: &StoreOptions,
    given: Option<&SecretsKey>,
    data: &Path,
    to: &SecretsKey,
) -> Result<usize, String> {
    let _alone = alone(data)?;
    let from = match look_at_secrets(registry, store, given, data).await?.0 {
        HeldKey::Fleets(key) => key,
        HeldKey::Lacking { needed, has } => {
            let has = has.as_ref().map_or_else(|| "there is none".to_owned(), |has| format!("there is {}", has.id()));
            return Err(format!(
                "secrets are sealed with the key {needed}, and here {has}: rotate where that key is, or name it in `secrets.key` or \
                 CAMLOCK_SECRETS_KEY; nothing was changed"
            ));
        }
        HeldKey::NotCompared(_) => {
            return Err(
                "the registry knows of no key yet: the first server that starts makes one; nothing was changed".into(),
            );
        }
    };
    let next = data.join(NEXT);
    if given.is_none() {
        install(data, &from)?;
        put(&next, to, |temporary| fs::rename(temporary, &next))?;
    }
    let reseal = |plugin: &str, pointer: &str, sealed: &SealedSecret| {
        let place = SecretPlace { plugin, pointer };
        let opened = from.open(&place, sealed).map_err(|error| error.to_string())?;
        to.seal(&place, &opened).map_err(|error| error.to_string())
    };
    let check = to.check().map_err(|error| error.to_string())?;
    let sealed = Store::reseal(&registry.url(data), store, (from.id(), check.0), &reseal).await;
    match sealed {
        Ok(count) if given.is_none() => install(data, to).map(|()| count),
        Ok(count) => Ok(count),
        Err(trouble) => {
            // Whether it was committed is not known when the database went away: then the next server finds out which key it is.
            if !trouble.passes() {
                forget(&next, to);
            }
            Err(trouble.sentence)
        }
    }
}
