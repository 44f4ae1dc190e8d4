//! A forge that speaks GitHub's API: REST with ETags, links and rate limits, and GraphQL; and answers badly where it is told to.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    response::Response,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A repository.
#[derive(Clone, Debug, Default)]
pub struct Repository {
    pub id: u64,
    pub owner: String,
    pub name: String,
    pub private: bool,
    /// Tag and commit.
    pub release: Option<(String, String)>,
    /// What it holds at that release, packed.
    pub archive: Vec<u8>,
    pub files: BTreeMap<String, Vec<u8>>,
}

/// An answer in the place of the right one.
#[derive(Clone)]
pub struct Instead {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    pub after: Duration,
}

impl Instead {
    pub fn new(status: u16, body: &str) -> Self {
        Instead { status, headers: Vec::new(), body: body.to_owned(), after: Duration::ZERO }
    }

    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

#[derive(Default)]
pub struct World {
    pub repositories: Vec<Repository>,
    pub without_graphql: bool,
    /// So many on a page.
    pub page: usize,
    pub limit: u64,
    pub remaining: u64,
    /// By what the path contains, or the query of GraphQL: what is answered first, second, …
    pub instead: Vec<(String, Instead)>,
    /// Requests: what was asked, and with which status it was answered.
    pub asked: Vec<(String, u16)>,
    pub tokens: Vec<String>,
    /// Old names, and what they are now.
    pub renamed: BTreeMap<String, String>,
}

#[derive(Clone)]
pub struct GitHub {
    world: Arc<Mutex<World>>,
    pub url: String,
}

/// A manifest as it should be.
pub fn manifest(name: &str, version: &str, more: &str) -> String {
    format!(
        "name: {name}\nversion: {version}\nowner: acme\nrepository: {name}\ncategory: kv\n\
         description: \"What it is good for\"\n{more}"
    )
}

impl GitHub {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let world = World { page: 100, limit: 5_000, remaining: 5_000, ..World::default() };
        let github = GitHub { world: Arc::new(Mutex::new(world)), url };
        let app = Router::new().fallback(answer).with_state(github.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        github
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// A repository of `acme` with a release and a manifest.
    pub fn publish(&self, name: &str, version: &str, text: &str) {
        self.publish_bytes(name, version, text.as_bytes());
    }

    pub fn publish_bytes(&self, name: &str, version: &str, text: &[u8]) {
        let mut world = self.world();
        let id = 100 + world.repositories.len() as u64;
        let files = BTreeMap::from([(".velox.yaml".to_owned(), text.to_vec())]);
        let release = Some((version.to_owned(), oid(format!("{version} {text:?}").as_bytes())));
        match world.repositories.iter_mut().find(|there| there.name == name) {
            Some(there) => (there.files, there.release) = (files, release),
            None => {
                let (owner, name) = ("acme".to_owned(), name.to_owned());
                let archive = Vec::new();
                world.repositories.push(Repository { id, owner, name, private: false, release, archive, files });
            }
        }
    }

    /// What is packed at its release.
    pub fn packs(&self, name: &str, archive: Vec<u8>) {
        self.world().repositories.iter_mut().find(|there| there.name == name).unwrap().archive = archive;
    }

    pub fn good(&self, name: &str, version: &str) {
        self.publish(name, version, &manifest(name, version, ""));
    }

    pub fn instead(&self, of: &str, instead: Instead) {
        self.world().instead.push((of.to_owned(), instead));
    }

    /// What was asked since the last time.
    pub fn asked(&self) -> Vec<(String, u16)> {
        std::mem::take(&mut self.world().asked)
    }
}

fn oid(bytes: &[u8]) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    bytes.iter().for_each(|byte| hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}

async fn answer(State(github): State<GitHub>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let path = parts.uri.path_and_query().unwrap().to_string();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
    let query = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    let what = format!("{path} {}", query["query"].as_str().unwrap_or_default());
    let instead = {
        let mut world = github.world();
        world.tokens.push(header("authorization"));
        assert!(header("user-agent").starts_with("camlock/"), "GitHub refuses who does not say so");
        world.instead.iter().position(|(of, _)| what.contains(of)).map(|place| world.instead.remove(place).1)
    };
    if let Some(instead) = instead {
        tokio::time::sleep(instead.after).await;
        github.world().asked.push((path, instead.status));
        let mut response = Response::builder().status(instead.status);
        if !instead.headers.iter().any(|(name, _)| *name == "content-type") {
            response = response.header("content-type", "application/json; charset=utf-8");
        }
        for (name, value) in &instead.headers {
            response = response.header(*name, value);
        }
        return response.body(Body::from(instead.body)).unwrap();
    }
    let mut world = github.world();
    if let Some(answer) = world.archive(&path) {
        world.asked.push((path, answer.status().as_u16()));
        return answer;
    }
    let (status, document, link) =
        if path == "/graphql" { world.graphql(&query) } else { world.rest(&path, &github.url) };
    let text = document.to_string();
    let tag = format!("W/\"{}\"", oid(text.as_bytes()));
    let same = status == 200 && path != "/graphql" && header("if-none-match") == tag;
    let status = if same { 304 } else { status };
    if !same {
        world.remaining = world.remaining.saturating_sub(1);
    }
    world.asked.push((path, status));
    let reset = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 3_600;
    let mut response = Response::builder()
        .status(status)
        .header("content-type", "application/json; charset=utf-8")
        .header("x-ratelimit-limit", world.limit)
        .header("x-ratelimit-remaining", world.remaining)
        .header("x-ratelimit-reset", reset);
    if status == 200 || status == 304 {
        response = response.header("etag", tag);
    }
    if let Some(link) = link {
        response = response.header("link", link);
    }
    response.body(if same { Body::empty() } else { Body::from(Bytes::from(text)) }).unwrap()
}

type Reply = (u16, Value, Option<String>);

impl World {
    /// An archive lies elsewhere than the API says.
    fn archive(&self, path: &str) -> Option<Response> {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let (owner, name, reference, is_asked) = match parts[..] {
            ["repos", owner, name, "tarball", reference] => (owner, name, reference, true),
            ["codeload", owner, name, reference] => (owner, name, reference, false),
            _ => return None,
        };
        let there = self.find(owner, name)?;
        let is_release = |(tag, commit): &(String, String)| tag == reference || commit == reference;
        if there.archive.is_empty() || !there.release.as_ref().is_some_and(is_release) {
            return None;
        }
        let response = Response::builder();
        let response = match is_asked {
            true => response.status(302).header("location", format!("/codeload/{owner}/{name}/{reference}")),
            false => response.header("content-type", "application/x-gzip"),
        };
        let body = if is_asked { Body::empty() } else { Body::from(there.archive.clone()) };
        Some(response.body(body).unwrap())
    }

