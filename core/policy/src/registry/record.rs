//! A plugin's record: what operators decided about it, and what is to serve.

use super::Unavailable;
use crate::{Digest, Fingerprint, Grants, Isolation, PluginSource, SealedSecrets, secrets::is_masked};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is on record of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The plugin's name.
    pub name: String,
    /// Whether it comes with a server's program, rather than from a directory.
    pub built_in: bool,
    /// Whether it is wanted.
    pub enabled: bool,
    /// Its configuration: an object, with [`MASK`](crate::MASK) in place of what is secret.
    pub config: serde_json::Value,
    /// What the masks stand for.
    #[serde(default)]
    pub secrets: SealedSecrets,
    /// Where it came from.
    #[serde(default)]
    pub source: PluginSource,
    /// What was granted to it as it came from there, if an operator decided that.
    #[serde(default)]
    pub grants: Option<Grants>,
    /// Where it runs, if an operator decided that.
    #[serde(default)]
    pub isolation: Option<Isolation>,
    /// What is to serve, once that was agreed on. Plugins that are compiled in have no artifact, and no such thing.
    pub agreed: Option<Agreed>,
    /// Counts the times that a new generation was asked for.
    pub reloads: u64,
    /// Its entries are to be moved away. The record goes on, so that no other server brings it back.
    pub removed: bool,
    /// What it kept goes with it, once it is removed.
    #[serde(default)]
    pub purge: bool,
    /// Artifacts that must not serve again, and why.
    pub quarantine: BTreeMap<Digest, String>,
    /// Grows with everything that is decided. Of two records of one plugin the greater is the newer one.
    pub revision: u64,
    /// Its place among all: who came first keeps what two claim.
    pub registered: u64,
}

/// What all servers are to serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    /// What it was built from; none if only the artifact was named, by an operator.
    pub fingerprint: Option<Fingerprint>,
    /// The hash of the artifact's bytes.
    pub digest: Digest,
    /// The version of its package.
    pub version: String,
}

/// A plugin that has no record yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newcomer {
    /// The plugin's name.
    pub name: String,
    /// Whether it is compiled in.
    pub built_in: bool,
    /// Where it lies, below the plugins directory.
    pub path: String,
    /// Whether it is wanted from the beginning.
    pub enabled: bool,
    /// Where it came from.
    pub source: PluginSource,
    /// What is granted to it, if that was decided when it came.
    pub grants: Option<Grants>,
}

/// What an operator, or the supervisor on its own, decides about a plugin. What is not said stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is wanted.
    pub enabled: Option<bool>,
    /// Its new configuration: an object. A mask in it stands for the secret that is on record there, unless there is another one.
    pub config: Option<serde_json::Value>,
    /// Secrets of that configuration that are new.
    pub secrets: SealedSecrets,
    /// Where it came from, and what is granted to it as it came from there, if that was decided with it.
    pub arrival: Option<(PluginSource, Option<Grants>)>,
    /// What is granted to it as it came from where it did.
    pub grants: Option<Grants>,
    /// Where it runs; none: nothing is decided any more.
    pub isolation: Option<Option<Isolation>>,
    /// All servers make a new generation.
    pub reload: bool,
    /// It is removed everywhere.
    pub remove: bool,
    /// With all that it kept.
    pub purge: bool,
    /// This artifact must not serve again, and why.
    pub quarantine: Option<(Digest, String)>,
    /// This artifact may serve again, or all may.
    pub pardon: Option<Pardon>,
}

/// Which artifacts may serve again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pardon {
    /// The artifact with this digest.
    One(Digest),
    /// Every artifact of the plugin.
    All,
}

/// Why something was not decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDecided {
    /// There is no such record.
    #[error("there is no record of `{0}`")]
    Unknown(String),
    /// Somebody else decided something meanwhile.
    #[error("the revision is {0} by now")]
    Outdated(u64),
    /// It cannot be written.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Record {
    /// The record after a decision.
    pub fn take(&mut self, decision: &Decision) {
        let Decision {
            enabled,
            config,
            secrets,
            arrival,
            grants,
            isolation,
            reload,
            remove,
            purge,
            quarantine,
            pardon,
        } = decision;
        self.enabled = enabled.unwrap_or(self.enabled);
        if let Some(config) = config {
            self.config.clone_from(config);
            self.secrets.extend(secrets.clone());
            self.secrets.retain(|pointer, _| is_masked(config, pointer));
        }
        if let Some((source, grants)) = arrival {
            // What was granted to what came from elsewhere is none of its business; what was before to the same, is.
            if self.source != *source || grants.is_some() {
                self.grants.clone_from(grants);
            }
            self.source.clone_from(source);
        }
        if let Some(grants) = grants {
            self.grants = Some(grants.clone());
        }
        self.isolation = isolation.unwrap_or(self.isolation);
        self.reloads += u64::from(*reload);
        self.removed |= *remove;
        self.purge |= *purge;
        match pardon {
            Some(Pardon::One(digest)) => drop(self.quarantine.remove(digest)),
            Some(Pardon::All) => self.quarantine.clear(),
            None => {}
        }
        self.quarantine.extend(quarantine.clone());
    }

    /// A record as it is made for a newcomer.
    pub fn of(newcomer: &Newcomer, revision: u64, registered: u64) -> Self {
        Record {
            name: newcomer.name.clone(),
            built_in: newcomer.built_in,
            enabled: newcomer.enabled,
            config: serde_json::json!({}),
            secrets: SealedSecrets::new(),
            source: newcomer.source.clone(),
            grants: newcomer.grants.clone(),
            isolation: None,
            agreed: None,
            reloads: 0,
            removed: false,
            purge: false,
            quarantine: BTreeMap::new(),
            revision,
            registered,
        }
    }
}
