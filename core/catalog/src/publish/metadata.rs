//! The metadata of The Update Framework, as a catalog writes it. Pure.

use super::keys::KeeperKey;
use crate::package::FileRecord;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const SPEC: &str = "1.0.31";

/// So long a day is.
const DAY: i64 = 86_400;

/// The end of so many days from a time, to the second.
pub(crate) fn after(now: Timestamp, days: u32) -> String {
    let end = now.saturating_add(SignedDuration::from_secs(i64::from(days) * DAY)).unwrap_or(Timestamp::MAX);
    Timestamp::from_second(end.as_second()).unwrap_or(end).to_string()
}

fn pinned(file: &FileRecord) -> Value {
    json!({ "length": file.size, "hashes": { "sha256": file.sha256 } })
}

fn keys_by_id<'a>(keys: impl IntoIterator<Item = &'a KeeperKey>) -> Map<String, Value> {
    keys.into_iter().map(|key| (key.id(), key.public())).collect()
}

/// Who may say what.
pub(crate) fn root(version: u64, expires: &str, roots: &[&KeeperKey], threshold: usize, online: &KeeperKey) -> Value {
    let root_ids: Vec<String> = roots.iter().map(|key| key.id()).collect();
    let other = json!({ "keyids": [online.id()], "threshold": 1 });
    json!({
        "_type": "root", "spec_version": SPEC, "version": version, "expires": expires, "consistent_snapshot": true,
        "keys": keys_by_id(roots.iter().copied().chain([online])),
        "roles": {
            "root": { "keyids": root_ids, "threshold": threshold },
            "timestamp": other, "snapshot": other, "targets": other,
        },
    })
}

/// The newest snapshot.
pub(crate) fn timestamp(version: u64, expires: &str, snapshot: (u64, &FileRecord)) -> Value {
    let mut pin = pinned(snapshot.1);
    pin["version"] = snapshot.0.into();
    json!({ "_type": "timestamp", "spec_version": SPEC, "version": version, "expires": expires, "meta": { "snapshot.json": pin } })
}

/// Which versions of all roles belong together.
pub(crate) fn snapshot(version: u64, expires: &str, roles: &BTreeMap<String, (u64, FileRecord)>) -> Value {
    let pin = |(version, file): &(u64, FileRecord)| {
        let mut pin = pinned(file);
        pin["version"] = (*version).into();
        pin
    };
    let meta: Map<String, Value> = roles.iter().map(|(role, of)| (format!("{role}.json"), pin(of))).collect();
    json!({ "_type": "snapshot", "spec_version": SPEC, "version": version, "expires": expires, "meta": meta })
}

/// Files. At the top, who may say what of the rest: so many bins.
pub(crate) fn targets(
    version: u64,
    expires: &str,
    files: &BTreeMap<String, FileRecord>,
    bins: Option<(u32, &KeeperKey)>,
) -> Value {
    let files: Map<String, Value> = files.iter().map(|(path, file)| (path.clone(), pinned(file))).collect();
    let mut metadata =
        json!({ "_type": "targets", "spec_version": SPEC, "version": version, "expires": expires, "targets": files });
    if let Some((bins, key)) = bins {
        let role = |bin: u32| {
            let prefixes: Vec<String> = prefixes(bin, bins);
            json!({
                "name": bin_name(bin), "keyids": [key.id()], "threshold": 1, "terminating": true,
                "path_hash_prefixes": prefixes,
            })
        };
        let roles: Vec<Value> = (0..bins).map(role).collect();
        metadata["delegations"] = json!({ "keys": keys_by_id([key]), "roles": roles });
    }
    metadata
}

/// What a bin is called.
pub(crate) fn bin_name(bin: u32) -> String {
    format!("bin-{bin:03x}")
}

/// So many leading hexadecimal digits tell bins apart.
fn digits(bins: u32) -> usize {
    match bins {
        0..=1 => 1,
        2..=16 => 1,
        17..=256 => 2,
        _ => 3,
    }
}

/// What the digests of paths in a bin begin with. Bins are a power of two, so all have equally many.
fn prefixes(bin: u32, bins: u32) -> Vec<String> {
    let digits = digits(bins);
    let each = 16_u32.pow(digits as u32) / bins.max(1);
    (bin * each..(bin + 1) * each).map(|prefix| format!("{prefix:0digits$x}")).collect()
}

/// In which bin a path is.
pub(crate) fn bin_of(path: &str, bins: u32) -> u32 {
    let digest = camlock_policy::Digest::of(path.as_bytes()).hex();
    let digits = digits(bins);
    let prefix = u32::from_str_radix(&digest[..digits], 16).unwrap_or_default();
    prefix / (16_u32.pow(digits as u32) / bins.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_is_in_one_bin_and_that_is_the_one_that_may_have_it() {
        for bins in [1, 4, 16, 64, 256, 1024] {
            let mut all: Vec<String> = (0..bins).flat_map(|bin| prefixes(bin, bins)).collect();
            let whole = all.len();
            all.sort();
            all.dedup();
            assert_eq!((all.len(), whole), (16_usize.pow(digits(bins) as u32), whole), "{bins}");
            for path in ["p/hello.json", "p/kv-store.json", "p/other.json"] {
                let digest = camlock_policy::Digest::of(path.as_bytes()).hex();
                assert!(prefixes(bin_of(path, bins), bins).iter().any(|prefix| digest.starts_with(prefix)));
            }
        }
    }
}
