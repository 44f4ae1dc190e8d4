//! `package.json`, read strictly: an unknown or doubled key, a name that is no plain file's, a digest that is none are errors.

use super::{LARGEST_FILE, LARGEST_PACKAGE, LARGEST_RECORD, LibraryFacts, MOST_FILES, RECORD, SIGNATURE};
use crate::{CatalogTrouble, trouble::shown};
use camlock_policy::{Digest, manifest::check_name};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, Visitor},
};
use std::{collections::BTreeMap, fmt};

/// What a package is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageRecord {
    /// The version of this format: 1.
    pub format: u32,
    /// The plugin.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What people call it, or empty.
    #[serde(default)]
    pub display_name: String,
    /// One line, or empty.
    #[serde(default)]
    pub description: String,
    /// As cargo lists them.
    #[serde(default)]
    pub authors: Vec<String>,
    /// An SPDX expression, or empty.
    #[serde(default)]
    pub license: String,
    /// What sort of plugin it is, or empty.
    #[serde(default)]
    pub category: String,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// A URL, or empty.
    #[serde(default)]
    pub repository: String,
    /// What it asks to be allowed.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// Other plugins, with the versions that will do.
    #[serde(default)]
    pub dependencies: BTreeMap<String, String>,
    /// The file with its sources, if they are in it.
    #[serde(default)]
    pub source: Option<String>,
    /// Its libraries, by target.
    #[serde(default, deserialize_with = "once_each")]
    pub libraries: BTreeMap<String, LibraryRecord>,
    /// Every file but `package.json` and its signature.
    #[serde(deserialize_with = "once_each")]
    pub files: BTreeMap<String, FileRecord>,
}

/// A library, and what it fits: computed from its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LibraryRecord {
    /// The file.
    pub file: String,
    /// The contract it was built for.
    pub contract: String,
    /// Features of the host that it cannot do without.
    #[serde(default)]
    pub requires: Vec<String>,
    /// The newest version of glibc that it asks for, or empty.
    #[serde(default)]
    pub glibc: String,
    /// The SDK's version.
    #[serde(default)]
    pub sdk: String,
    /// The compiler.
    #[serde(default)]
    pub rustc: String,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// Its sha-256, in hexadecimal digits.
    pub sha256: String,
    /// How many bytes it has.
    pub size: u64,
}

impl FileRecord {
    /// Of these bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        FileRecord { sha256: Digest::of(bytes).hex(), size: bytes.len() as u64 }
    }

    /// Whether these are the bytes.
    pub(crate) fn check(&self, name: &str, bytes: &[u8]) -> Result<(), CatalogTrouble> {
        let there = FileRecord::of(bytes);
        if *self == there {
            return Ok(());
        }
        let (name, sha256, size) = (shown(name), &self.sha256, self.size);
        Err(CatalogTrouble::denied(format!(
            "{name} has {} bytes and sha256:{}, and `{RECORD}` says {size} bytes and sha256:{sha256}: it was changed, or broke on its \
             way; fetch it again, and do not use it if that does not help",
            there.size, there.sha256
        )))
    }
}

impl PackageRecord {
    /// Reads and checks it.
    pub fn read(bytes: &[u8]) -> Result<Self, CatalogTrouble> {
        if bytes.len() as u64 > LARGEST_RECORD {
            return Err(CatalogTrouble::unfit(format!("`{RECORD}` is larger than {LARGEST_RECORD} bytes")));
        }
        let record: PackageRecord = serde_json::from_slice(bytes)
            .map_err(|error| CatalogTrouble::unfit(format!("`{RECORD}` is not understood: {error}")))?;
        record.check().map_err(|trouble| trouble.at(format_args!("`{RECORD}`")))?;
        Ok(record)
    }

    /// What the version is.
    pub(crate) fn semver(&self) -> Result<semver::Version, CatalogTrouble> {
        self.version
            .parse()
            .map_err(|error| CatalogTrouble::unfit(format!("the version `{}` is none: {error}", shown(&self.version))))
    }

    /// Of sources that nobody packaged.
    pub(crate) fn of_sources((name, version): (&str, &str), file: &str, files: BTreeMap<String, FileRecord>) -> Self {
        PackageRecord {
            format: 1,
            name: name.to_owned(),
            version: version.to_owned(),
            display_name: String::new(),
            description: String::new(),
            authors: Vec::new(),
            license: String::new(),
            category: String::new(),
            tags: Vec::new(),
            repository: String::new(),
            permissions: Vec::new(),
            dependencies: BTreeMap::new(),
            source: Some(file.to_owned()),
            libraries: BTreeMap::new(),
            files,
        }
    }

