//! A list of plugins that nobody signed: the `catalog.json` of others, with where the sources of each lie. An operator takes such a list
//! explicitly, and what comes from it is marked.
//!
//! Nothing here is proved but that the sources are those of the plugin that they are listed as. What must not live here: catalogs that
//! prove what they hold (`sync`).

use super::{CatalogPlace, PackagePart, SyncedLines, Synchronized, place};
use crate::{
    CatalogTrouble,
    documents::{AdvisoryList, PluginDocument, PluginVersion},
    package::LARGEST_FILE,
    trouble::shown,
};
use camlock_policy::{Digest, manifest::check_name};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The largest list.
const LARGEST: u64 = 16 << 20;
/// So many plugins.
const MOST: usize = 50_000;
/// What the sources of a plugin are called here.
pub(super) const SOURCE: &str = "source.tar.gz";

/// A list that was read.
#[derive(Clone, Debug)]
pub struct ListingReader {
    place: CatalogPlace,
    documents: BTreeMap<String, PluginDocument>,
    version: u64,
}

/// Either a list of plugins, or an object that has one.
#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenList {
    Alone(Vec<serde_json::Value>),
    Within { plugins: Vec<serde_json::Value> },
}

/// A plugin as others list it.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WrittenPlugin {
    name: String,
    version: String,
    display_name: String,
    description: String,
    author: String,
    license: String,
    category: String,
    tags: Vec<String>,
    repository: String,
    download_url: String,
    manifest: WrittenManifest,
}

/// What is taken of its manifest.
#[derive(Deserialize, Default)]
#[serde(default)]
struct WrittenManifest {
    permissions: Vec<String>,
}

impl WrittenPlugin {
    fn document(self) -> Option<PluginDocument> {
        let version = self.version.parse::<semver::Version>().ok()?;
        if check_name(&self.name).is_err() || self.download_url.is_empty() {
            return None;
        }
        let version = PluginVersion {
            version: version.to_string(),
            permissions: self.manifest.permissions,
            source: Some(SOURCE.to_owned()),
            download_url: Some(self.download_url),
            ..PluginVersion::default()
        };
        Some(PluginDocument {
            name: self.name,
            display_name: self.display_name,
            description: self.description,
            authors: Some(self.author).filter(|author| !author.is_empty()).into_iter().collect(),
            license: self.license,
            category: self.category,
            tags: self.tags,
            repository: self.repository,
            versions: vec![version],
            ..PluginDocument::default()
        })
    }
}

impl ListingReader {
    /// Whether a URL names such a list, and not the folder of a catalog.
    pub fn is_named_by(url: &str) -> bool {
        url.ends_with(".json")
    }

    /// Reads it. What is listed under a name that is none here, or without a version or sources, is passed over; of two with one name
    /// the newer one counts.
    pub fn open(url: &str) -> Result<Self, CatalogTrouble> {
        let (folder, file) = url.rsplit_once('/').unwrap_or((url, ""));
        let place = CatalogPlace::read(folder)?;
        let bytes =
            place.fetch(file, LARGEST)?.ok_or_else(|| CatalogTrouble::missing(format!("{url} is not there")))?;
        let unread = |error| CatalogTrouble::unfit(format!("{url} is no list of plugins: {error}"));
        let plugins = match serde_json::from_slice(&bytes).map_err(unread)? {
            WrittenList::Alone(plugins) | WrittenList::Within { plugins } => plugins,
        };
        if plugins.len() > MOST {
            return Err(CatalogTrouble::unfit(format!("{url} lists more than {MOST} plugins")));
        }
        let mut documents: BTreeMap<String, PluginDocument> = BTreeMap::new();
        for mut plugin in plugins {
            // What is null was not said.
            let said = |value: &mut serde_json::Value| {
                if let Some(keys) = value.as_object_mut() {
                    keys.retain(|_, value| !value.is_null());
                }
            };
            said(&mut plugin);
            plugin.get_mut("manifest").into_iter().for_each(said);
            let plugin = serde_json::from_value::<WrittenPlugin>(plugin).ok().and_then(WrittenPlugin::document);
            let Some(document) = plugin else { continue };
            let newest = |document: &PluginDocument| document.versions.iter().filter_map(PluginVersion::semver).max();
            let older = |there: &PluginDocument| newest(there) < newest(&document);
            if documents.get(&document.name).is_none_or(older) {
                documents.insert(document.name.clone(), document);
            }
        }
        // Lists have no version: what they say is known by its digest, as far as every reader of JSON tells numbers apart.
        let digest = Digest::of(&bytes).hex();
        let version = u64::from_str_radix(&digest[..13], 16).unwrap_or_default();
        Ok(ListingReader { place, documents, version })
    }

    /// What tells it from what it was.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What is listed, unless that is known.
    pub fn since(&self, known: Option<u64>) -> Synchronized {
        let lines = match known == Some(self.version) {
            true => SyncedLines::Unchanged,
            false => SyncedLines::All(self.documents.values().map(PluginDocument::line).collect()),
        };
        Synchronized { version: self.version, lines, advisories: Some(AdvisoryList::default()) }
    }

