//! What operators let plugins do. What must not live here: what a permission opens.

use crate::{
    permissions::{NoPermission, check_permission, covers},
    services::{AskError, AskErrorCode},
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess, Unexpected, Visitor},
};
use std::{
    collections::BTreeSet,
    fmt,
    str::FromStr,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, Weak},
};

/// What is granted: whatever is asked for, or these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grants {
    /// Whatever each version's manifest asks for.
    Asked,
    /// These permissions and no others; one that ends with `*` covers all that begin alike.
    These(BTreeSet<String>),
}

impl Default for Grants {
    fn default() -> Self {
        Grants::These(BTreeSet::new())
    }
}

impl Grants {
    /// These permissions, if they are some.
    pub fn these<T: Into<String>>(permissions: impl IntoIterator<Item = T>) -> Result<Self, NoPermission> {
        let these: BTreeSet<String> = permissions.into_iter().map(Into::into).collect();
        for permission in &these {
            // What covers many ends so, and is no permission itself.
            if !permission.ends_with('*') {
                check_permission(permission)?;
            }
        }
        Ok(Grants::These(these))
    }

    /// Whether this is among them.
    pub fn cover(&self, asked: &str) -> bool {
        match self {
            Grants::Asked => true,
            Grants::These(granted) => granted.iter().any(|granted| covers(granted, asked)),
        }
    }

    /// Those of these that are granted.
    pub fn of<'a>(&self, asked: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
        asked.into_iter().filter(|asked| self.cover(asked)).cloned().collect()
    }

    /// Those of these that are not granted.
    pub fn missing<'a>(&self, asked: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
        asked.into_iter().filter(|asked| !self.cover(asked)).cloned().collect()
    }
}

/// As configurations and requests write it: `"asked"`, `"none"`, or a list.
impl Serialize for Grants {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Grants::Asked => serializer.serialize_str("asked"),
            Grants::These(these) => serializer.collect_seq(these),
        }
    }
}

impl<'de> Deserialize<'de> for Grants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenGrants)
    }
}

struct WrittenGrants;

impl<'de> Visitor<'de> for WrittenGrants {
    type Value = Grants;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("\"asked\", \"none\", or a list of permissions")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Grants, E> {
        match word {
            "asked" => Ok(Grants::Asked),
            "none" => Ok(Grants::default()),
            _ => Err(E::invalid_value(Unexpected::Str(word), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Grants, A::Error> {
        let mut permissions: Vec<String> = Vec::new();
        while let Some(permission) = list.next_element()? {
            permissions.push(permission);
        }
        Grants::these(permissions).map_err(de::Error::custom)
    }
}

/// Where a plugin came from: what was granted to one from elsewhere is not granted to this one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum PluginSource {
    /// Somebody put it into the plugins directory.
    #[default]
    Directory,
    /// It was installed by a request or a command.
    Upload,
    /// It was installed from the catalog by this name.
    Catalog(String),
}

impl PluginSource {
    /// The catalog that it was installed from by name, if it was.
    pub fn catalog(&self) -> Option<&str> {
        match self {
            PluginSource::Catalog(catalog) => Some(catalog),
            PluginSource::Directory | PluginSource::Upload => None,
        }
    }
}

impl fmt::Display for PluginSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PluginSource::Directory => formatter.write_str("directory"),
            PluginSource::Upload => formatter.write_str("upload"),
            PluginSource::Catalog(name) => write!(formatter, "catalog:{name}"),
        }
    }
}

impl FromStr for PluginSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("catalog:")) {
            ("directory", _) => Ok(PluginSource::Directory),
            ("upload", _) => Ok(PluginSource::Upload),
            (_, Some(name)) if !name.is_empty() => Ok(PluginSource::Catalog(name.to_owned())),
            _ => Err(format!("{text:?} is no source of plugins: `directory`, `upload` or `catalog:<name>`")),
        }
    }
}

impl From<PluginSource> for String {
    fn from(source: PluginSource) -> Self {
        source.to_string()
    }
}

impl TryFrom<String> for PluginSource {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// What one generation may: those permissions that its manifest asks for and an operator grants. All clones are one; operators
/// change it while the generation runs.
#[derive(Clone, Default)]
pub struct Granted(Arc<GrantedCell>);

#[derive(Default)]
struct GrantedCell {
    asked: BTreeSet<String>,
    granted: RwLock<BTreeSet<String>>,
}

impl fmt::Debug for Granted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.granted().iter()).finish()
    }
}

