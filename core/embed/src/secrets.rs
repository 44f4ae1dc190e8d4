//! The key for secrets of configurations: where it comes from, how it becomes the fleet's, and how another one takes its place.
//!
//! What must not live here: how secrets are sealed, and where they lie.

use crate::{Options, RegistrySettings, data::sync_dir};
use camlock_policy::SealedSecret;
use camlock_services::secrets::{HeldKey, KeyCheck, Keyring, SecretPlace, SecretsKey};
use camlock_store::{KeyRecord, SecretsOnRecord, Store, StoreOptions};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{task::spawn_blocking, time::sleep};

/// The file in the data directory.
const FILE: &str = "secrets.key";
/// A key that is not the fleet's yet: nobody has it anywhere else when it comes to be.
const NEXT: &str = "secrets.key.new";

/// After so long a server that lacks the key looks whether it is there.
const AGAIN: Duration = Duration::from_secs(2);
/// And so often it looks before it asks the registry, too.
const LOOKS: u32 = 15;

/// Where a server's own key comes from.
#[derive(Clone, Debug)]
pub(crate) struct OwnKey {
    /// What it was told.
    given: Option<SecretsKey>,
    data: PathBuf,
}

impl OwnKey {
    pub(crate) fn of(options: &Options, data: &Path) -> Self {
        OwnKey { given: options.secrets_key.clone(), data: data.to_owned() }
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
        self.read().unwrap_or_else(|why| {
            tracing::error!("{why}; secrets cannot be opened with it");
            None
        })
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
                keyring.missed().await;
                sleep(Duration::from_millis(100)).await;
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
            tracing::warn!(
                "secrets of plugins are sealed with the key {needed}, and this server has {has}: plugins that have secrets wait \
                 here until it has that one (`camlock doctor` says more)"
            );
        }
        HeldKey::Fleets(key) => tracing::debug!(key = key.id(), "secrets are sealed with this key"),
        HeldKey::NotCompared(_) => {}
    }
}

