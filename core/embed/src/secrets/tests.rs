//! Keys that come to be, and change, on real disks and in a real registry.

use super::{
    files::{FILE, NEXT, put, read},
    *,
};
use crate::RegistrySettings;
use camlock_policy::SealedSecret;
use camlock_store::{Store, StoreOptions};
use std::os::unix::fs::PermissionsExt;

fn own(data: &Path) -> OwnKey {
    OwnKey::given(None, data)
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
