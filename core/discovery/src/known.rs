//! What is known of each repository, what a look at it changes, and what comes of all of them together. Pure.
//!
//! What must not live here: how a forge is asked, and where this is kept.

use crate::{
    forge::{FileContent, PageSeen, SeenManifest, SeenRelease, SeenRepository},
    manifest::{self, RepositoryFacts, RepositoryManifest},
    trouble::{BrokenRule, DiscoveryError, ForgeError, InvalidManifest, ManifestViolation},
};
use camlock_api::{
    DiscoveredPlugin, DiscoveryFailure, DiscoveryStatistics, DiscoveryTrouble, TroubleWithPlugin, UtcTime,
};
use camlock_policy::manifest::check_name;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

/// What is known of an organisation.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct KnownOrganization {
    pub(crate) organization: String,
    /// Where it is kept counts them.
    pub(crate) revision: u64,
    pub(crate) scan: KnownScan,
    /// By name.
    pub(crate) repositories: BTreeMap<String, KnownRepository>,
}

/// About the last scan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct KnownScan {
    /// What it was made with: what was learned with something else is learned anew.
    pub(crate) made_with: String,
    pub(crate) at: Option<UtcTime>,
    pub(crate) statistics: DiscoveryStatistics,
    /// Why not everything could be looked at.
    pub(crate) incomplete: Option<String>,
    pub(crate) pages: Vec<PageSeen>,
}

/// What is known of a repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct KnownRepository {
    pub(crate) id: Option<u64>,
    pub(crate) owner: String,
    pub(crate) name: String,
    /// Of the latest release.
    pub(crate) tag: Option<String>,
    pub(crate) commit: Option<String>,
    /// The manifest, and the id of its content.
    pub(crate) file: Option<String>,
    pub(crate) oid: Option<String>,
    pub(crate) verdict: RepositoryVerdict,
    /// Since when a plugin of this name is known here.
    pub(crate) since: Option<UtcTime>,
    /// The tag was moved after it was read: what it leads to now is not what was judged.
    pub(crate) moved: Option<String>,
    /// Why it could not be looked at the last time: the rest is what was known before.
    pub(crate) trouble: Option<DiscoveryTrouble>,
    /// What the forge wants to be shown.
    pub(crate) tags: BTreeMap<String, String>,
}

/// What a repository is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RepositoryVerdict {
    NotSeen,
    NoRelease,
    NoManifest,
    Invalid(InvalidManifest),
    Plugin(Box<RepositoryManifest>),
}

impl KnownRepository {
    /// Whether that is the manifest that was judged.
    pub(crate) fn has(&self, owner: &str, tag: &str, file: &str, oid: &str) -> bool {
        let judged = matches!(self.verdict, RepositoryVerdict::Invalid(_) | RepositoryVerdict::Plugin(_));
        judged
            && self.owner == owner
            && self.tag.as_deref() == Some(tag)
            && self.file.as_deref() == Some(file)
            && self.oid.as_deref() == Some(oid)
    }

    /// Whether that is the same repository, and not another one with its name.
    pub(crate) fn is_same(&self, id: Option<u64>, owner: &str) -> bool {
        self.owner == owner && (self.id.is_none() || id.is_none() || self.id == id)
    }

    pub(crate) fn has_no_manifest(&self) -> bool {
        self.verdict == RepositoryVerdict::NoManifest
    }

    pub(crate) fn plugin(&self) -> Option<&RepositoryManifest> {
        match &self.verdict {
            RepositoryVerdict::Plugin(manifest) => Some(manifest),
            _ => None,
        }
    }

    /// What was learned by a look.
    pub(crate) fn learn(before: Option<&KnownRepository>, seen: SeenRepository, now: SystemTime) -> Self {
        let before = before.filter(|before| before.is_same(seen.id, &seen.owner));
        let SeenRepository { id, owner, name, release, tags } = seen;
        let empty = KnownRepository {
            id,
            owner,
            name,
            tag: None,
            commit: None,
            file: None,
            oid: None,
            verdict: RepositoryVerdict::NotSeen,
            since: None,
            moved: None,
            trouble: None,
            tags,
        };
        match release {
            // What was known stays; it is asked for anew.
            Err(error) => KnownRepository {
                trouble: Some(error.trouble()),
                tags: BTreeMap::new(),
                ..before.cloned().unwrap_or(empty)
            },
            Ok(SeenRelease::None) => KnownRepository { verdict: RepositoryVerdict::NoRelease, ..empty },
            Ok(SeenRelease::Unchanged) => match before {
                Some(before) => KnownRepository { trouble: None, tags: empty.tags, ..before.clone() },
                None => empty,
            },
            Ok(SeenRelease::Found { tag, commit, manifest }) => empty.judged(before, tag, commit, manifest, now),
        }
    }

