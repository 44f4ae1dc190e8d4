//! What a root must hold to beside its signatures: one key counts once, so it has one id. Pure. What must not live here: signatures, and how
//! many are enough.

use serde_json::Value;
use std::collections::BTreeMap;

/// Whether a file of metadata is a root.
pub(super) fn is_root(file: &str) -> bool {
    file == "root.json" || file.ends_with(".root.json")
}

/// Refuses a root that names one key under two ids: thresholds are counted by ids. What is no root at all is found out by whoever reads it.
pub(super) fn check_ids(root: &[u8]) -> Result<(), String> {
    let root: Value = serde_json::from_slice(root).unwrap_or_default();
    let mut ids = BTreeMap::new();
    for (id, key) in root["signed"]["keys"].as_object().into_iter().flatten() {
        let Some(public) = key["keyval"]["public"].as_str() else { continue };
        // However it is written.
        let public: String = public.split_whitespace().collect::<String>().to_ascii_lowercase();
        if let Some(other) = ids.insert(public, id) {
            return Err(format!("its root names one key under two ids, {other} and {id}: it would count twice"));
        }
    }
    Ok(())
}