impl GrantedCell {
    /// Nothing in it is left half done by a panic.
    fn granted(&self) -> RwLockReadGuard<'_, BTreeSet<String>> {
        self.granted.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Granted {
    /// What a generation may whose manifest asks for these.
    pub fn new(asked: impl IntoIterator<Item = String>, grants: &Grants) -> Self {
        let asked: BTreeSet<String> = asked.into_iter().collect();
        let granted = RwLock::new(grants.of(&asked));
        Granted(Arc::new(GrantedCell { asked, granted }))
    }

    /// From now on this is granted.
    pub fn update(&self, grants: &Grants) {
        let granted = grants.of(&self.0.asked);
        *self.0.granted.write().unwrap_or_else(PoisonError::into_inner) = granted;
    }

    /// Whether there is this permission.
    pub fn has(&self, permission: &str) -> bool {
        self.0.granted().contains(permission)
    }

    /// Whether there is a permission of which this holds.
    pub fn any(&self, holds: impl Fn(&str) -> bool) -> bool {
        self.0.granted().iter().any(|permission| holds(permission))
    }

    /// Fails with the permission's name if it is not there.
    pub fn require(&self, plugin: &str, permission: &str) -> Result<(), AskError> {
        if self.has(permission) {
            return Ok(());
        }
        let why = if self.0.asked.contains(permission) {
            format!("`{permission}` is not granted to `{plugin}`: `camlock grant {plugin} {permission}` does")
        } else {
            format!("`{plugin}` does not ask for `{permission}`: name it under `permissions` in its manifest")
        };
        Err(AskError::new(AskErrorCode::Denied, why))
    }
}

/// What is granted to a plugin now, and its generations that are still there.
#[derive(Default)]
pub(crate) struct GrantedGenerations {
    now: Grants,
    cells: Vec<Weak<GrantedCell>>,
}

impl GrantedGenerations {
    /// What is granted now.
    pub(crate) fn now(&self) -> &Grants {
        &self.now
    }

    /// Another generation begins.
    pub(crate) fn begin(&mut self, asked: &[String], grants: &Grants) -> Granted {
        self.cells.retain(|cell| cell.strong_count() > 0);
        let granted = Granted::new(asked.iter().cloned(), grants);
        self.cells.push(Arc::downgrade(&granted.0));
        granted
    }

    /// From now on this is granted to all of them.
    pub(crate) fn update(&mut self, grants: Grants) {
        for cell in self.cells.iter().filter_map(Weak::upgrade) {
            Granted(cell).update(&grants);
        }
        self.now = grants;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn these(list: &[&str]) -> Grants {
        Grants::these(list.iter().copied()).unwrap()
    }

    #[test]
    fn it_is_written_as_operators_write_it() {
        for (written, grants) in [
            (json!("asked"), Grants::Asked),
            (json!("none"), Grants::default()),
            (json!([]), Grants::default()),
            (json!(["storage", "events:*"]), these(&["storage", "events:*"])),
        ] {
            assert_eq!(serde_json::from_value::<Grants>(written.clone()).unwrap(), grants, "{written}");
        }
        assert_eq!(json!(Grants::Asked), json!("asked"));
        assert_eq!(json!(these(&["tasks", "storage"])), json!(["storage", "tasks"]));
        for (bad, why) in [
            (json!("all"), "invalid value: string \"all\", expected \"asked\", \"none\", or a list of permissions"),
            (json!(7), "invalid type: integer `7`, expected \"asked\", \"none\", or a list of permissions"),
            (json!(["storge"]), "`storge` is no permission; did you mean `storage`?"),
        ] {
            assert_eq!(serde_json::from_value::<Grants>(bad).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn a_generation_has_what_it_asks_for_and_is_granted() {
        let granted = Granted::new(["storage".to_owned(), "tasks".to_owned()], &these(&["storage", "database"]));
        assert!(granted.has("storage") && !granted.has("tasks") && !granted.has("database"));
        let denied = |permission| granted.require("hello", permission).unwrap_err().to_string();
        assert_eq!(denied("tasks"), "denied: `tasks` is not granted to `hello`: `camlock grant hello tasks` does");
        assert_eq!(
            denied("database"),
            "denied: `hello` does not ask for `database`: name it under `permissions` in its manifest"
        );
        granted.clone().update(&Grants::Asked);
        assert!(granted.has("tasks") && granted.require("hello", "tasks").is_ok() && !granted.has("database"));
    }

    #[test]
    fn generations_that_are_there_hear_of_changes() {
        let mut generations = GrantedGenerations::default();
        let asked = ["storage".to_owned()];
        let old = generations.begin(&asked, &Grants::Asked);
        let new = generations.begin(&asked, &Grants::Asked);
        drop(old);
        generations.update(Grants::default());
        assert!(!new.has("storage"));
        let newest = generations.begin(&asked, &Grants::default());
        assert_eq!(generations.cells.len(), 2);
        generations.update(Grants::Asked);
        assert!(new.has("storage") && newest.has("storage"));
    }

    #[test]
    fn sources_are_words() {
        for word in ["directory", "upload", "catalog:main"] {
            assert_eq!(word.parse::<PluginSource>().unwrap().to_string(), word);
        }
        assert!("catalog:".parse::<PluginSource>().is_err() && "elsewhere".parse::<PluginSource>().is_err());
    }
}