    fn judged(
        self,
        before: Option<&KnownRepository>,
        tag: String,
        commit: Option<String>,
        manifest: SeenManifest,
        now: SystemTime,
    ) -> Self {
        let was_plugin = before.filter(|before| before.plugin().is_some() && before.tag.as_deref() == Some(&tag));
        let is_moved = |commit: &Option<String>, oid: Option<&str>| {
            let before = was_plugin?;
            let commits = before.commit.as_ref().zip(commit.as_ref()).is_some_and(|(before, now)| before != now);
            let contents = oid.is_some_and(|oid| before.oid.as_deref() != Some(oid));
            (commits || contents).then(|| {
                format!("its tag `{tag}` was moved after it was published: what it leads to now is not what was read; publish a new version")
            })
        };
        let (file, oid, content) = match manifest {
            SeenManifest::Unchanged => {
                let Some(before) = before else { return self };
                let moved = before.moved.clone().or_else(|| is_moved(&commit, None));
                let commit = if moved.is_some() { before.commit.clone() } else { commit };
                return KnownRepository { commit, moved, trouble: None, tags: self.tags, ..before.clone() };
            }
            SeenManifest::None if was_plugin.is_none() => {
                return KnownRepository { verdict: RepositoryVerdict::NoManifest, tag: Some(tag), commit, ..self };
            }
            // A tag that had one has none any more.
            SeenManifest::None => (String::new(), String::new(), FileContent::Text(Vec::new())),
            SeenManifest::File { file, oid, content } => (file, oid, content),
        };
        // The first that was read is what counts.
        if let (Some(before), Some(moved)) = (was_plugin, is_moved(&commit, Some(&oid))) {
            return KnownRepository { moved: Some(moved), trouble: None, tags: self.tags, ..before.clone() };
        }
        let facts = RepositoryFacts { owner: self.owner.clone(), name: self.name.clone(), tag: tag.clone() };
        let judged = match content {
            FileContent::Text(text) => manifest::judge(&file, &text, &facts),
            FileContent::TooLarge(bytes) => Err(manifest::too_large(&file, bytes)),
            FileContent::NoText(what) => Err(manifest::no_text(&file, what)),
        };
        let (verdict, since) = match judged {
            Ok(manifest) => {
                let named = |before: &&KnownRepository| before.plugin().is_some_and(|had| had.name == manifest.name);
                let since = before.filter(named).and_then(|before| before.since);
                (RepositoryVerdict::Plugin(Box::new(manifest)), Some(since.unwrap_or(now.into())))
            }
            Err(invalid) => (RepositoryVerdict::Invalid(invalid), None),
        };
        KnownRepository { tag: Some(tag), commit, file: Some(file), oid: Some(oid), verdict, since, ..self }
    }

    /// Its trouble as an error, for who logs it.
    pub(crate) fn error(&self) -> Option<DiscoveryError> {
        match (&self.verdict, &self.trouble) {
            (_, Some(trouble)) => Some(ForgeError::Unreachable(trouble.message.clone()).into()),
            (RepositoryVerdict::Invalid(invalid), None) => Some(invalid.clone().into()),
            _ => None,
        }
    }