    fn rest(&mut self, path: &str, url: &str) -> Reply {
        let missing = (404, json!({ "message": "Not Found" }), None);
        let (place, query) = path.split_once('?').unwrap_or((path, ""));
        let parts: Vec<&str> = place.trim_start_matches('/').split('/').collect();
        match parts[..] {
            ["orgs", owner, "repos"] => {
                let all: Vec<_> = self.repositories.iter().filter(|there| there.owner == owner).collect();
                if all.is_empty() {
                    return missing;
                }
                let page: usize =
                    query.split('&').find_map(|pair| pair.strip_prefix("page=")?.parse().ok()).unwrap_or(1);
                let from = (page - 1) * self.page;
                let more = all.len() > from + self.page;
                let link =
                    more.then(|| format!("<{url}{place}?page={}>; rel=\"next\", <{url}>; rel=\"first\"", page + 1));
                let listed = all.iter().skip(from).take(self.page).map(|there| listed(there)).collect();
                (200, listed, link)
            }
            ["repos", owner, name] => match self.find(owner, name) {
                Some(there) => (200, listed(there), None),
                None => missing,
            },
            ["repos", owner, name, "releases", "latest"] => {
                match self.find(owner, name).and_then(|there| there.release.as_ref()) {
                    Some((tag, _)) => (200, json!({ "tag_name": tag, "draft": false, "prerelease": false }), None),
                    None => missing,
                }
            }
            ["repos", owner, name, "contents", file] => {
                let Some(there) = self.find(owner, name) else { return missing };
                let tag = there.release.as_ref().map(|(tag, _)| tag.as_str()).unwrap_or_default();
                assert_eq!(query, format!("ref={tag}"));
                let Some(bytes) = there.files.get(file) else { return missing };
                let content = data_encoding::BASE64.encode(bytes);
                let lines: Vec<_> = content.as_bytes().chunks(60).map(String::from_utf8_lossy).collect();
                let size = bytes.len();
                // Above a megabyte there is none.
                let (content, encoding) =
                    if size > 1 << 20 { (String::new(), "none") } else { (lines.join("\n"), "base64") };
                (
                    200,
                    json!({ "type": "file", "sha": oid(bytes), "size": size, "content": content, "encoding": encoding }),
                    None,
                )
            }
            _ => missing,
        }
    }

