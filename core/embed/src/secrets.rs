//! The key for secrets of configurations: where it comes from, how it becomes the fleet's, and how another one takes its place.
//!
//! What must not live here: how secrets are sealed, and where they lie.

mod files;
mod rotation;
#[cfg(test)]
mod tests;

pub use rotation::{look_at_secrets, rotate_secrets};

use crate::Options;
use camlock_services::secrets::{HeldKey, KeyCheck, Keyring, SecretsKey};
use camlock_store::KeyRecord;
use files::{FILE, NEXT, install, made, read};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

/// After so long a server that lacks the key looks whether it is there.
const AGAIN: Duration = Duration::from_secs(2);
/// And so often it looks before it asks the registry, too.
const LOOKS: u32 = 15;
/// One that has the key compares it so often.
const COMPARED: Duration = Duration::from_secs(60);

/// Where a server's own key comes from.
#[derive(Clone, Debug)]
pub(crate) struct OwnKey {
    /// What it was told.
    given: Option<SecretsKey>,
    data: PathBuf,
    /// What was last told of a key that cannot be read.
    reported: Arc<Mutex<Option<String>>>,
}

impl OwnKey {
    pub(crate) fn of(options: &Options, data: &Path) -> Self {
        OwnKey::given(options.secrets_key.clone(), data)
    }

    /// What it was told, or what lies in this data directory.
    fn given(given: Option<SecretsKey>, data: &Path) -> Self {
        OwnKey { given, data: data.to_owned(), reported: Arc::default() }
    }

    /// The key that it has, if it has one.
    pub(crate) fn read(&self) -> Result<Option<SecretsKey>, String> {
        match &self.given {
            Some(given) => Ok(Some(given.clone())),
            None => read(&self.data.join(FILE)),
        }
    }

    /// The same; one that cannot be read is none, and that is told.
    fn read_or_none(&self) -> Option<SecretsKey> {
        let read = self.read();
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(key) => {
                *reported = None;
                key
            }
            Err(why) => {
                // It is looked at every few seconds, and said once.
                if reported.as_ref() != Some(&why) {
                    tracing::error!("{why}; secrets cannot be opened with it");
                    *reported = Some(why);
                }
                None
            }
        }
    }

    /// How it stands with the fleet's, which it becomes where there is none.
    async fn settle(&self, record: &KeyRecord) -> HeldKey {
        let own = self.clone();
        let key = spawn_blocking(move || own.read_or_none()).await.unwrap_or_default();
        let Ok(check) = record.check().await else { return HeldKey::NotCompared(key) };
        let settled = match check {
            Some(check) => Ok(self.compare(key.clone(), &KeyCheck(check))),
            None => self.become_the_fleets(key.clone(), record).await,
        };
        settled.unwrap_or_else(|why| {
            tracing::error!("there is no key for secrets: {why}");
            HeldKey::NotCompared(key)
        })
    }

    /// A change of keys may have been broken off when the new one was on record already.
    fn compare(&self, key: Option<SecretsKey>, check: &KeyCheck) -> HeldKey {
        let held = HeldKey::compared(key, check);
        if self.given.is_some() || matches!(held, HeldKey::Fleets(_)) {
            return held;
        }
        match read(&self.data.join(NEXT)).ok().flatten().filter(|next| next.passes(check).is_ok()) {
            Some(next) if install(&self.data, &next).is_ok() => HeldKey::Fleets(next),
            _ => held,
        }
    }

    /// There is no key yet: this server's is proposed. One that it makes is on its disk before anybody knows of it, and goes if
    /// another server was first.
    async fn become_the_fleets(&self, key: Option<SecretsKey>, record: &KeyRecord) -> Result<HeldKey, String> {
        // What cannot be read is not written over.
        let is_made = key.is_none() && self.read()?.is_none();
        let next = self.data.join(NEXT);
        let key = key.map_or_else(|| made(&next), Ok)?;
        let check = key.check().map_err(|error| error.to_string())?;
        let there = record.propose(check.0).await.map_err(|why| why.to_string())?;
        let there = KeyCheck(there);
        let held = HeldKey::compared(Some(key), &there);
        match &held {
            HeldKey::Fleets(key) if is_made => install(&self.data, key)?,
            HeldKey::Lacking { .. } if is_made => {
                let _ = fs::remove_file(&next);
                return Ok(HeldKey::compared(self.read()?, &there));
            }
            _ => {}
        }
        Ok(held)
    }
}

/// Compares once, before anything is served. A registry that is away is asked later.
pub(crate) async fn open(own: &OwnKey, record: &KeyRecord, away: bool) -> Keyring {
    let held = if away { HeldKey::NotCompared(own.read_or_none()) } else { own.settle(record).await };
    tell(&held);
    let keyring = Keyring::new(None);
    keyring.take(held);
    keyring
}

/// Follows the key as long as the server lives: until it is compared, while it is lacking, and when something is sealed with another.
pub(crate) async fn follow(own: OwnKey, record: KeyRecord, keyring: Keyring, changed: impl Fn()) {
    loop {
        match keyring.held() {
            HeldKey::NotCompared(_) => {
                sleep(AGAIN).await;
                record.usable().await;
            }
            HeldKey::Fleets(_) => {
                // It may have become another without a secret to notice it by.
                if timeout(COMPARED, keyring.missed()).await.is_ok() {
                    sleep(Duration::from_millis(100)).await;
                }
            }
            HeldKey::Lacking { has, .. } => {
                for _ in 0..LOOKS {
                    sleep(AGAIN).await;
                    let own = own.clone();
                    let now = spawn_blocking(move || own.read().ok().flatten()).await.unwrap_or_default();
                    if now != has {
                        break;
                    }
                }
            }
        }
        let held = own.settle(&record).await;
        if keyring.take(held.clone()) {
            tell(&held);
            changed();
        }
    }
}

fn tell(held: &HeldKey) {
    match held {
        HeldKey::Lacking { needed, has } => {
            let has = has.as_ref().map_or_else(|| "no key".to_owned(), |has| format!("the key {}", has.id()));
            // Where there are none yet nobody has to care.
            tracing::info!(
                "secrets of plugins are sealed with the key {needed}, and this server has {has}: plugins that have secrets wait \
                 here until it has that one (`camlock doctor` says more)"
            );
        }
        HeldKey::Fleets(key) => tracing::debug!(key = key.id(), "secrets are sealed with this key"),
        HeldKey::NotCompared(_) => {}
    }
}