    fn view(&self, manifest: &RepositoryManifest) -> DiscoveredPlugin {
        let unfit = check_name(&manifest.name).err().map(|invalid| invalid.to_string());
        let replaced = manifest.replace.as_ref().map(|_| {
            "its manifest has `replace`, which puts one module of Go in the place of another; plugins are crates here".to_owned()
        });
        DiscoveredPlugin {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            owner: self.owner.clone(),
            repository: self.name.clone(),
            source: "community".to_owned(),
            category: manifest.category.clone(),
            description: manifest.description.clone(),
            dependencies: manifest.dependencies.iter().map(|(name, ..)| name.clone()).collect(),
            docs_url: manifest.docs_url.clone(),
            author: manifest.author.clone(),
            license: manifest.license.clone(),
            keywords: manifest.keywords.clone(),
            repository_type: manifest.repository_type.clone(),
            folder: manifest.folder.clone(),
            replace: manifest.replace.clone(),
            commit: self.commit.clone(),
            signed: false,
            cannot_be_installed: unfit
                .or_else(|| self.moved.clone())
                .or(replaced)
                .map(|why| format!("cannot be installed: {why}")),
        }
    }
}

/// What comes of all repositories together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Assembled {
    /// By name.
    pub(crate) plugins: Vec<DiscoveredPlugin>,
    pub(crate) failed: Vec<DiscoveryFailure>,
}

/// Puts them together. `here`: names that are not of these repositories, and may be depended on.
pub(crate) fn assemble(repositories: &BTreeMap<String, KnownRepository>, here: &BTreeSet<String>) -> Assembled {
    let mut failures: BTreeMap<&str, (&KnownRepository, Vec<DiscoveryTrouble>)> = BTreeMap::new();
    let mut plugins: BTreeMap<&str, (&KnownRepository, &RepositoryManifest)> = BTreeMap::new();
    let mut in_order: Vec<&KnownRepository> = repositories.values().collect();
    // A name is whose it was first.
    in_order.sort_by(|one, other| (one.since, one.id, &one.name).cmp(&(other.since, other.id, &other.name)));
    for repository in in_order {
        let mut troubles: Vec<DiscoveryTrouble> = repository.trouble.iter().cloned().collect();
        match &repository.verdict {
            RepositoryVerdict::Invalid(invalid) => troubles.extend(invalid.troubles()),
            RepositoryVerdict::Plugin(manifest) => match plugins.get(manifest.name.as_str()) {
                None => drop(plugins.insert(&manifest.name, (repository, manifest))),
                Some((other, _)) => troubles.push(DiscoveryTrouble {
                    kind: TroubleWithPlugin::InvalidFormat,
                    message: format!("'name' is `{}`, which is taken by {}/{}", manifest.name, other.owner, other.name),
                    file: repository.file.clone(),
                    line: None,
                    column: None,
                }),
            },
            RepositoryVerdict::NotSeen | RepositoryVerdict::NoRelease | RepositoryVerdict::NoManifest => {}
        }
        if !troubles.is_empty() {
            failures.insert(&repository.name, (repository, troubles));
        }
    }
    // Who depends on one that falls out falls out too.
    loop {
        let names: BTreeSet<&str> = plugins.keys().copied().collect();
        let lacking: Vec<_> = plugins
            .values()
            .filter_map(|(repository, manifest)| {
                let missing =
                    manifest.dependencies.iter().filter(|(name, ..)| !names.contains(&**name) && !here.contains(name));
                let violations: Vec<_> = missing
                    .map(|(name, line, column)| ManifestViolation {
                        rule: BrokenRule::InvalidDependency,
                        line: *line,
                        column: *column,
                        message: format!("'dependencies' has `{name}`, and there is no plugin of that name"),
                    })
                    .collect();
                let invalid = InvalidManifest { file: repository.file.clone().unwrap_or_default(), violations };
                (!invalid.violations.is_empty()).then_some((*repository, manifest.name.as_str(), invalid.troubles()))
            })
            .collect();
        if lacking.is_empty() {
            break;
        }
        for (repository, name, troubles) in lacking {
            plugins.remove(name);
            failures.entry(&repository.name).or_insert((repository, Vec::new())).1.extend(troubles);
        }
    }
    let failure = |(repository, errors): (&KnownRepository, Vec<DiscoveryTrouble>)| DiscoveryFailure {
        owner: repository.owner.clone(),
        repository: repository.name.clone(),
        errors,
    };
    Assembled {
        plugins: plugins.into_values().map(|(repository, manifest)| repository.view(manifest)).collect(),
        failed: failures.into_values().map(failure).collect(),
    }
}
