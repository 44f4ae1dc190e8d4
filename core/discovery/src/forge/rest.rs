//! REST: the list in pages, then each repository's release and manifest; with ETags, so that what has not changed is not counted.

use super::{
    FileContent, KnownAlready, MOST_PAGES, SeenAll, SeenManifest, SeenRelease, SeenRepository,
    client::{ForgeAnswer, ForgeClient, ForgeQuestion, words},
};
use crate::{known::KnownRepository, manifest::LARGEST_MANIFEST, trouble::ForgeError};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use url::Url;

/// So many repositories are looked at at once.
const AT_ONCE: usize = 8;
/// What the release is asked for under.
const RELEASE: &str = "release";

/// A page of the list, as it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PageSeen {
    place: String,
    tag: String,
    next: Option<String>,
    repositories: Vec<ListedRepository>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ListedRepository {
    id: Option<u64>,
    name: String,
    #[serde(default)]
    private: bool,
    #[serde(default)]
    disabled: bool,
    owner: ListedOwner,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ListedOwner {
    login: String,
}

#[derive(Deserialize)]
struct ListedRelease {
    tag_name: String,
    #[serde(default)]
    draft: bool,
}

#[derive(Deserialize)]
struct ListedContent {
    #[serde(rename = "type")]
    kind: String,
    sha: String,
    size: u64,
    content: Option<String>,
    encoding: Option<String>,
}

pub(super) async fn all(
    client: &ForgeClient,
    manifests: &[String],
    organization: &str,
    known: KnownAlready<'_>,
) -> Result<SeenAll, ForgeError> {
    let pages = match list(client, client.place(&["orgs", organization, "repos"]), known.pages).await? {
        Some(pages) => pages,
        // Who is no organisation may be a person.
        None => list(client, client.place(&["users", organization, "repos"]), known.pages)
            .await?
            .ok_or_else(|| ForgeError::RepositoryNotFound(format!("organisation `{}`", words(organization))))?,
    };
    let mut names = BTreeSet::new();
    let listed: Vec<ListedRepository> = pages
        .iter()
        .flat_map(|page| page.repositories.iter().cloned())
        .filter(|listed| !listed.private && !listed.disabled)
        .filter(|listed| names.insert((listed.owner.login.clone(), listed.name.clone())))
        .collect();
    let looks = listed.into_iter().map(|listed| {
        let known = known.repositories.get(&listed.name);
        look(client, manifests, listed, known)
    });
    let repositories = stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
    Ok(SeenAll { repositories, pages: pages.into_iter().filter(|page| !page.tag.is_empty()).collect() })
}

pub(super) async fn one(
    client: &ForgeClient,
    manifests: &[String],
    owner: &str,
    name: &str,
    known: Option<&KnownRepository>,
) -> Result<SeenRepository, ForgeError> {
    let none = || ForgeError::RepositoryNotFound(format!("{}/{}", words(owner), words(name)));
    let place = client.place(&["repos", owner, name]);
    let ForgeAnswer::Found { document, .. } = client.ask(ForgeQuestion::Get(&place, None)).await? else {
        return Err(none());
    };
    let listed: ListedRepository = understood(&place, document)?;
    if listed.private || listed.disabled {
        return Err(none());
    }
    Ok(look(client, manifests, listed, known).await)
}

/// All pages; none if there is no such list.
async fn list(client: &ForgeClient, first: Url, known: &[PageSeen]) -> Result<Option<Vec<PageSeen>>, ForgeError> {
    let mut place = first.clone();
    // Gitea's word for it is `limit`.
    place.query_pairs_mut().append_pair("per_page", "100").append_pair("limit", "100");
    let mut pages: Vec<PageSeen> = Vec::new();
    let mut places = BTreeSet::new();
    while places.insert(place.clone()) {
        if pages.len() == MOST_PAGES {
            return Err(ForgeError::NotUnderstood(format!("{first} has more than {MOST_PAGES} pages")));
        }
        let known = known.iter().find(|page| page.place == place.as_str());
        let page = match client.ask(ForgeQuestion::Get(&place, known.map(|page| page.tag.as_str()))).await? {
            ForgeAnswer::Missing if pages.is_empty() => return Ok(None),
            ForgeAnswer::Missing => {
                return Err(ForgeError::NotUnderstood(format!("{place} is no page, though it was named")));
            }
            ForgeAnswer::NotModified => known.cloned().ok_or_else(|| {
                ForgeError::NotUnderstood(format!("{place} has not changed, though nothing is known of it"))
            })?,
            ForgeAnswer::Found { document, tag, next } => PageSeen {
                place: place.to_string(),
                tag: tag.unwrap_or_default(),
                next: next.map(Into::into),
                repositories: understood(&place, document)?,
            },
        };
        let next = page.next.clone();
        pages.push(page);
        match next.map(|next| Url::parse(&next)) {
            None => return Ok(Some(pages)),
            Some(Ok(next)) if client.is_own(&next) => place = next,
            Some(_) => return Err(ForgeError::NotUnderstood(format!("{place} goes on at another server"))),
        }
    }
    Err(ForgeError::NotUnderstood(format!("{first} pages in a circle")))
}

fn understood<T: for<'de> Deserialize<'de>>(place: &Url, document: Value) -> Result<T, ForgeError> {
    let read = serde_json::from_value(document);
    read.map_err(|error| {
        ForgeError::NotUnderstood(format!("{place} answers with something else than was asked: {error}"))
    })
}

async fn look(
    client: &ForgeClient,
    manifests: &[String],
    listed: ListedRepository,
    known: Option<&KnownRepository>,
) -> SeenRepository {
    // Of another repository with that name nothing counts.
    let known = known.filter(|known| known.is_same(listed.id, &listed.owner.login));
    let mut tags = BTreeMap::new();
    let release = release(client, manifests, &listed, known, &mut tags).await;
    SeenRepository { id: listed.id, owner: listed.owner.login, name: listed.name, release, tags }
}

async fn release(
    client: &ForgeClient,
    manifests: &[String],
    listed: &ListedRepository,
    known: Option<&KnownRepository>,
    tags: &mut BTreeMap<String, String>,
) -> Result<SeenRelease, ForgeError> {
    let (owner, name) = (listed.owner.login.as_str(), listed.name.as_str());
    let place = client.place(&["repos", owner, name, "releases", "latest"]);
    let shown = known.and_then(|known| known.tags.get(RELEASE)).cloned();
    let tag = match client.ask(ForgeQuestion::Get(&place, shown.as_deref())).await? {
        ForgeAnswer::Missing => return Ok(SeenRelease::None),
        ForgeAnswer::NotModified => {
            tags.extend(shown.map(|shown| (RELEASE.to_owned(), shown)));
            known.and_then(|known| known.tag.clone()).ok_or_else(|| {
                ForgeError::NotUnderstood(format!("{place} has not changed, though nothing is known of it"))
            })?
        }
        ForgeAnswer::Found { document, tag, .. } => {
            tags.extend(tag.map(|tag| (RELEASE.to_owned(), tag)));
            let release: ListedRelease = understood(&place, document)?;
            if release.draft {
                return Ok(SeenRelease::None);
            }
            release.tag_name
        }
    };
    // A release that is the same has no manifest now either.
    if tags.contains_key(RELEASE) && shown_again(known, tags) && known.is_some_and(KnownRepository::has_no_manifest) {
        return Ok(SeenRelease::Unchanged);
    }
    // At another release nothing of what is known of files counts.
    let known = known.filter(|known| known.tag.as_deref() == Some(tag.as_str()));
    // The file that was there at that release first: for what is missing there is no "not modified".
    let there = known.and_then(|known| known.file.as_ref()).filter(|there| manifests.contains(there));
    for file in there.into_iter().chain(manifests.iter().filter(|file| Some(*file) != there)) {
        let mut place = client.place(&["repos", owner, name, "contents"]);
        if let Ok(mut path) = place.path_segments_mut() {
            path.extend(file.split('/'));
        }
        place.query_pairs_mut().append_pair("ref", &tag);
        let shown = known.and_then(|known| known.tags.get(file)).cloned();
        match client.ask(ForgeQuestion::Get(&place, shown.as_deref())).await? {
            ForgeAnswer::Missing => {}
            ForgeAnswer::NotModified => {
                tags.extend(shown.map(|shown| (file.clone(), shown)));
                return Ok(SeenRelease::Unchanged);
            }
            ForgeAnswer::Found { document, tag: shown, .. } => {
                tags.extend(shown.map(|shown| (file.clone(), shown)));
                let manifest = manifest(&place, file, document)?;
                return Ok(SeenRelease::Found { tag, commit: None, manifest });
            }
        }
    }
    Ok(SeenRelease::Found { tag, commit: None, manifest: SeenManifest::None })
}

/// Whether the release is the one that is known.
fn shown_again(known: Option<&KnownRepository>, tags: &BTreeMap<String, String>) -> bool {
    known.and_then(|known| known.tags.get(RELEASE)) == tags.get(RELEASE)
}

fn manifest(place: &Url, file: &str, document: Value) -> Result<SeenManifest, ForgeError> {
    let file = file.to_owned();
    let none = |oid, what| Ok(SeenManifest::File { file: file.clone(), oid, content: FileContent::NoText(what) });
    if document.is_array() {
        return none(String::new(), "a folder");
    }
    let ListedContent { kind, sha: oid, size, content, encoding } = understood(place, document)?;
    if kind != "file" {
        return none(oid, "a link");
    }
    if size > LARGEST_MANIFEST {
        return Ok(SeenManifest::File { file, oid, content: FileContent::TooLarge(size) });
    }
    let digits: Vec<u8> = content.unwrap_or_default().bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let text = data_encoding::BASE64.decode(&digits).ok().filter(|_| encoding.as_deref() == Some("base64"));
    let text = text.ok_or_else(|| ForgeError::NotUnderstood(format!("{place} gives a content that is no base64")))?;
    Ok(SeenManifest::File { file, oid, content: FileContent::Text(text) })
}
