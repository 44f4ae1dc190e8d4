//! The rules that a manifest keeps, each with its sentence. What must not live here: how YAML is read.

use super::tree::{YamlNode, YamlValue};
use crate::trouble::{BrokenRule, ManifestViolation};
use camlock_api::DiscoveredAuthor;
use camlock_policy::manifest::Category;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What the forge says of the repository that a manifest lies in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryFacts {
    /// Whose it is.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// The tag of the release that the manifest was read at.
    pub tag: String,
}

/// A manifest that keeps its rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryManifest {
    /// The plugin's name.
    pub name: String,
    /// `v1.2.3`.
    pub version: String,
    /// Of the plugin.
    pub description: String,
    /// One of the list.
    pub category: String,
    /// Names of other plugins, each with the place where it stands.
    pub dependencies: Vec<(String, u64, u64)>,
    /// `github`.
    pub repository_type: String,
    /// Where in the repository the plugin is.
    pub folder: Option<String>,
    /// What it replaces in a build.
    pub replace: Option<String>,
    /// A URL.
    pub docs_url: Option<String>,
    /// Who made it.
    pub author: Option<DiscoveredAuthor>,
    /// As SPDX has it.
    pub license: Option<String>,
    /// To be found by.
    pub keywords: Vec<String>,
}

const CATEGORIES: [Category; 12] = [
    Category::Core,
    Category::Logging,
    Category::Http,
    Category::Jobs,
    Category::Kv,
    Category::Metrics,
    Category::Grpc,
    Category::Monitoring,
    Category::Network,
    Category::Broadcasting,
    Category::Workflow,
    Category::Observability,
];

/// Names have so many characters.
const NAME: std::ops::RangeInclusive<usize> = 3..=50;
/// Descriptions have so many.
const DESCRIPTION: std::ops::RangeInclusive<usize> = 10..=500;
/// Other texts have so many at most.
const LONGEST: usize = 500;
/// Lists have so many items at most.
const MOST: usize = 100;

/// Checks all of them.
pub(super) fn check(root: &YamlNode, facts: &RepositoryFacts) -> Result<RepositoryManifest, Vec<ManifestViolation>> {
    let YamlValue::Mapping(fields) = &root.value else {
        let told = format!("it is {}, and a manifest is a mapping", root.value.word());
        return Err(vec![violation(BrokenRule::InvalidFormat, root, told)]);
    };
    let mut manifest = FieldReader { root, fields, violations: Vec::new() };
    let read = RepositoryManifest {
        name: manifest.name(),
        version: manifest.version(facts),
        description: manifest.description(),
        category: manifest.category(),
        dependencies: Vec::new(),
        repository_type: manifest.repository_type(),
        folder: manifest.folder(),
        replace: manifest.optional("replace"),
        docs_url: manifest.docs_url(),
        author: manifest.author(),
        license: manifest.license(),
        keywords: manifest.keywords(),
    };
    let read = RepositoryManifest { dependencies: manifest.dependencies(&read.name), ..read };
    manifest.is_from(facts);
    if manifest.violations.is_empty() {
        return Ok(read);
    }
    manifest.violations.sort_by_key(|violation| (violation.line, violation.column));
    Err(manifest.violations)
}

fn violation(rule: BrokenRule, at: &YamlNode, message: String) -> ManifestViolation {
    ManifestViolation { rule, line: at.line.max(1), column: at.column.max(1), message }
}

/// Reads fields, and notes what is wrong with them. A field that is wrong is read as empty.
struct FieldReader<'a> {
    root: &'a YamlNode,
    fields: &'a [(String, YamlNode)],
    violations: Vec<ManifestViolation>,
}

