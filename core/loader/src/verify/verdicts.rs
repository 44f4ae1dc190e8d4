//! Verdicts that are kept, by digest, host ABI and verifier version.

use super::{VERSION, Verdict};
use crate::stage::{remove_old_temporaries, unique};
use camlock_policy::Digest;
use std::{fs, io, path::PathBuf};

/// A directory of verdicts.
#[derive(Clone, Debug)]
pub(super) struct Verdicts(PathBuf);

impl Verdicts {
    pub(super) fn at(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        remove_old_temporaries(&dir);
        Ok(Verdicts(dir))
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.0.join(format!("{}-abi{}-v{VERSION}.json", digest.hex(), camlock_abi::ABI))
    }

    /// A verdict that was kept; one that cannot be read is none.
    pub(super) fn get(&self, digest: Digest) -> Option<Verdict> {
        serde_json::from_slice(&fs::read(self.path(digest)).ok()?).ok()
    }

    /// Keeps a verdict. That it could not be kept costs a millisecond next time, nothing else.
    pub(super) fn put(&self, digest: Digest, verdict: &Verdict) {
        let temporary = self.0.join(format!(".{}-{}", std::process::id(), unique()));
        let kept = serde_json::to_vec(verdict)
            .map_err(io::Error::from)
            .and_then(|text| fs::write(&temporary, text))
            .and_then(|()| fs::rename(&temporary, self.path(digest)));
        if let Err(error) = kept {
            let _ = fs::remove_file(&temporary);
            tracing::warn!(%digest, %error, "a verdict could not be kept");
        }
    }
}
