//! The keys of those who keep a catalog: Ed25519, each in a file of its own, for its owner alone.

use crate::{
    CatalogTrouble,
    keep::{read_bounded, write_secret},
    trouble::of_file,
};
use data_encoding::{BASE64, HEXLOWER};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use sigstore_tuf::canonical_json::to_canonical_bytes;
use std::{fmt, fs, path::Path};

/// A key that signs metadata.
pub(crate) struct KeeperKey {
    pair: Ed25519KeyPair,
}

impl fmt::Debug for KeeperKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("KeeperKey").field("id", &self.id()).finish_non_exhaustive()
    }
}

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----\n";
const END: &str = "\n-----END PRIVATE KEY-----\n";

impl KeeperKey {
    /// Makes one, at a path that is free.
    pub(crate) fn generate(path: &Path) -> Result<Self, CatalogTrouble> {
        let failed = |_| CatalogTrouble::unavailable("the system gives no random bytes: no key can be made");
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(failed)?;
        write_secret(path, format!("{BEGIN}{}{END}", BASE64.encode(pkcs8.as_ref())).as_bytes())?;
        KeeperKey::read(path)
    }

    /// Reads one.
    pub(crate) fn read(path: &Path) -> Result<Self, CatalogTrouble> {
        let text = read_bounded(path, 4096)?;
        let read = || {
            let text = std::str::from_utf8(&text).ok()?.strip_prefix(BEGIN)?.strip_suffix(END)?;
            Ed25519KeyPair::from_pkcs8(&BASE64.decode(text.as_bytes()).ok()?).ok()
        };
        let pair = read().ok_or_else(|| {
            CatalogTrouble::unfit(format!("{} holds no key that `camlock catalog init` made", path.display()))
        })?;
        Ok(KeeperKey { pair })
    }

    /// All in a folder.
    pub(crate) fn all(folder: &Path) -> Result<Vec<Self>, CatalogTrouble> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(of_file("read", folder))? {
            let path = entry.map_err(of_file("read", folder))?.path();
            if path.extension().is_some_and(|extension| extension == "key") {
                paths.push(path);
            }
        }
        paths.sort();
        paths.iter().map(|path| KeeperKey::read(path)).collect()
    }

    /// As metadata names it.
    pub(crate) fn public(&self) -> Value {
        let public = HEXLOWER.encode(self.pair.public_key().as_ref());
        json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": public } })
    }

    /// What it is known by.
    pub(crate) fn id(&self) -> String {
        camlock_policy::Digest::of(&to_canonical_bytes(&self.public()).unwrap_or_default()).hex()
    }

    fn sign(&self, bytes: &[u8]) -> String {
        HEXLOWER.encode(self.pair.sign(bytes).as_ref())
    }
}

/// Metadata with the signatures of these keys.
pub(crate) fn signed(metadata: &Value, keys: &[&KeeperKey]) -> Result<Vec<u8>, CatalogTrouble> {
    let bytes = to_canonical_bytes(metadata)
        .map_err(|error| CatalogTrouble::unfit(format!("the metadata cannot be signed: {error}")))?;
    let signatures: Vec<Value> = keys.iter().map(|key| json!({ "keyid": key.id(), "sig": key.sign(&bytes) })).collect();
    Ok(serde_json::to_vec(&json!({ "signatures": signatures, "signed": metadata })).unwrap_or_default())
}