impl<'a> FieldReader<'a> {
    fn field(&self, name: &str) -> Option<&'a YamlNode> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, node)| node)
    }

    fn wrong(&mut self, at: &YamlNode, message: impl Into<String>) {
        self.violations.push(violation(BrokenRule::InvalidFormat, at, message.into()));
    }

    /// The text that a field must have.
    fn required(&mut self, name: &str) -> Option<(&'a YamlNode, &'a str)> {
        match self.field(name) {
            Some(node) if !matches!(node.value, YamlValue::Null) => {
                self.text(&format!("'{name}'"), node).map(|text| (node, text))
            }
            at => {
                let told = format!("Missing required field '{name}'");
                self.violations.push(violation(BrokenRule::MissingRequiredField, at.unwrap_or(self.root), told));
                None
            }
        }
    }

    /// The text that a field may have.
    fn optional_at(&mut self, name: &str) -> Option<(&'a YamlNode, &'a str)> {
        let node = self.field(name).filter(|node| !matches!(node.value, YamlValue::Null))?;
        let text = self.text(&format!("'{name}'"), node)?;
        if text.chars().count() > LONGEST {
            self.wrong(node, format!("'{name}' has {LONGEST} characters at most"));
            return None;
        }
        Some((node, text))
    }

    fn optional(&mut self, name: &str) -> Option<String> {
        self.optional_at(name).map(|(_, text)| text.to_owned())
    }

    /// What stands there, if it is text that does not deceive who reads it.
    fn text(&mut self, what: &str, node: &'a YamlNode) -> Option<&'a str> {
        let YamlValue::Text(text) = &node.value else {
            let hint = match node.value {
                YamlValue::Number | YamlValue::Flag => ": write it in quotes",
                _ => "",
            };
            self.wrong(node, format!("{what} is {}, and a text is expected{hint}", node.value.word()));
            return None;
        };
        let deceives = |character: &char| {
            (character.is_control() && !matches!(character, '\n' | '\t'))
                || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}')
        };
        if let Some(character) = text.chars().find(deceives) {
            self.wrong(node, format!("{what} has the invisible character {}", character.escape_unicode()));
            return None;
        }
        Some(text)
    }

    fn name(&mut self) -> String {
        let Some((node, name)) = self.required("name") else { return String::new() };
        if let Some(told) = no_name(name) {
            self.wrong(node, format!("'name' is `{}`: {told}", shown(name)));
        }
        name.to_owned()
    }

    fn version(&mut self, facts: &RepositoryFacts) -> String {
        let Some((node, version)) = self.required("version") else { return String::new() };
        if !is_version(version) {
            let told = format!("'version' is `{}`: it is written `v1.2.3`, three numbers behind a `v`", shown(version));
            self.wrong(node, told);
        } else if version != facts.tag {
            let told = format!(
                "'version' is `{version}`, and the release that it was read from has the tag `{}`: they must be the same",
                shown(&facts.tag)
            );
            self.wrong(node, told);
        }
        version.to_owned()
    }

    fn description(&mut self) -> String {
        let Some((node, description)) = self.required("description") else { return String::new() };
        let length = description.chars().count();
        if !DESCRIPTION.contains(&length) {
            let (least, most) = (DESCRIPTION.start(), DESCRIPTION.end());
            self.wrong(node, format!("'description' has {length} characters, and from {least} to {most} are expected"));
        }
        description.to_owned()
    }

    fn category(&mut self) -> String {
        let Some((node, category)) = self.required("category") else { return String::new() };
        if !CATEGORIES.iter().any(|known| known.word() == category) {
            let all: Vec<_> = CATEGORIES.iter().map(|known| known.word()).collect();
            self.wrong(node, format!("'category' is `{}`, and one of {} is expected", shown(category), all.join(", ")));
        }
        category.to_owned()
    }

    fn dependencies(&mut self, own: &str) -> Vec<(String, u64, u64)> {
        let mut names = Vec::new();
        let mut seen = BTreeSet::new();
        for (node, name) in self.texts("dependencies") {
            if let Some(told) = no_name(name) {
                self.invalid_dependency(node, format!("'dependencies' has `{}`: {told}", shown(name)));
            } else if name == own {
                self.invalid_dependency(node, format!("'dependencies' has `{name}`, which is the plugin itself"));
            } else if !seen.insert(name) {
                self.invalid_dependency(node, format!("'dependencies' has `{name}` twice"));
            }
            names.push((name.to_owned(), node.line, node.column));
        }
        names
    }

    fn invalid_dependency(&mut self, at: &YamlNode, told: String) {
        self.violations.push(violation(BrokenRule::InvalidDependency, at, told));
    }

    /// The texts of a list that may be there.
    fn texts(&mut self, name: &str) -> Vec<(&'a YamlNode, &'a str)> {
        let Some(node) = self.field(name) else { return Vec::new() };
        let items = match &node.value {
            YamlValue::Null => return Vec::new(),
            YamlValue::List(items) if items.len() <= MOST => items,
            YamlValue::List(items) => {
                self.wrong(node, format!("'{name}' has {} items, and {MOST} at most are expected", items.len()));
                return Vec::new();
            }
            other => {
                self.wrong(node, format!("'{name}' is {}, and a list of texts is expected", other.word()));
                return Vec::new();
            }
        };
        let mut texts = Vec::new();
        for item in items {
            if let Some(text) = self.text(&format!("an item of '{name}'"), item) {
                texts.push((item, text));
            }
        }
        texts
    }

    fn repository_type(&mut self) -> String {
        match self.optional_at("repositoryType") {
            None => "github".to_owned(),
            Some((_, kind @ ("github" | "gitea"))) => kind.to_owned(),
            Some((node, other)) => {
                self.wrong(node, format!("'repositoryType' is `{}`, and `github` is expected", shown(other)));
                String::new()
            }
        }
    }

    fn folder(&mut self) -> Option<String> {
        let (node, folder) = self.optional_at("folder")?;
        let leaves = |part: &str| part.is_empty() || part == "." || part == "..";
        if folder.contains(['\\', '\n']) || folder.trim_end_matches('/').split('/').any(leaves) {
            self.wrong(node, format!("'folder' is `{}`, and a path inside the repository is expected", shown(folder)));
        }
        Some(folder.trim_end_matches('/').to_owned())
    }

    fn docs_url(&mut self) -> Option<String> {
        let (node, url) = self.optional_at("docsUrl")?;
        self.is_web_address("'docsUrl'", node, url);
        Some(url.to_owned())
    }

    fn is_web_address(&mut self, what: &str, node: &YamlNode, text: &str) {
        let parsed = url::Url::parse(text);
        if !parsed.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.password().is_none()) {
            self.wrong(node, format!("{what} is `{}`, and an `https://` address is expected", shown(text)));
        }
    }

    fn author(&mut self) -> Option<DiscoveredAuthor> {
        let node = self.field("author").filter(|node| !matches!(node.value, YamlValue::Null))?;
        let YamlValue::Mapping(fields) = &node.value else {
            let word = node.value.word();
            self.wrong(node, format!("'author' is {word}, and a mapping with name, email and url is expected"));
            return None;
        };
        let mut author = FieldReader { root: node, fields, violations: Vec::new() };
        let (name, email, url) = (author.optional("name"), author.optional_at("email"), author.optional_at("url"));
        if let Some((at, email)) = email
            && (!email.contains('@') || email.contains(char::is_whitespace))
        {
            author.wrong(at, format!("'email' is `{}`, which is no address", shown(email)));
        }
        if let Some((at, url)) = url {
            author.is_web_address("'url'", at, url);
        }
        self.violations.append(&mut author.violations);
        let owned = |found: Option<(&YamlNode, &str)>| found.map(|(_, text)| text.to_owned());
        Some(DiscoveredAuthor { name, email: owned(email), url: owned(url) })
    }

    fn license(&mut self) -> Option<String> {
        let (node, license) = self.optional_at("license")?;
        let fits = |character: char| character.is_ascii_alphanumeric() || ".-+() :".contains(character);
        if license.is_empty() || !license.chars().all(fits) {
            self.wrong(node, format!("'license' is `{}`, which is no SPDX expression", shown(license)));
        }
        Some(license.to_owned())
    }

    fn keywords(&mut self) -> Vec<String> {
        let mut keywords = Vec::new();
        for (node, keyword) in self.texts("keywords") {
            if keyword.trim().is_empty() || keyword.chars().count() > *NAME.end() {
                self.wrong(node, format!("a keyword has from 1 to {} characters", NAME.end()));
            }
            keywords.push(keyword.to_owned());
        }
        keywords
    }

    /// `owner` and `repository` say where it lies.
    fn is_from(&mut self, facts: &RepositoryFacts) {
        for (field, actual) in [("owner", &facts.owner), ("repository", &facts.name)] {
            // Forges do not tell large letters from small ones in names.
            if let Some((node, said)) = self.required(field)
                && !said.eq_ignore_ascii_case(actual)
            {
                let told = format!("'{field}' is `{}`, and it lies in {}/{}", shown(said), facts.owner, facts.name);
                self.wrong(node, told);
            }
        }
    }
}

/// Why it is no name, if it is none.
fn no_name(name: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !name.bytes().all(fits) {
        return Some("a name has lower-case letters, digits and hyphens alone".to_owned());
    }
    if !NAME.contains(&name.len()) {
        return Some(format!("a name has from {} to {} characters", NAME.start(), NAME.end()));
    }
    None
}

/// `v1.2.3`.
fn is_version(version: &str) -> bool {
    let numbers = version.strip_prefix('v').map(|rest| rest.split('.').collect::<Vec<_>>());
    let is_number = |part: &&str| !part.is_empty() && part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|parts| parts.len() == 3 && parts.iter().all(is_number))
}

/// The beginning of a text that somebody else wrote.
fn shown(text: &str) -> String {
    let mut beginning: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().count() > 60 {
        beginning.push('…');
    }
    beginning
}