    /// All that it says of a plugin.
    pub fn document(&self, name: &str) -> Result<PluginDocument, CatalogTrouble> {
        let document = self.documents.get(name).cloned();
        document.ok_or_else(|| CatalogTrouble::missing(format!("{} does not list `{}`", self.place, shown(name))))
    }

    /// The sources of a version: they are the plugin's, and whatever else they are nobody vouches for.
    pub fn part(&self, name: &str, version: &PluginVersion) -> Result<PackagePart, CatalogTrouble> {
        let url = version.download_url.as_deref().unwrap_or_default();
        let bytes = self.download(url).map_err(|trouble| trouble.at(format!("{name} {}", version.version)))?;
        PackagePart::of_sources((name, &version.version), SOURCE, bytes)
    }

    fn download(&self, url: &str) -> Result<Vec<u8>, CatalogTrouble> {
        let missing = || CatalogTrouble::missing(format!("`{}` is not there, and its list says it is", shown(url)));
        let Some((scheme, _)) = url.split_once("://") else {
            let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
            if !url.split('/').all(plain) {
                return Err(CatalogTrouble::unfit(format!("`{}` is no path below the list", shown(url))));
            }
            return self.place.fetch(url, LARGEST_FILE)?.ok_or_else(missing);
        };
        // Somebody else's list must not have this server ask its own machine.
        let is_near = matches!(&self.place, CatalogPlace::Folder(_)) || self.place.to_string().starts_with("http://");
        if scheme != "https" && !(scheme == "http" && is_near) {
            return Err(CatalogTrouble::denied(format!(
                "`{}` is not fetched: sources come over `https://`",
                shown(url)
            )));
        }
        let url = raw_of_github(url).unwrap_or_else(|| url.to_owned());
        CatalogPlace::read(&url)?;
        place::fetch(&url, LARGEST_FILE)?.ok_or_else(missing)
    }
}

/// Where GitHub would lead whoever asks for a file of a repository: nobody else's redirections are followed.
fn raw_of_github(url: &str) -> Option<String> {
    let mut parts = url.strip_prefix("https://github.com/")?.splitn(4, '/');
    let (owner, repository, raw, rest) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    (raw == "raw").then(|| format!("https://raw.githubusercontent.com/{owner}/{repository}/{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn listed(text: &str) -> Result<ListingReader, CatalogTrouble> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("catalog.json"), text).unwrap();
        ListingReader::open(&format!("file://{}/catalog.json", dir.path().display()))
    }

    #[test]
    fn lists_of_others_are_read() {
        let entry = r#"{"name":"my-plugin","version":"1.0.0","displayName":"My Plugin","description":"Does amazing things",
            "author":"Your Name","category":"Utilities","tags":["utility","automation"],
            "downloadUrl":"https://github.com/o/r/raw/main/my-plugin/plugin.tar.gz","manifest":{"permissions":["network"],"x":1}}"#;
        let older = entry.replace("1.0.0", "0.9.0");
        let unfit = [
            entry.replace("my-plugin\",\"v", "My_Plugin\",\"v"),
            entry.replace("1.0.0", "newest"),
            entry.replace("downloadUrl", "download"),
            "7".to_owned(),
        ];
        for text in
            [format!("[{entry},{older}]"), format!("{{\"plugins\":[{older},{entry},{}],\"count\":3}}", unfit.join(","))]
        {
            let list = listed(&text).unwrap();
            assert_eq!(list.documents.len(), 1, "{text}");
            let document = list.document("my-plugin").unwrap();
            let line = document.line();
            assert_eq!((&*line.version, &*line.display_name, line.has_source), ("1.0.0", "My Plugin", true));
            assert_eq!(document.versions[0].permissions, ["network"]);
            assert_eq!(list.since(Some(list.version())).lines, SyncedLines::Unchanged);
            assert!(matches!(list.since(None).lines, SyncedLines::All(lines) if lines.len() == 1));
        }
        // What is null was not said.
        let nulls = r#"[{"name":"other","version":"1.0.0","tags":null,"author":null,"downloadUrl":"x","manifest":{"permissions":null}}]"#;
        assert_eq!(listed(nulls).unwrap().document("other").unwrap().versions.len(), 1);
        for wrong in ["", "{}", "[", "{\"plugins\":{}}"] {
            assert!(listed(wrong).unwrap_err().reason.contains("is no list of plugins"), "{wrong}");
        }
    }

    #[test]
    fn where_sources_may_lie() {
        let list = listed("[]").unwrap();
        let refused = |url: &str| list.download(url).unwrap_err().reason;
        assert!(refused("../secret").contains("no path below the list"));
        assert!(refused("/etc/passwd").contains("no path below the list"));
        assert!(refused("file:///etc/passwd").contains("come over `https://`"));
        assert!(refused("http://example.org/x.tar.gz").contains("over plain `http://`"));
        let theirs = ListingReader { place: CatalogPlace::Web("https://example.org".to_owned()), ..list };
        assert!(theirs.download("http://127.0.0.1/x").unwrap_err().reason.contains("come over `https://`"));
        assert_eq!(
            raw_of_github("https://github.com/o/r/raw/main/my-plugin/plugin.tar.gz").unwrap(),
            "https://raw.githubusercontent.com/o/r/main/my-plugin/plugin.tar.gz"
        );
        assert_eq!(raw_of_github("https://github.com/o/r/blob/main/x"), None);
    }
}
