//! What a plugin says of itself: `[package]` and `[package.metadata.camlock]` of the `Cargo.toml` that its file carries.
//!
//! Reading is pure and never trusts: lengths, characters and keys are checked, and an error says where it is.

use crate::{
    ExecutionTerms, Isolation,
    permissions::check_permission,
    schedules::{Schedule, check_schedules},
    subscriptions::{Subscription, check_subscriptions},
    task_types::{TaskType, check_task_types},
    ui::UiSection,
};
use serde::Deserialize;
use std::{collections::BTreeMap, ops::Range};

/// How the claim of a host begins; the host follows.
pub(crate) const HOST_CLAIM: &str = "//";

/// A plugin's own words, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The package's name, which is the plugin's.
    pub name: String,
    /// The package's version.
    pub version: String,
    /// One line, or empty.
    pub description: String,
    /// As cargo lists them.
    pub authors: Vec<String>,
    /// An SPDX expression, or empty.
    pub license: String,
    /// As cargo lists them.
    pub keywords: Vec<String>,
    /// A URL, or empty.
    pub repository: String,
    /// A URL, or empty.
    pub documentation: String,
    /// From `[package.metadata.camlock]`.
    pub camlock: Camlock,
}

/// `[package.metadata.camlock]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Camlock {
    /// What sort of plugin it is.
    pub category: Option<Category>,
    /// What it claims: top-level paths, exact or trees with `/*`; and, once it is read, each of the hosts as `//HOST`.
    pub routes: Vec<String>,
    /// Hosts of its own, under which everything is the plugin's.
    pub hosts: Vec<String>,
    /// Whether `Location` and the paths of cookies are rewritten under its mount; they are unless it says no.
    pub rewrite: Option<bool>,
    /// Other plugins, with the versions that will do.
    pub dependencies: BTreeMap<String, String>,
    /// What it asks to be allowed.
    pub permissions: Vec<String>,
    /// Which runtime it is given.
    pub runtime: Runtime,
    /// How state crosses a reload.
    pub handover: Option<Handover>,
    /// Where it asks to run.
    pub isolation: Option<Isolation>,
    /// The file with the schema of its configuration, beside the manifest.
    pub config: Option<String>,
    /// What it works out for whoever waits for it is like.
    pub execute: ExecutionTerms,
    /// Which events it wants to hear of.
    pub subscriptions: Vec<Subscription>,
    /// The types of tasks that it takes.
    pub task_types: Vec<TaskType>,
    /// When it is called at set times.
    pub schedules: Vec<Schedule>,
    /// What it brings to the page.
    pub ui: UiSection,
}

/// The categories, as a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Category {
    Core,
    Logging,
    Http,
    Jobs,
    Kv,
    Metrics,
    Grpc,
    Monitoring,
    Network,
    Broadcasting,
    Workflow,
    Observability,
}

impl Category {
    /// The category as manifests write it.
    pub fn word(self) -> &'static str {
        match self {
            Category::Core => "core",
            Category::Logging => "logging",
            Category::Http => "http",
            Category::Jobs => "jobs",
            Category::Kv => "kv",
            Category::Metrics => "metrics",
            Category::Grpc => "grpc",
            Category::Monitoring => "monitoring",
            Category::Network => "network",
            Category::Broadcasting => "broadcasting",
            Category::Workflow => "workflow",
            Category::Observability => "observability",
        }
    }
}

/// The runtime inside a plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// A small tokio runtime of its own.
    #[default]
    Tokio,
    /// The plugin has no runtime of its own.
    None,
}

/// How state crosses a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Handover {
    /// New requests wait while the old generation drains and saves.
    Quiesce,
}

/// Why a manifest was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

/// The longest text that is taken of a plugin.
const LONGEST: usize = 4096;
/// The largest `Cargo.toml` that is read.
const LARGEST_FILE: usize = 256 * 1024;
/// Names that no plugin may have, for paths of the server are called so.
const RESERVED: &[&str] = &["discovered", "discovery", "catalog", "marketplace"];

/// Reads what an artifact's sections hold: the strings cargo gave, and the manifest's text.
pub fn read(package: &BTreeMap<String, Vec<u8>>, cargo_toml: &[u8]) -> Result<Manifest, Invalid> {
    let field = |key: &str| text(key, package.get(key).map_or(&[][..], Vec::as_slice));
    let name = field("name")?;
    check_name(&name)?;
    let version = field("version")?;
    if version.is_empty() {
        return Err(Invalid("the artifact gives no version".to_owned()));
    }
    let authors = field("authors")?.split(':').filter(|author| !author.is_empty()).map(str::to_owned).collect();
    let of_file = parsed(cargo_toml)?;
    Ok(Manifest {
        version,
        authors,
        description: field("description")?,
        license: field("license")?,
        keywords: of_file.keywords()?,
        repository: field("repository")?,
        documentation: of_file.documentation()?,
        camlock: of_file.metadata.camlock,
        name,
    })
}

