//! A forge, asked in few calls: GitHub, or one that answers like it.
//!
//! Everything it answers is taken as what a stranger says. What must not live here: what a manifest must say, and what is kept.

mod budget;
mod client;
mod download;
mod graphql;
mod rest;

pub(crate) use rest::PageSeen;

use crate::{known::KnownRepository, settings::DiscoverySettings, trouble::ForgeError};
use client::ForgeClient;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

/// So many pages of repositories are read at most.
const MOST_PAGES: usize = 200;

/// A repository, as it was just seen.
#[derive(Debug)]
pub(crate) struct SeenRepository {
    pub(crate) id: Option<u64>,
    pub(crate) owner: String,
    pub(crate) name: String,
    pub(crate) release: Result<SeenRelease, ForgeError>,
    /// What the forge wants to be shown the next time, by what was asked.
    pub(crate) tags: BTreeMap<String, String>,
}

/// Its latest release.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SeenRelease {
    None,
    /// It is what is known already, and so is the manifest.
    Unchanged,
    Found {
        tag: String,
        commit: Option<String>,
        manifest: SeenManifest,
    },
}

/// The manifest at that release.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SeenManifest {
    None,
    /// What is known already.
    Unchanged,
    File {
        file: String,
        oid: String,
        content: FileContent,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FileContent {
    Text(Vec<u8>),
    TooLarge(u64),
    /// A folder, a link, a binary file.
    NoText(&'static str),
}

/// All repositories of an organisation that anybody may see.
pub(crate) struct SeenAll {
    pub(crate) repositories: Vec<SeenRepository>,
    /// Pages of the list, if they are worth keeping.
    pub(crate) pages: Vec<PageSeen>,
}

/// What is known of an organisation already.
pub(crate) struct KnownAlready<'a> {
    pub(crate) repositories: &'a BTreeMap<String, KnownRepository>,
    pub(crate) pages: &'a [PageSeen],
}

/// A forge.
pub(crate) struct Forge {
    client: ForgeClient,
    manifests: Vec<String>,
    /// It was found not to speak GraphQL.
    without_graphql: AtomicBool,
}

impl Forge {
    pub(crate) fn new(settings: &DiscoverySettings) -> Result<Self, String> {
        let client = ForgeClient::new(settings)?;
        // GraphQL is for those who say who they are.
        let without_graphql = AtomicBool::new(settings.token.is_none());
        Ok(Forge { client, manifests: settings.manifests.clone(), without_graphql })
    }

    /// Questions so far, and those that were answered with "not modified".
    pub(crate) fn counts(&self) -> (u64, u64) {
        self.client.counts()
    }

    /// Looks at all repositories. One that cannot be looked at does not hinder the others.
    pub(crate) async fn all(&self, organization: &str, known: KnownAlready<'_>) -> Result<SeenAll, ForgeError> {
        if !self.without_graphql.load(Ordering::Relaxed) {
            match graphql::all(&self.client, &self.manifests, organization, known.repositories).await {
                Err(ForgeError::NotSpoken(why)) => self.goes_without_graphql(&why),
                done => return done.map(|repositories| SeenAll { repositories, pages: Vec::new() }),
            }
        }
        rest::all(&self.client, &self.manifests, organization, known).await
    }

    /// Looks at one repository.
    pub(crate) async fn one(
        &self,
        owner: &str,
        name: &str,
        known: Option<&KnownRepository>,
    ) -> Result<SeenRepository, ForgeError> {
        if !self.without_graphql.load(Ordering::Relaxed) {
            match graphql::one(&self.client, &self.manifests, owner, name).await {
                Err(ForgeError::NotSpoken(why)) => self.goes_without_graphql(&why),
                done => return done,
            }
        }
        rest::one(&self.client, &self.manifests, owner, name, known).await
    }

    /// What a repository holds at a commit or a tag: a `.tar.gz` of so many bytes at most.
    pub(crate) async fn archive(
        &self,
        owner: &str,
        name: &str,
        reference: &str,
        most: u64,
    ) -> Result<Vec<u8>, ForgeError> {
        // GitHub's words, and Gitea's.
        let file = format!("{reference}.tar.gz");
        for (word, reference) in [("tarball", reference), ("archive", &*file)] {
            let place = self.client.place(&["repos", owner, name, word, reference]);
            if let Some(archive) = self.client.download(&place, most).await? {
                return Ok(archive);
            }
        }
        Err(ForgeError::NotUnderstood(format!("the forge has no archive of {owner}/{name} at {reference}")))
    }

    fn goes_without_graphql(&self, why: &str) {
        tracing::info!(component = "plugin-discovery", "the forge is asked without GraphQL from now on: {why}");
        self.without_graphql.store(true, Ordering::Relaxed);
    }
}