fn read(path: &Path) -> Result<Option<SecretsKey>, String> {
    match fs::read_to_string(path) {
        Ok(text) => match SecretsKey::parse(&text) {
            Ok(key) => Ok(Some(key)),
            Err(why) => Err(format!("{} is no key: {why}", path.display())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}

/// Puts a key on the disk under a name of its own, and then there: nobody ever reads half a key.
fn put(path: &Path, key: &SecretsKey, place: impl Fn(&Path) -> io::Result<()>) -> Result<(), String> {
    let dir = path.parent().unwrap_or(path);
    let temporary = dir.join(format!(".{FILE}-{}-{}", std::process::id(), key.id()));
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary);
    let written = file.and_then(|mut file| writeln!(file, "{}", *key.text()).and_then(|()| file.sync_all()));
    let placed = written.and_then(|()| place(&temporary)).and_then(|()| sync_dir(dir));
    let _ = fs::remove_file(&temporary);
    placed.map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// A key that is to become the fleet's, unless there is one already: another server may share this directory. Which one it is.
fn made(next: &Path) -> Result<SecretsKey, String> {
    let key = SecretsKey::generate();
    put(next, &key, |temporary| match fs::hard_link(temporary, next) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    })?;
    read(next).map(|there| there.unwrap_or(key))
}

/// From now on this new key is the server's. The one before is kept under its id: backups that were made until now need it. Several
/// may do this at once.
fn install(data: &Path, key: &SecretsKey) -> Result<(), String> {
    let (path, next) = (data.join(FILE), data.join(NEXT));
    if let Some(before) = read(&path)? {
        if before == *key {
            return Ok(());
        }
        let _ = fs::hard_link(&path, data.join(format!("{FILE}.{}", before.id())));
    }
    let installed = fs::rename(&next, &path).and_then(|()| sync_dir(data));
    if read(&path)?.as_ref() == Some(key) {
        return Ok(());
    }
    installed.map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// How the key that a server with these settings would have stands, without a change to anything; and what is on record.
pub async fn look_at_secrets(
    registry: &RegistrySettings,
    store: &StoreOptions,
    given: Option<&SecretsKey>,
    data: &Path,
) -> Result<(HeldKey, SecretsOnRecord), String> {
    let key = OwnKey { given: given.cloned(), data: data.to_owned() }.read()?;
    let there = Store::secrets(&registry.url(data), store).await.map_err(|trouble| trouble.sentence)?;
    let held = match &there.check {
        Some(check) => HeldKey::compared(key, &KeyCheck(check.clone())),
        None => HeldKey::NotCompared(key),
    };
    Ok((held, there))
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
                let _ = fs::remove_file(&next);
            }
            Err(trouble.sentence)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn own(data: &Path) -> OwnKey {
        OwnKey { given: None, data: data.to_owned() }
    }

    async fn store(registry: &Path, node: &Path) -> Store {
        let url = format!("sqlite://{}", registry.join("registry.db").display());
        Store::open(&url, StoreOptions::new(node)).await.unwrap()
    }

    fn files(data: &Path) -> Vec<String> {
        let names = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.starts_with(FILE)).collect();
        names.sort();
        names
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_two_first_servers_one_makes_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        for node in [&one, &two] {
            crate::data::open(node).unwrap();
        }
        let (first, second) = (store(dir.path(), &one).await, store(dir.path(), &two).await);
        let (of_one, of_two) = (own(&one), own(&two));
        let (first, second) = (first.key(), second.key());
        let (left, right) = tokio::join!(of_one.settle(&first), of_two.settle(&second));
        let ((held, lacking), (there, not)) = match &left {
            HeldKey::Fleets(_) => ((&left, &right), (&one, &two)),
            _ => ((&right, &left), (&two, &one)),
        };
        let HeldKey::Fleets(key) = held else { panic!("{held:?} {lacking:?}") };
        assert_eq!(*lacking, HeldKey::Lacking { needed: key.id().to_owned(), has: None });
        assert_eq!((files(there), files(not)), (vec![FILE.to_owned()], Vec::new()));
        assert_eq!(fs::metadata(there.join(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
        // Given the file it has the key; so it has later.
        fs::copy(there.join(FILE), not.join(FILE)).unwrap();
        assert_eq!(own(not).settle(&first).await, *held);
        // What is no key is left as it is, and is none.
        fs::write(not.join(FILE), "no key").unwrap();
        assert_eq!(own(not).settle(&first).await, *lacking);
        assert_eq!(fs::read_to_string(not.join(FILE)).unwrap(), "no key");
    }

    /// Two servers may share a data directory.
    #[tokio::test(flavor = "multi_thread")]
    async fn in_one_directory_both_have_it() {
        for _ in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let data = crate::data::open(&dir.path().join("data")).unwrap();
            let (one, two) = (store(dir.path(), &data).await, store(dir.path(), &data).await);
            let (here, there) = (one.key(), two.key());
            let both = [(own(&data), here), (own(&data), there)]
                .map(|(own, record)| tokio::spawn(async move { own.settle(&record).await }));
            let [left, right] = both;
            let _ = (left.await.unwrap(), right.await.unwrap());
            // Who was between the two looks once more.
            let held = own(&data).settle(&one.key()).await;
            assert_eq!(HeldKey::Fleets(read(&data.join(FILE)).unwrap().unwrap()), held);
            assert_eq!(files(&data), [FILE]);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_rotation_that_was_broken_off_is_brought_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let data = crate::data::open(&dir.path().join("data")).unwrap();
        let store = store(dir.path(), &data).await;
        let HeldKey::Fleets(old) = own(&data).settle(&store.key()).await else { panic!("no key") };
        let url = format!("sqlite://{}", dir.path().join("registry.db").display());
        let registry = RegistrySettings { url: Some(url.clone()), ..RegistrySettings::default() };
        let options = StoreOptions::new(&data);
        let new = SecretsKey::generate();
        assert_eq!(rotate_secrets(&registry, &options, None, &data, &new).await, Ok(0));
        assert_eq!(own(&data).settle(&store.key()).await, HeldKey::Fleets(new.clone()));
        assert_eq!(files(&data), [FILE.to_owned(), format!("{FILE}.{}", old.id())]);
        // On record already, and not in its place yet.
        let newer = SecretsKey::generate();
        let next = data.join(NEXT);
        put(&next, &newer, |temporary| fs::rename(temporary, &next)).unwrap();
        assert_eq!(own(&data).settle(&store.key()).await, HeldKey::Fleets(new.clone()), "not yet");
        let reseal = |_: &str, _: &str, _: &SealedSecret| Err("there are none".to_owned());
        Store::reseal(&url, &options, (new.id(), newer.check().unwrap().0), &reseal).await.unwrap();
        assert_eq!(own(&data).settle(&store.key()).await, HeldKey::Fleets(newer.clone()));
        assert_eq!(read(&data.join(FILE)), Ok(Some(newer.clone())));
        // Who has it from a setting changes no file; with the wrong one nothing is done.
        let refused = rotate_secrets(&registry, &options, Some(&old), &data, &new).await.unwrap_err();
        assert!(refused.contains(newer.id()) && refused.contains(old.id()), "{refused}");
        assert_eq!(rotate_secrets(&registry, &options, Some(&newer), &data, &new).await, Ok(0));
        assert_eq!(read(&data.join(FILE)), Ok(Some(newer)));
    }
}