/// Checks a plugin's name.
pub fn check_name(name: &str) -> Result<(), Invalid> {
    let words_are_good = name
        .split('-')
        .all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
    if !words_are_good || !name.starts_with(|first: char| first.is_ascii_lowercase()) || !(3..=50).contains(&name.len())
    {
        return Err(Invalid(format!(
            "`{}` is no name for a plugin: 3 to 50 lower-case letters and digits, in words joined by hyphens, \
             beginning with a letter",
            shown(name)
        )));
    }
    if RESERVED.contains(&name) {
        return Err(Invalid(format!("the name `{name}` is reserved for the server's own paths")));
    }
    Ok(())
}

/// Checks a text that people will see.
fn text(what: &str, bytes: &[u8]) -> Result<String, Invalid> {
    if bytes.len() > LONGEST {
        return Err(Invalid(format!("`{what}` is {} bytes long, more than the {LONGEST} that are taken", bytes.len())));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Invalid(format!("`{what}` is not UTF-8")))?;
    match text.chars().find(|character| character.is_control() && *character != '\n' && *character != '\t') {
        Some(control) => Err(Invalid(format!("`{what}` has the control character {}", control.escape_unicode()))),
        None => Ok(text.to_owned()),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}

/// `[package]`, as far as cargo does not hand it to the compiler. What comes from a workspace is not known here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct CargoPackage {
    keywords: Option<toml::Value>,
    documentation: Option<toml::Value>,
    metadata: MetadataTable,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MetadataTable {
    camlock: Camlock,
}

impl CargoPackage {
    fn keywords(&self) -> Result<Vec<String>, Invalid> {
        let given = self.keywords.as_ref().and_then(toml::Value::as_array).into_iter().flatten();
        given.filter_map(toml::Value::as_str).map(|keyword| text("keywords", keyword.as_bytes())).collect()
    }

    fn documentation(&self) -> Result<String, Invalid> {
        let given = self.documentation.as_ref().and_then(toml::Value::as_str).unwrap_or_default();
        text("documentation", given.as_bytes())
    }
}

/// Reads `[package.metadata.camlock]` out of a `Cargo.toml`.
pub fn camlock(cargo_toml: &[u8]) -> Result<Camlock, Invalid> {
    parsed(cargo_toml).map(|package| package.metadata.camlock)
}

fn parsed(cargo_toml: &[u8]) -> Result<CargoPackage, Invalid> {
    #[derive(Deserialize)]
    struct CargoToml {
        #[serde(default)]
        package: CargoPackage,
    }
    if cargo_toml.len() > LARGEST_FILE {
        return Err(Invalid(format!("Cargo.toml is {} bytes long, more than {LARGEST_FILE}", cargo_toml.len())));
    }
    let source = std::str::from_utf8(cargo_toml).map_err(|_| Invalid("Cargo.toml is not UTF-8".to_owned()))?;
    let file: CargoToml = toml::from_str(source).map_err(|error| {
        let line = error.span().map(|span: Range<usize>| 1 + source[..span.start].matches('\n').count());
        let place = line.map_or_else(|| "Cargo.toml".to_owned(), |line| format!("Cargo.toml, line {line}"));
        Invalid(format!("{place}: {}", error.message()))
    })?;
    let mut package = file.package;
    let camlock = &mut package.metadata.camlock;
    for route in &camlock.routes {
        check_route(route)?;
    }
    for host in &camlock.hosts {
        check_host(host)?;
        camlock.routes.push(format!("{HOST_CLAIM}{host}"));
    }
    for permission in &camlock.permissions {
        check_permission(text("permissions", permission.as_bytes())?.as_str())
            .map_err(|unknown| Invalid(format!("`permissions`: {unknown}")))?;
    }
    if camlock.execute.seconds == Some(0) {
        return Err(Invalid("`execute`: `seconds` is 1 at least".to_owned()));
    }
    check_subscriptions(&camlock.subscriptions, &camlock.permissions)?;
    if let Some(file) = &camlock.config {
        check_schema_file(file)?;
    }
    check_task_types(&camlock.task_types).map_err(Invalid)?;
    check_schedules(&camlock.schedules).map_err(Invalid)?;
    if !camlock.schedules.is_empty() && !camlock.permissions.iter().any(|permission| permission == "schedule") {
        return Err(Invalid("`schedules` needs the permission `schedule`: name it under `permissions`".to_owned()));
    }
    if !camlock.task_types.is_empty() && !camlock.permissions.iter().any(|permission| permission == "tasks") {
        return Err(Invalid("`task_types` needs the permission `tasks`: name it under `permissions`".to_owned()));
    }
    camlock.ui.check().map_err(|why| Invalid(format!("`ui`: {why}")))?;
    for name in camlock.dependencies.keys() {
        check_name(name)?;
    }
    Ok(package)
}

/// Checks the name of the configuration's schema: it lies beside the manifest, or below.
fn check_schema_file(file: &str) -> Result<(), Invalid> {
    let plain = file.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if plain && file.len() <= 200 && !file.contains('\\') {
        return text("config", file.as_bytes()).map(drop);
    }
    Err(Invalid(format!(
        "`config` names `{}`: the schema of a configuration is a file in the plugin's folder (`config.schema.json`)",
        shown(file)
    )))
}

/// Paths that belong to the server.
const SERVERS_OWN: &[&str] = &["/_", "/api", "/plugins", "/metrics", "/openapi.json", "/docs", "/admin"];

/// What of the server's own a path belongs to, if it does.
pub(crate) fn servers_own(path: &str) -> Option<&'static str> {
    let inside = |own: &&&str| path.strip_prefix(**own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    SERVERS_OWN.iter().find(inside).copied()
}

/// Checks a claimed host: a name in lower case, no address and no port, and none that every machine calls itself.
fn check_host(host: &str) -> Result<(), Invalid> {
    let label_is_good = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let is_address = host.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if host.len() > 253 || !host.split('.').all(label_is_good) || is_address {
        return Err(Invalid(format!(
            "the claimed host `{}` is no name of a host, in lower case and without a port (`shop.example.com`)",
            shown(host)
        )));
    }
    if host == "localhost" || host.ends_with(".localhost") {
        return Err(Invalid(format!("the claimed host `{host}` is every machine's name for itself")));
    }
    Ok(())
}

/// Checks a claimed path.
fn check_route(route: &str) -> Result<(), Invalid> {
    // With the operator's word, the first page, and what is left.
    if matches!(route, "/" | "/*") {
        return Ok(());
    }
    let path = route.strip_suffix("/*").unwrap_or(route);
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"*{}?#%\\\"<>".contains(&byte));
    let segments_are_good = path.split('/').skip(1).all(|segment| !matches!(segment, "" | "." | ".."));
    if !path.starts_with('/') || !plain || !segments_are_good || route.len() > 200 {
        let meant = format!("/{}", route.trim_matches('/'));
        let advice = if meant != route && meant.len() > 1 && check_route(&meant).is_ok() {
            format!(": write `{meant}`")
        } else {
            String::new()
        };
        return Err(Invalid(format!(
            "the claimed path `{}` is neither an exact path (`/hello`) nor a tree (`/tables/*`){advice}",
            shown(route)
        )));
    }
    match servers_own(path) {
        Some(own) => Err(Invalid(format!("the claimed path `{route}` belongs to the server (`{own}`)"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(entries: &[(&str, &[u8])]) -> BTreeMap<String, Vec<u8>> {
        let mut package =
            BTreeMap::from([("name".to_owned(), b"hello".to_vec()), ("version".to_owned(), b"1.0.0".to_vec())]);
        package.extend(entries.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())));
        package
    }

    fn refused(entries: &[(&str, &[u8])], cargo_toml: &str) -> String {
        read(&package(entries), cargo_toml.as_bytes()).unwrap_err().0
    }

    #[test]
    fn a_whole_manifest_is_read() {
        let manifest = read(
            &package(&[("authors", b"A <a@example.com>:B"), ("description", "täglich".as_bytes())]),
            br#"
                [package]
                name = "hello"
                keywords = ["greeting", "web"]
                documentation = "https://docs.example.com"
                [package.metadata.camlock]
                category = "http"
                routes = ["/hello", "/tables/*"]
                dependencies = { kv-store = "^1.2" }
                permissions = ["network:api.example.com"]
                runtime = "none"
                handover = "quiesce"
            "#,
        )
        .unwrap();
        assert_eq!(manifest.authors, ["A <a@example.com>", "B"]);
        assert_eq!(manifest.keywords, ["greeting", "web"]);
        assert_eq!(manifest.documentation, "https://docs.example.com");
        assert_eq!(manifest.camlock.category, Some(Category::Http));
        assert_eq!(manifest.camlock.runtime, Runtime::None);
        assert_eq!(manifest.camlock.handover, Some(Handover::Quiesce));
        assert_eq!(read(&package(&[]), b"[package]").unwrap().camlock, Camlock::default());
        let inherited = read(&package(&[]), b"[package]\nkeywords.workspace = true").unwrap();
        assert_eq!((inherited.keywords, inherited.documentation), (Vec::new(), String::new()));
    }

    #[test]
    fn bad_text_is_refused_with_its_field() {
        assert_eq!(refused(&[("description", b"a\x07b")], ""), "`description` has the control character \\u{7}");
        assert_eq!(refused(&[("license", b"\xff")], ""), "`license` is not UTF-8");
        assert_eq!(
            refused(&[("description", &vec![b'x'; 10 << 20])], ""),
            "`description` is 10485760 bytes long, more than the 4096 that are taken"
        );
        assert_eq!(refused(&[("version", b"")], ""), "the artifact gives no version");
    }

    #[test]
    fn names_have_bounds() {
        for good in ["abc", "a1-b2", &"x".repeat(50)] {
            assert_eq!(check_name(good), Ok(()));
        }
        for bad in ["ab", "Abc", "1bc", "a--b", "-ab", "ab-", "a_b", "ä-b", "", &"x".repeat(51)] {
            assert!(check_name(bad).unwrap_err().0.contains("is no name for a plugin"), "{bad}");
        }
        assert_eq!(check_name("catalog").unwrap_err().0, "the name `catalog` is reserved for the server's own paths");
    }

    #[test]
    fn mistakes_in_the_manifest_name_their_line() {
        let unknown = refused(&[], "[package]\nname = \"x\"\n[package.metadata.camlock]\ncatgory = \"http\"\n");
        assert!(
            unknown.starts_with("Cargo.toml, line 4: unknown field `catgory`, expected one of `category`"),
            "{unknown}"
        );
        let wrong = refused(&[], "[package.metadata.camlock]\n\nroutes = 7\n");
        assert!(wrong.starts_with("Cargo.toml, line 3: invalid type: integer `7`"), "{wrong}");
        let category = refused(&[], "[package.metadata.camlock]\ncategory = \"htp\"\n");
        assert!(category.starts_with("Cargo.toml, line 2: unknown variant `htp`"), "{category}");
    }

    #[test]
    fn claimed_paths_are_checked() {
        for good in ["/hello", "/tables/*", "/a/b.c", "/apis", "/_x", "/", "/*"] {
            assert_eq!(check_route(good), Ok(()), "{good}");
        }
        for bad in ["hello", "//x", "//", "//*", "/a/../b", "/a b", "/a*", "/a/*/b", "/{x}", "/a?b", "/ä"] {
            assert!(check_route(bad).unwrap_err().0.contains("is neither an exact path"), "{bad}");
        }
        for (bad, meant) in [("hello", "/hello"), ("/hello/", "/hello"), ("tables/*", "/tables/*")] {
            assert!(check_route(bad).unwrap_err().0.ends_with(&format!(": write `{meant}`")), "{bad}");
        }
        assert!(check_route("/a b").unwrap_err().0.ends_with("nor a tree (`/tables/*`)"));
        for own in ["/api", "/api/*", "/_/live", "/docs", "/openapi.json"] {
            assert!(check_route(own).unwrap_err().0.contains("belongs to the server"), "{own}");
        }
    }

    #[test]
    fn claimed_hosts_are_checked_and_count_as_claims() {
        let text = "[package.metadata.camlock]\nroutes = [\"/\"]\nhosts = [\"shop.example.com\"]\nrewrite = false";
        let camlock = camlock(text.as_bytes()).unwrap();
        assert_eq!(camlock.routes, ["/", "//shop.example.com"]);
        assert_eq!((camlock.hosts, camlock.rewrite), (vec!["shop.example.com".to_owned()], Some(false)));
        for bad in
            ["", "Shop.example.com", "shop.example.com:80", "10.0.0.1", "[::1]", "-a.example", "a..b", "a b", "*"]
        {
            assert!(check_host(bad).unwrap_err().0.contains("is no name of a host"), "{bad}");
        }
        for bad in ["localhost", "shop.localhost"] {
            assert!(check_host(bad).unwrap_err().0.contains("every machine's name"), "{bad}");
        }
    }
}
