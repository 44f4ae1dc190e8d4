//! What the holders of keys could do that they may not: metadata that is well signed and says what it must not. Beside what somebody
//! without keys can try (`tests`).

use super::{site::CatalogSite, *};
use crate::{
    CatalogTrouble,
    package::FileRecord,
    publish::testing::{KeeperKey, signed},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{fs, path::Path};

const DAY: i64 = 24;

/// What is changed before it is signed.
type Forgery = fn(&mut Forged);

fn in_days(days: i64) -> String {
    let end = Timestamp::now().checked_add(SignedDuration::from_hours(DAY * days)).unwrap();
    Timestamp::from_second(end.as_second()).unwrap().to_string()
}

/// What lies there, without its signatures: to be signed again.
struct Forged {
    root: Value,
    targets: Value,
    snapshot: Value,
    timestamp: Value,
    /// Whether what vouches for others says how they are now.
    pins: bool,
}

fn said(path: &Path) -> Value {
    let whole: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    whole["signed"].clone()
}

fn number(of: &Value) -> u64 {
    of["version"].as_u64().unwrap()
}

impl Forged {
    fn of(site: &CatalogSite) -> Self {
        let timestamp = said(&site.file("timestamp.json"));
        let snapshot = said(&site.file(&format!("{}.snapshot.json", number(&timestamp["meta"]["snapshot.json"]))));
        let targets = said(&site.file(&format!("{}.targets.json", number(&snapshot["meta"]["targets.json"]))));
        let root = (1..).take_while(|version| site.file(&format!("{version}.root.json")).exists()).last().unwrap();
        let root = said(&site.file(&format!("{root}.root.json")));
        Forged { root, targets, snapshot, timestamp, pins: true }
    }

    /// The next version of all but the root.
    fn next(site: &CatalogSite) -> Self {
        let mut forged = Forged::of(site);
        for role in [&mut forged.targets, &mut forged.snapshot, &mut forged.timestamp] {
            role["version"] = (number(role) + 1).into();
        }
        forged
    }

    fn expire(role: &mut Value) {
        role["expires"] = in_days(-1).into();
    }

    /// Signs and writes all but the root.
    fn write(mut self, site: &CatalogSite, keys: &[&KeeperKey]) {
        let pin = |role: &mut Value, of: &str, said: &Value, bytes: &[u8]| {
            let FileRecord { sha256, size } = FileRecord::of(bytes);
            role["meta"][of] = json!({ "version": said["version"], "length": size, "hashes": { "sha256": sha256 } });
        };
        let targets = signed(&self.targets, keys).unwrap();
        if self.pins {
            pin(&mut self.snapshot, "targets.json", &self.targets, &targets);
        }
        let snapshot = signed(&self.snapshot, keys).unwrap();
        if self.pins {
            pin(&mut self.timestamp, "snapshot.json", &self.snapshot, &snapshot);
        }
        let timestamp = signed(&self.timestamp, keys).unwrap();
        let version = |role: &Value, of: &str| number(&role["meta"][of]);
        fs::write(site.file(&format!("{}.targets.json", version(&self.snapshot, "targets.json"))), targets).unwrap();
        fs::write(site.file(&format!("{}.snapshot.json", version(&self.timestamp, "snapshot.json"))), snapshot)
            .unwrap();
        fs::write(site.file("timestamp.json"), timestamp).unwrap();
    }
}

impl CatalogSite {
    fn online(&self) -> KeeperKey {
        KeeperKey::read(&self.keys().join("online.key")).unwrap()
    }

    fn root_keys(&self) -> Vec<KeeperKey> {
        let keys = (1..=3).map(|number| self.keys().join(format!("root-{number}.key")));
        keys.map(|path| KeeperKey::read(&path).unwrap()).collect()
    }

    /// The next root, changed, and signed by so many of the root keys.
    fn next_root(&self, by: usize, change: impl FnOnce(&mut Value)) {
        let mut root = Forged::of(self).root;
        let version = number(&root) + 1;
        root["version"] = version.into();
        change(&mut root);
        let keys = self.root_keys();
        let keys: Vec<&KeeperKey> = keys.iter().take(by).collect();
        fs::write(self.file(&format!("{version}.root.json")), signed(&root, &keys).unwrap()).unwrap();
    }

    fn new_key(&self, name: &str) -> KeeperKey {
        KeeperKey::generate(&self.dir.path().join(name)).unwrap()
    }
}

/// A root in which a role has these keys, of which so many must sign.
fn with_keys(root: &mut Value, role: &str, keys: &[&KeeperKey], threshold: usize) {
    for key in keys {
        root["keys"][key.id()] = key.public();
    }
    let ids: Vec<String> = keys.iter().map(|key| key.id()).collect();
    root["roles"][role] = json!({ "keyids": ids, "threshold": threshold });
}

/// A catalog at its second version, which was seen.
fn seen() -> CatalogSite {
    let site = CatalogSite::new();
    site.publish(&[("hello", "1.0.0"), ("other", "1.0.0")]).unwrap();
    site.open().unwrap().since(None).unwrap();
    site
}

/// Does this to a catalog that was seen; why it is not believed then. What it listed before stays what is known.
#[track_caller]
fn refused(what: &str, attack: impl FnOnce(&CatalogSite)) -> CatalogTrouble {
    let site = seen();
    let before = site.trusted.files();
    attack(&site);
    let trouble = site.open().err().unwrap_or_else(|| panic!("{what} is believed"));
    assert_eq!(site.trusted.files()["targets.json"], before["targets.json"], "{what}");
    trouble
}

#[test]
fn well_signed_metadata_that_goes_back() {
    let attack = |change: Forgery| {
        move |site: &CatalogSite| {
            let mut forged = Forged::next(site);
            change(&mut forged);
            forged.write(site, &[&site.online()]);
        }
    };
    let cases: [(&str, Forgery, &str); 4] = [
        ("an older snapshot, newly vouched for", |it| it.snapshot["version"] = 1.into(), "rollback"),
        ("older targets, newly vouched for", |it| it.targets["version"] = 1.into(), "rollback"),
        ("an older timestamp", |it| it.timestamp["version"] = 1.into(), "rollback"),
        (
            "a snapshot without a bin",
            |it| drop(it.snapshot["meta"].as_object_mut().unwrap().remove("bin-000.json")),
            "bin-000",
        ),
    ];
    for (what, change, told) in cases {
        let trouble = refused(what, attack(change));
        assert!(trouble.reason.contains(told), "{what}: {trouble}");
    }
    // Another one of the same version is not looked at: what is known stays.
    let site = seen();
    let known = site.trusted.files();
    let mut forged = Forged::of(&site);
    forged.timestamp["meta"]["snapshot.json"]["version"] = 100.into();
    forged.pins = false;
    let (timestamp, online) = (forged.timestamp, site.online());
    fs::write(site.file("timestamp.json"), signed(&timestamp, &[&online]).unwrap()).unwrap();
    assert_eq!(site.open().unwrap().version(), 2);
    assert_eq!(site.trusted.files(), known);
}

#[test]
fn well_signed_metadata_under_another_number() {
    for (what, change) in [
        ("a snapshot", (|it| it.snapshot["version"] = 9.into()) as Forgery),
        ("targets", |it| it.targets["version"] = 9.into()),
    ] {
        refused(what, |site| {
            let mut forged = Forged::next(site);
            let online = site.online();
            // It is vouched for as the third, and says that it is the ninth.
            let (snapshot, targets) = (number(&forged.snapshot), number(&forged.targets));
            change(&mut forged);
            let targets_bytes = signed(&forged.targets, &[&online]).unwrap();
            let pin = |version: u64, bytes: &[u8]| {
                let FileRecord { sha256, size } = FileRecord::of(bytes);
                json!({ "version": version, "length": size, "hashes": { "sha256": sha256 } })
            };
            forged.snapshot["meta"]["targets.json"] = pin(targets, &targets_bytes);
            let snapshot_bytes = signed(&forged.snapshot, &[&online]).unwrap();
            forged.timestamp["meta"]["snapshot.json"] = pin(snapshot, &snapshot_bytes);
            fs::write(site.file(&format!("{targets}.targets.json")), targets_bytes).unwrap();
            fs::write(site.file(&format!("{snapshot}.snapshot.json")), snapshot_bytes).unwrap();
            fs::write(site.file("timestamp.json"), signed(&forged.timestamp, &[&online]).unwrap()).unwrap();
        });
    }
    refused("a root", |site| site.next_root(3, |root| root["version"] = 3.into()));
    // A snapshot and targets of another digest than is vouched for.
    for role in ["snapshot", "targets"] {
        let trouble = refused(role, |site| {
            let online = site.online();
            Forged::next(site).write(site, &[&online]);
            let mut other = Forged::of(site);
            let changed = if role == "snapshot" { &mut other.snapshot } else { &mut other.targets };
            changed["x-other"] = 1.into();
            let path = site.file(&format!("{}.{role}.json", number(changed)));
            fs::write(path, signed(changed, &[&online]).unwrap()).unwrap();
        });
        assert!(trouble.reason.contains("integrity") || trouble.reason.contains("length"), "{role}: {trouble}");
    }
}

#[test]
fn what_has_expired_is_not_taken_and_what_is_newer_is() {
    for (what, change) in [
        ("a timestamp", (|it| Forged::expire(&mut it.timestamp)) as Forgery),
        ("a snapshot", |it| Forged::expire(&mut it.snapshot)),
        ("targets", |it| Forged::expire(&mut it.targets)),
    ] {
        let trouble = refused(what, |site| {
            let mut forged = Forged::next(site);
            change(&mut forged);
            forged.write(site, &[&site.online()]);
        });
        assert!(trouble.reason.contains("expired"), "{what}: {trouble}");
    }
    let trouble = refused("a root", |site| site.next_root(3, Forged::expire));
    assert!(trouble.reason.contains("expired"), "{trouble}");
    // A bin that has expired vouches for nothing.
    let site = seen();
    let hello = site.only("p", ".hello.json");
    assert!(hello.exists());
    let later = Timestamp::now().checked_add(SignedDuration::from_hours(DAY * 4_000)).unwrap();
    assert!(site.open_at(later).is_err());
    // What is known has expired, and what lies there has not.
    let site = seen();
    site.next_root(3, |root| root["expires"] = in_days(7).into());
    site.open().unwrap();
    site.next_root(3, |root| root["expires"] = in_days(100).into());
    let mut forged = Forged::next(&site);
    forged.timestamp["expires"] = in_days(60).into();
    forged.write(&site, &[&site.online()]);
    let day = |days: i64| Timestamp::now().checked_add(SignedDuration::from_hours(DAY * days)).unwrap();
    site.open_at(day(50)).unwrap();
    assert!(site.open_at(day(61)).is_err());
}

#[test]
fn signatures_are_counted_by_keys() {
    let site = seen();
    let (one, two) = (site.new_key("one"), site.new_key("two"));
    let forge = |signers: &[&KeeperKey], keys: &[&KeeperKey], threshold: usize| {
        let site = seen();
        site.next_root(3, |root| {
            for role in ["snapshot", "targets", "timestamp"] {
                with_keys(root, role, keys, threshold);
            }
        });
        // Bins stay with the key that they had.
        Forged::next(&site).write(&site, signers);
        site.open().map(|reader| reader.version())
    };
    assert_eq!(forge(&[&one, &two], &[&one, &two], 2).unwrap(), 3);
    let stranger = site.new_key("stranger");
    assert_eq!(forge(&[&stranger, &one, &two], &[&one, &two], 2).unwrap(), 3, "a stranger's signature does no harm");
    assert!(forge(&[&one], &[&one, &two], 2).is_err(), "one is not two");
    assert!(forge(&[&one, &stranger], &[&one, &two], 2).is_err());
    assert!(forge(&[&one, &one], &[&one, &two], 2).is_err(), "one signs twice");
    assert!(forge(&[&one, &one], &[&one, &one], 2).is_err(), "one is named twice");
    assert!(forge(&[&one, &two], &[&one, &two], 3).is_err(), "more are asked for than there are");
    assert!(forge(&[&one, &two], &[&one, &two], 0).is_err());
}

#[test]
fn a_key_counts_once_under_whatever_ids() {
    let named_twice = |root: &mut Value, upper: bool| {
        let ids = root["roles"]["root"]["keyids"].as_array().unwrap().clone();
        let mut key = root["keys"][ids[0].as_str().unwrap()].clone();
        if upper {
            key["keyval"]["public"] = key["keyval"]["public"].as_str().unwrap().to_ascii_uppercase().into();
        }
        root["keys"]["again"] = key;
        root["roles"]["root"]["keyids"] = json!([ids[0], "again"]);
    };
    for upper in [false, true] {
        let site = seen();
        site.next_root(3, |root| named_twice(root, upper));
        let why = site.open().unwrap_err().reason;
        assert!(why.contains("names one key under two ids, ") && why.contains("again"), "{why}");
        // Nor is such a root one to begin with.
        let first = fs::read(site.file("2.root.json")).unwrap();
        let why =
            CatalogReader::open(site.place(), &first, TrustedFiles::default(), Timestamp::now()).unwrap_err().reason;
        assert!(why.contains("names one key under two ids, "), "{why}");
    }
}

#[test]
fn roots_follow_each_other() {
    // Signed by enough of the old keys, and by enough of the new ones.
    let site = seen();
    let new = [site.new_key("a"), site.new_key("b")];
    let keys: Vec<&KeeperKey> = new.iter().collect();
    let root = |old: usize, signing: usize, threshold: usize| {
        let site = seen();
        let mut root = Forged::of(&site).root;
        root["version"] = 2.into();
        with_keys(&mut root, "root", &keys, threshold);
        let old_keys = site.root_keys();
        let signers: Vec<&KeeperKey> = old_keys.iter().take(old).chain(keys.iter().copied().take(signing)).collect();
        fs::write(site.file("2.root.json"), signed(&root, &signers).unwrap()).unwrap();
        site.open().is_ok()
    };
    assert!(root(2, 2, 2), "enough of both");
    assert!(root(3, 1, 1), "fewer are asked for from now on");
    assert!(!root(1, 2, 2), "too few old ones");
    assert!(!root(2, 1, 2), "too few new ones");
    assert!(!root(0, 2, 2) && !root(2, 0, 1));
    // One that is left out is missed.
    let site = seen();
    site.next_root(3, |_| ());
    site.next_root(3, |_| ());
    fs::remove_file(site.file("2.root.json")).unwrap();
    assert!(site.open().is_ok(), "nobody knows that there is a third");
    assert!(site.trusted.files().keys().all(|name| !name.contains("3.root")));
}

/// Whoever stole the key that publishes signed versions far in the future: with new keys the catalog begins again where it was.
#[test]
fn stolen_keys_do_not_freeze_a_catalog() {
    let site = seen();
    let mut far = Forged::next(&site);
    for role in [&mut far.targets, &mut far.snapshot, &mut far.timestamp] {
        role["version"] = 1_000.into();
    }
    let before = Forged::of(&site);
    far.write(&site, &[&site.online()]);
    assert_eq!(site.open().unwrap().version(), 1_000);
    let fresh = site.new_key("fresh");
    site.next_root(3, |root| {
        for role in ["snapshot", "targets", "timestamp"] {
            with_keys(root, role, &[&fresh], 1);
        }
    });
    before.write(&site, &[&fresh]);
    assert_eq!(site.open().unwrap().version(), 2);
}

#[test]
fn what_is_not_known_is_passed_over_or_refused() {
    let believed = |change: Forgery| {
        let site = seen();
        let mut forged = Forged::next(&site);
        change(&mut forged);
        forged.write(&site, &[&site.online()]);
        site.open().and_then(|mut reader| reader.document("hello").map(drop))
    };
    // Fields that nobody knows, here and there.
    believed(|it| {
        for role in [&mut it.targets, &mut it.snapshot, &mut it.timestamp] {
            role["x-more"] = json!({ "some": ["thing"] });
        }
    })
    .unwrap();
    // Another generation of the format.
    assert!(believed(|it| it.timestamp["spec_version"] = "2.0.0".into()).is_err());
    // Who may sign bins: a key that is not named there, and a bin that the snapshot does not know.
    let stranger = CatalogSite::new();
    let other = stranger.online();
    let site = seen();
    let mut forged = Forged::next(&site);
    let key = forged.targets["delegations"]["keys"].as_object().unwrap().keys().next().unwrap().clone();
    forged.targets["delegations"]["keys"] = json!({ other.id(): other.public() });
    for role in forged.targets["delegations"]["roles"].as_array_mut().unwrap() {
        assert_eq!(role["keyids"][0], json!(key));
        role["keyids"] = json!([other.id()]);
    }
    forged.write(&site, &[&site.online()]);
    assert!(site.open().unwrap().document("hello").is_err(), "the bin is signed by the old key");
    // A digest of a sort that is not known proves nothing.
    let site = seen();
    let mut forged = Forged::next(&site);
    for file in forged.targets["targets"].as_object_mut().unwrap().values_mut() {
        file["hashes"] = json!({ "md6": "00" });
    }
    forged.write(&site, &[&site.online()]);
    assert!(site.open().and_then(|mut reader| reader.since(None)).is_err());
}

#[test]
fn first_roots_that_are_none() {
    let site = CatalogSite::new();
    site.publish(&[("hello", "1.0.0")]).unwrap();
    let root = said(&site.file("1.root.json"));
    let keys = site.root_keys();
    let open = |bytes: &[u8]| {
        CatalogReader::open(site.place(), bytes, TrustedFiles::default(), Timestamp::now())
            .map(|reader| reader.version())
    };
    let all: Vec<&KeeperKey> = keys.iter().collect();
    assert_eq!(open(&signed(&root, &all).unwrap()).unwrap(), 2);
    assert!(open(b"{}").is_err() && open(b"").is_err());
    assert!(open(&signed(&root, &all[..1]).unwrap()).is_err(), "one of two");
    assert!(open(&signed(&root, &[]).unwrap()).is_err());
    assert!(open(&signed(&said(&site.file("timestamp.json")), &all).unwrap()).is_err(), "another type");
}
