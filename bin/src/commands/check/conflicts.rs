//! With what a plugin would be at odds: names and paths that others have, plugins that it needs and that are not there.
//!
//! Others are those in the plugins directory, those compiled in, and those of the server on the local data directory, if one
//! answers.

use crate::{
    Failed, built_in,
    client::{Client, Reach, is_socket, read_all},
    commands::workshop,
    config::Config,
};
use camlock_api::PluginView;
use camlock_build::{Builder, Profile};
use camlock_embed::build_options;
use camlock_policy::{Manifest, Sources, routes::overlap};
use std::path::{Path, PathBuf};

/// Something that would keep it from being served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    /// The other plugin.
    pub(super) with: String,
    /// Where that lies, if it lies anywhere.
    pub(super) path: Option<PathBuf>,
    /// In a sentence.
    pub(super) what: String,
    /// It would wait, and be served as soon as that changes.
    pub(super) passing: bool,
}

/// Another plugin.
#[derive(Clone, Debug)]
struct Other {
    name: String,
    path: Option<PathBuf>,
    claims: Vec<String>,
}

/// What the plugin of this manifest, which lies at `path`, is at odds with.
pub(super) async fn find(manifest: &Manifest, path: &Path, config: &Config) -> Result<Vec<Conflict>, Failed> {
    let mut others = compiled_in();
    others.extend(in_directory(config, path));
    for other in served(config).await? {
        // A directory says it better, and this very plugin may well be served already.
        if other.name != manifest.name && !others.iter().any(|known| known.name == other.name) {
            others.push(other);
        }
    }
    Ok(between(manifest, &others))
}

fn compiled_in() -> Vec<Other> {
    let sections = built_in::all().into_iter().filter_map(|plugin| camlock_loader::inspect_built_in(&plugin).ok());
    sections
        .map(|sections| Other { name: sections.manifest.name, path: None, claims: sections.manifest.camlock.routes })
        .collect()
}

fn in_directory(config: &Config, own: &Path) -> Vec<Other> {
    let Ok(builds) = workshop::builds(config) else { return Vec::new() };
    let builder = Builder::new(build_options(&config.plugins, &builds, &config.settings, Profile::Quick));
    let entries = builder.scan().entries.into_iter();
    let others = entries.filter(|entry| entry.path.canonicalize().is_ok_and(|path| path != own));
    others.map(|entry| Other { name: entry.name, path: Some(entry.path), claims: entry.claims }).collect()
}

async fn served(config: &Config) -> Result<Vec<Other>, Failed> {
    if !is_socket(&config.data.join("control.sock")) {
        return Ok(Vec::new());
    }
    let Ok(client) = Client::new(&Reach::of(config)) else { return Ok(Vec::new()) };
    let plugins = client.list("/api/v1/plugins?limit=500").await.unwrap_or_default();
    let others = read_all::<PluginView>(&plugins)?.into_iter().map(|plugin| {
        let claims = plugin.urls.into_iter().filter(|url| !url.starts_with(camlock_policy::routes::MOUNTS)).collect();
        Other { name: plugin.name, path: None, claims }
    });
    Ok(others.collect())
}

fn between(manifest: &Manifest, others: &[Other]) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    for other in others {
        let whose = other
            .path
            .as_ref()
            .map_or_else(|| "is in the server".to_owned(), |path| format!("lies in {}", path.display()));
        let conflict =
            |what: String| Conflict { with: other.name.clone(), path: other.path.clone(), what, passing: false };
        if other.name == manifest.name {
            conflicts.push(conflict(format!(
                "another plugin `{}` {whose}: of two with one name the one that was there first counts; rename or remove one",
                other.name
            )));
            continue;
        }
        for claim in &manifest.camlock.routes {
            for theirs in other.claims.iter().filter(|theirs| overlap(claim, theirs)) {
                let what = format!(
                    "`{claim}` overlaps with `{theirs}` of `{}`, which {whose}: the one that was there first keeps it; give one \
                     of them another path",
                    other.name
                );
                conflicts.push(conflict(what));
            }
        }
    }
    for (needed, versions) in &manifest.camlock.dependencies {
        if !others.iter().any(|other| other.name == *needed) {
            let what = format!("it depends on `{needed}` {versions}, which is not there: it would wait for that");
            conflicts.push(Conflict { with: needed.clone(), path: None, what, passing: true });
        }
    }
    conflicts
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlock_policy::manifest;
    use std::collections::BTreeMap;

    #[test]
    fn names_paths_and_needs() {
        let package = [("name", "hello"), ("version", "1.0.0")].map(|(key, value)| (key.to_owned(), value.into()));
        let text =
            "[package.metadata.camlock]\nroutes = [\"/hello\", \"/tables/*\"]\ndependencies = { kv-store = \"^1\" }\n";
        let manifest = manifest::read(&BTreeMap::from(package), text.as_bytes()).unwrap();
        let other = |name: &str, claims: &[&str]| Other {
            name: name.to_owned(),
            path: Some("/srv/plugins/x".into()),
            claims: claims.iter().map(|claim| (*claim).to_owned()).collect(),
        };
        let found =
            |others: &[Other]| -> Vec<String> { between(&manifest, others).into_iter().map(|one| one.what).collect() };
        let kv = other("kv-store", &["/kv"]);
        assert_eq!(found(std::slice::from_ref(&kv)), Vec::<String>::new());
        assert_eq!(found(&[]), ["it depends on `kv-store` ^1, which is not there: it would wait for that"]);
        let told = found(&[kv.clone(), other("hello", &["/hello"])]);
        assert!(told.len() == 1 && told[0].starts_with("another plugin `hello` lies in /srv/plugins/x: "), "{told:?}");
        let told = found(&[kv, other("tables", &["/tables/people", "/hello/x"])]);
        assert!(
            told.len() == 1 && told[0].starts_with("`/tables/*` overlaps with `/tables/people` of `tables`"),
            "{told:?}"
        );
    }
}
