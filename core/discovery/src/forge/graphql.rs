//! GraphQL: a page of a hundred repositories with their releases and the ids of their manifests; then the texts of those that
//! changed, many at once.

use super::{
    FileContent, MOST_PAGES, SeenManifest, SeenRelease, SeenRepository,
    client::{ForgeAnswer, ForgeClient, ForgeQuestion, words},
};
use crate::{known::KnownRepository, manifest::LARGEST_MANIFEST, trouble::ForgeError};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

/// So many texts are asked for at once.
const TEXTS: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RepositoryNode {
    database_id: Option<u64>,
    name: String,
    #[serde(default)]
    is_private: bool,
    #[serde(default)]
    is_disabled: bool,
    owner: OwnerNode,
    latest_release: Option<ReleaseNode>,
}

#[derive(Deserialize)]
struct OwnerNode {
    login: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReleaseNode {
    tag_name: String,
    /// With the manifests as `m0`, `m1`, …
    tag_commit: Option<BTreeMap<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlobNode {
    oid: Option<String>,
    byte_size: Option<u64>,
    #[serde(default)]
    is_binary: Option<bool>,
}

/// What is asked of each repository.
fn fields(manifests: &[String]) -> String {
    let mut files = String::new();
    for (number, file) in manifests.iter().enumerate() {
        let file = json!(file);
        let _ =
            write!(files, "m{number}: file(path: {file}) {{ object {{ ... on Blob {{ oid byteSize isBinary }} }} }} ");
    }
    format!(
        "databaseId name isPrivate isDisabled owner {{ login }} \
         latestRelease {{ tagName tagCommit {{ oid {files}}} }}"
    )
}

pub(super) async fn all(
    client: &ForgeClient,
    manifests: &[String],
    organization: &str,
    known: &BTreeMap<String, KnownRepository>,
) -> Result<Vec<SeenRepository>, ForgeError> {
    let query = format!(
        "query($owner: String!, $after: String) {{ repositoryOwner(login: $owner) {{ \
         repositories(first: 100, after: $after, ownerAffiliations: OWNER, privacy: PUBLIC) {{ \
         pageInfo {{ hasNextPage endCursor }} nodes {{ {} }} }} }} }}",
        fields(manifests)
    );
    let mut seen = Vec::new();
    let mut ids = BTreeSet::new();
    let mut cursors = BTreeSet::new();
    let mut after: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let data =
            ask(client, &json!({ "query": query, "variables": { "owner": organization, "after": after } })).await?;
        let owner = &data["repositoryOwner"];
        if owner.is_null() {
            return Err(ForgeError::RepositoryNotFound(format!("organisation `{}`", words(organization))));
        }
        let page = &owner["repositories"];
        let nodes = page["nodes"].as_array().ok_or_else(|| no_page(client))?;
        for node in nodes {
            // A node that is null is in `errors`, which is told once for all.
            let Ok(node) = RepositoryNode::deserialize(node) else { continue };
            // A list that changes while it is read may have one twice.
            if !node.is_private && !node.is_disabled && ids.insert((node.owner.login.clone(), node.name.clone())) {
                seen.push(repository(node, manifests));
            }
        }
        if page["pageInfo"]["hasNextPage"] != json!(true) {
            texts(client, &mut seen, known).await?;
            return Ok(seen);
        }
        let cursor = page["pageInfo"]["endCursor"].as_str().ok_or_else(|| no_page(client))?;
        if !cursors.insert(cursor.to_owned()) {
            return Err(ForgeError::NotUnderstood(format!("{} pages in a circle", client.graphql)));
        }
        after = Some(cursor.to_owned());
    }
    Err(ForgeError::NotUnderstood(format!("{} has more than {MOST_PAGES} pages", client.graphql)))
}

pub(super) async fn one(
    client: &ForgeClient,
    manifests: &[String],
    owner: &str,
    name: &str,
) -> Result<SeenRepository, ForgeError> {
    let query = format!(
        "query($owner: String!, $name: String!) {{ repository(owner: $owner, name: $name) {{ {} }} }}",
        fields(manifests)
    );
    let data = ask(client, &json!({ "query": query, "variables": { "owner": owner, "name": name } })).await?;
    let none = || ForgeError::RepositoryNotFound(format!("{}/{}", words(owner), words(name)));
    let node = RepositoryNode::deserialize(&data["repository"]).map_err(|_| none())?;
    if node.is_private || node.is_disabled {
        return Err(none());
    }
    let mut seen = [repository(node, manifests)];
    texts(client, &mut seen, &BTreeMap::new()).await?;
    let [seen] = seen;
    Ok(seen)
}

fn no_page(client: &ForgeClient) -> ForgeError {
    ForgeError::NotUnderstood(format!("{} answers with something that is no page of repositories", client.graphql))
}

/// Without the manifest's text yet.
fn repository(node: RepositoryNode, manifests: &[String]) -> SeenRepository {
    let release = match node.latest_release {
        None => SeenRelease::None,
        Some(release) => {
            let at = release.tag_commit.unwrap_or_default();
            let commit = at.get("oid").and_then(Value::as_str).map(str::to_owned);
            let found = manifests.iter().enumerate().find_map(|(number, file)| {
                let entry = at.get(&format!("m{number}")).filter(|entry| !entry.is_null())?;
                let blob = BlobNode::deserialize(&entry["object"]).ok();
                Some((file, blob))
            });
            let manifest = match found {
                None => SeenManifest::None,
                Some((file, blob)) => manifest(file, blob),
            };
            SeenRelease::Found { tag: release.tag_name, commit, manifest }
        }
    };
    let (id, owner, name) = (node.database_id, node.owner.login, node.name);
    SeenRepository { id, owner, name, release: Ok(release), tags: BTreeMap::new() }
}

fn manifest(file: &str, blob: Option<BlobNode>) -> SeenManifest {
    let size = blob.as_ref().and_then(|blob| blob.byte_size).unwrap_or(0);
    let binary = blob.as_ref().is_some_and(|blob| blob.is_binary == Some(true));
    let oid = blob.and_then(|blob| blob.oid);
    let content = match &oid {
        None => FileContent::NoText("a folder or a link"),
        Some(_) if size > LARGEST_MANIFEST => FileContent::TooLarge(size),
        Some(_) if binary => FileContent::NoText("binary"),
        // It is asked for by its id.
        Some(_) => FileContent::Text(Vec::new()),
    };
    SeenManifest::File { file: file.to_owned(), oid: oid.unwrap_or_default(), content }
}

/// Asks for the texts that are not known, many at once.
async fn texts(
    client: &ForgeClient,
    seen: &mut [SeenRepository],
    known: &BTreeMap<String, KnownRepository>,
) -> Result<(), ForgeError> {
    let mut wanted = Vec::new();
    for (number, repository) in seen.iter_mut().enumerate() {
        let Ok(SeenRelease::Found { tag, manifest, .. }) = &mut repository.release else { continue };
        let SeenManifest::File { file, oid, content: FileContent::Text(_) } = &*manifest else { continue };
        if known.get(&repository.name).is_some_and(|known| known.has(&repository.owner, tag, file, oid)) {
            *manifest = SeenManifest::Unchanged;
        } else {
            wanted.push((number, oid.clone()));
        }
    }
    for some in wanted.chunks(TEXTS) {
        let mut query = "query {".to_owned();
        for (number, oid) in some {
            let (owner, name) = (json!(seen[*number].owner), json!(seen[*number].name));
            let _ = write!(
                query,
                " r{number}: repository(owner: {owner}, name: {name}) {{ object(oid: {}) {{ ... on Blob {{ text }} }} }}",
                json!(oid)
            );
        }
        query.push_str(" }");
        let answer = ask(client, &json!({ "query": query })).await;
        for (number, _) in some {
            let text = match &answer {
                Ok(data) => data[format!("r{number}")]["object"]["text"].as_str().map(str::to_owned).ok_or_else(|| {
                    ForgeError::NotUnderstood("the forge does not give the text of the manifest".to_owned())
                }),
                Err(error) => Err(error.clone()),
            };
            let release = &mut seen[*number].release;
            match (text, &mut *release) {
                (Ok(text), Ok(SeenRelease::Found { manifest: SeenManifest::File { content, .. }, .. })) => {
                    *content = FileContent::Text(text.into_bytes());
                }
                (Err(error), _) => *release = Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Asks for data. What is lacking in it is null.
async fn ask(client: &ForgeClient, query: &Value) -> Result<Value, ForgeError> {
    let ForgeAnswer::Found { mut document, .. } = client.ask(ForgeQuestion::Graphql(query)).await? else {
        return Err(ForgeError::NotUnderstood(format!("{} does not answer a question", client.graphql)));
    };
    let errors = document["errors"].as_array().cloned().unwrap_or_default();
    let said = errors.first().and_then(|error| error["message"].as_str()).map(words).unwrap_or_default();
    if errors.iter().any(|error| error["type"] == "RATE_LIMITED") {
        return Err(ForgeError::RateLimit { again: Duration::from_secs(60), detail: said });
    }
    let data = document["data"].take();
    match data.is_object() {
        true => Ok(data),
        false if errors.is_empty() => Err(ForgeError::NotSpoken(format!("{} answers without data", client.graphql))),
        false if errors.iter().all(|error| error["type"] == "NOT_FOUND") => Ok(json!({})),
        false => Err(ForgeError::NotUnderstood(format!("{} says: {said}", client.graphql))),
    }
}