    fn find(&self, owner: &str, name: &str) -> Option<&Repository> {
        let name = self.renamed.get(name).map_or(name, String::as_str);
        self.repositories.iter().find(|there| there.owner == owner && there.name == name)
    }

    fn graphql(&mut self, asked: &Value) -> Reply {
        if self.without_graphql {
            return (404, json!({ "message": "Not Found" }), None);
        }
        let query = asked["query"].as_str().unwrap_or_default();
        assert_eq!(query.matches('{').count(), query.matches('}').count(), "{query}");
        let word = |from: &str, before: &str| {
            from.split_once(before).map(|(_, rest)| rest.split('"').next().unwrap().to_owned())
        };
        let files: Vec<String> = query.split("file(path: ").skip(1).filter_map(|rest| word(rest, "\"")).collect();
        let owner = asked["variables"]["owner"].as_str().unwrap_or_default();
        let data = if query.contains("repositoryOwner(") {
            let all: Vec<_> = self.repositories.iter().filter(|there| there.owner == owner && !there.private).collect();
            let from: usize = asked["variables"]["after"].as_str().and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
            let to = (from + self.page).min(all.len());
            let nodes: Vec<_> = all[from..to].iter().map(|there| node(there, &files)).collect();
            let page = json!({ "hasNextPage": to < all.len(), "endCursor": to.to_string() });
            match self.repositories.iter().any(|there| there.owner == owner) {
                true => json!({ "repositoryOwner": { "repositories": { "pageInfo": page, "nodes": nodes } } }),
                false => json!({ "repositoryOwner": null }),
            }
        } else if query.contains("repository(owner: $owner") {
            let there = self.find(owner, asked["variables"]["name"].as_str().unwrap());
            json!({ "repository": there.map(|there| node(there, &files)) })
        } else {
            let mut data = json!({});
            let parts: Vec<&str> = query.split(": repository(").collect();
            for pair in parts.windows(2) {
                let (number, rest) = (pair[0].rsplit(" r").next().unwrap(), pair[1]);
                let (owner, name) = (word(rest, "owner: \"").unwrap(), word(rest, "name: \"").unwrap());
                let wanted = word(rest, "oid: \"").unwrap();
                let there =
                    self.find(&owner, &name).and_then(|there| there.files.values().find(|bytes| oid(bytes) == wanted));
                data[format!("r{number}")] =
                    json!({ "object": there.map(|bytes| json!({ "text": String::from_utf8_lossy(bytes) })) });
            }
            data
        };
        (200, json!({ "data": data }), None)
    }
}

fn listed(there: &Repository) -> Value {
    json!({ "id": there.id, "name": there.name, "private": there.private, "owner": { "login": there.owner } })
}

fn node(there: &Repository, files: &[String]) -> Value {
    let release = there.release.as_ref().map(|(tag, commit)| {
        let mut at = json!({ "oid": commit });
        for (number, file) in files.iter().enumerate() {
            let blob =
                |bytes: &Vec<u8>| json!({ "oid": oid(bytes), "byteSize": bytes.len(), "isBinary": bytes.contains(&0) });
            at[format!("m{number}")] =
                there.files.get(file).map_or(Value::Null, |bytes| json!({ "object": blob(bytes) }));
        }
        json!({ "tagName": tag, "tagCommit": at })
    });
    json!({
        "databaseId": there.id, "name": there.name, "isPrivate": there.private, "isDisabled": false,
        "owner": { "login": there.owner }, "latestRelease": release,
    })
}
