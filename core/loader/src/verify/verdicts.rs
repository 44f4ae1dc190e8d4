//! Verdicts that are kept, by digest, the plugin's variables, host ABI and verifier version.

use super::{VERSION, Verdict};
use crate::{random, stage::remove_old_temporaries};
use camlock_policy::Digest;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::PathBuf,
};

/// A directory of verdicts.
#[derive(Clone, Debug)]
pub(super) struct Verdicts(PathBuf);

/// What a verdict is on.
pub(super) struct Key {
    digest: Digest,
    /// Empty, or a hash of the plugin's variables: what they say is kept in the settings alone.
    variables: String,
}

impl Key {
    /// `variables` is empty where there are none.
    pub(super) fn new(digest: Digest, variables: &str) -> Self {
        let hash = || format!("-env{}", &Digest::of(variables.as_bytes()).hex()[..16]);
        Key { digest, variables: if variables.is_empty() { String::new() } else { hash() } }
    }
}

impl Verdicts {
    pub(super) fn at(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        remove_old_temporaries(&dir);
        Ok(Verdicts(dir))
    }

    fn path(&self, Key { digest, variables }: &Key) -> PathBuf {
        self.0.join(format!("{}{variables}-abi{}-v{VERSION}.json", digest.hex(), camlock_abi::ABI))
    }

    /// A verdict that was kept; one that cannot be read is none.
    pub(super) fn get(&self, key: &Key) -> Option<Verdict> {
        serde_json::from_slice(&fs::read(self.path(key)).ok()?).ok()
    }

    /// Keeps a verdict. That it could not be kept costs a millisecond next time, nothing else.
    pub(super) fn put(&self, key: &Key, verdict: &Verdict) {
        let kept = || -> io::Result<()> {
            let temporary = self.0.join(format!(".{}", random::name()?));
            let written = serde_json::to_vec(verdict)
                .map_err(io::Error::from)
                .and_then(|text| File::create_new(&temporary)?.write_all(&text))
                .and_then(|()| fs::rename(&temporary, self.path(key)));
            if written.is_err() {
                let _ = fs::remove_file(&temporary);
            }
            written
        };
        if let Err(error) = kept() {
            tracing::warn!(digest = %key.digest, %error, "a verdict could not be kept");
        }
    }
}