    /// `NAME-VERSION`.
    pub(crate) fn stem(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    fn check(&self) -> Result<(), CatalogTrouble> {
        if self.format != 1 {
            let format = self.format;
            return Err(CatalogTrouble::unfit(format!(
                "its format is {format}, and this camlock reads format 1: take a newer camlock"
            )));
        }
        check_name(&self.name).map_err(|invalid| CatalogTrouble::unfit(invalid.0))?;
        self.semver()?;
        for (name, range) in &self.dependencies {
            check_name(name).map_err(|invalid| CatalogTrouble::unfit(format!("`dependencies`: {}", invalid.0)))?;
            range.parse::<semver::VersionReq>().map_err(|error| {
                CatalogTrouble::unfit(format!("`dependencies.{name}`: `{}` is no range: {error}", shown(range)))
            })?;
        }
        if self.files.len() > MOST_FILES {
            return Err(CatalogTrouble::unfit(format!("it has more than {MOST_FILES} files")));
        }
        let mut folded = BTreeMap::new();
        let mut whole = 0_u64;
        for (name, file) in &self.files {
            check_file_name(name)?;
            if let Some(other) = folded.insert(name.to_lowercase(), name) {
                return Err(CatalogTrouble::unfit(format!(
                    "the files `{other}` and `{name}` differ only in upper and lower case: some file systems keep only one of them"
                )));
            }
            if file.sha256.len() != 64 || !file.sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                return Err(CatalogTrouble::unfit(format!(
                    "`files.{name}.sha256` is no sha-256 in 64 lower-case digits"
                )));
            }
            if file.size > LARGEST_FILE {
                return Err(CatalogTrouble::unfit(format!("{name} has {} bytes, more than {LARGEST_FILE}", file.size)));
            }
            whole = whole.saturating_add(file.size);
        }
        if whole > LARGEST_PACKAGE {
            return Err(CatalogTrouble::unfit(format!("its files have {whole} bytes, more than {LARGEST_PACKAGE}")));
        }
        let named = self.source.iter().chain(self.libraries.values().map(|library| &library.file));
        if let Some(missing) = named.into_iter().find(|name| !self.files.contains_key(*name)) {
            return Err(CatalogTrouble::unfit(format!(
                "it names the file {}, which `files` does not list",
                shown(missing)
            )));
        }
        if self.source.is_none() && self.libraries.is_empty() {
            return Err(CatalogTrouble::unfit("it has neither sources nor a library"));
        }
        Ok(())
    }

    /// Holds what it says against what one of its libraries says of itself.
    pub(crate) fn check_library(&self, target: &str, bytes: &[u8], facts: &LibraryFacts) -> Result<(), CatalogTrouble> {
        let library = &self.libraries[target];
        let (built_for, glibc) = super::examine(bytes)?;
        let manifest = &facts.manifest;
        let requires = facts.requires.join(", ");
        let said_requires = library.requires.join(", ");
        let permissions = manifest.camlock.permissions.join(", ");
        let said_permissions = self.permissions.join(", ");
        let pairs: [(&str, &str, &str); 7] = [
            ("target", target, &built_for),
            ("name", &self.name, &manifest.name),
            ("version", &self.version, &manifest.version),
            ("contract", &library.contract, &facts.contract),
            ("requires", &said_requires, &requires),
            ("glibc", &library.glibc, &glibc),
            ("permissions", &said_permissions, &permissions),
        ];
        for (what, said, is) in pairs {
            if said != is {
                return Err(CatalogTrouble::denied(format!(
                    "`{RECORD}` says of {} that its {what} is `{}`, and the library itself says `{}`: make the package again with \
                     `camlock package`",
                    library.file,
                    shown(said),
                    shown(is)
                )));
            }
        }
        if self.dependencies != manifest.camlock.dependencies {
            return Err(CatalogTrouble::denied(format!(
                "`{RECORD}` names other `dependencies` than {}: make the package again with `camlock package`",
                library.file
            )));
        }
        Ok(())
    }
}

/// A name in a package is a plain file's: no folder, nothing hidden.
pub(crate) fn check_file_name(name: &str) -> Result<(), CatalogTrouble> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+'));
    if !plain || name.is_empty() || name.len() > 200 || name.starts_with('.') {
        return Err(CatalogTrouble::unfit(format!(
            "`{}` is no name for a file of a package: letters, digits, `.`, `-`, `_` and `+`, no folders, not hidden",
            shown(name)
        )));
    }
    if name == RECORD || name == SIGNATURE {
        return Err(CatalogTrouble::unfit(format!("`files` lists `{name}`, which cannot vouch for itself")));
    }
    Ok(())
}

/// A map whose keys come once each: JSON lets them come twice, and readers then disagree about which one counts.
fn once_each<'de, D: Deserializer<'de>, V: Deserialize<'de>>(from: D) -> Result<BTreeMap<String, V>, D::Error> {
    struct Once<V>(std::marker::PhantomData<V>);
    impl<'de, V: Deserialize<'de>> Visitor<'de> for Once<V> {
        type Value = BTreeMap<String, V>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut all = BTreeMap::new();
            while let Some((key, value)) = entries.next_entry::<String, V>()? {
                if all.contains_key(&key) {
                    return Err(A::Error::custom(format!("`{}` is there twice", shown(&key))));
                }
                all.insert(key, value);
            }
            Ok(all)
        }
    }
    from.deserialize_map(Once(std::marker::PhantomData))
}
