//! `[discovery]`, and the variables that stand for its keys, those among them that other programs know. What must not live here: how
//! plugins are discovered.

use super::{Misconfigured, values::Time};
use camlock_embed::{CacheSetting, DiscoverySettings, HiddenText, Overrides};
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

/// A variable of the environment.
pub(super) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

#[derive(Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DiscoveryKeys {
    enabled: Option<bool>,
    organization: Option<String>,
    api: Option<String>,
    manifest: Option<OneOrMore>,
    /// Nobody is told.
    token: Option<String>,
    ttl: Option<Time>,
    cache: Option<String>,
    /// Nobody is told.
    webhook_secret: Option<String>,
    lazy: Option<bool>,
    releases_only: Option<bool>,
    #[serde(rename = "override")]
    overrides: Option<MayOverride>,
    timeout: Option<Time>,
    attempts: Option<usize>,
}

impl fmt::Debug for DiscoveryKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DiscoveryKeys").field("organization", &self.organization).finish_non_exhaustive()
    }
}

#[derive(Deserialize, PartialEq)]
#[serde(untagged, expecting = "a file's name, or a list of them")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(Deserialize, PartialEq)]
#[serde(untagged, expecting = "true, false, or a list of names")]
enum MayOverride {
    Any(bool),
    These(BTreeSet<String>),
}

/// What a variable says, with its name: the first of these that is there and not empty.
fn said(variables: Variables<'_>, names: &[&'static str]) -> Option<(&'static str, String)> {
    let named = |name: &&'static str| Some((*name, variables(name).filter(|text| !text.is_empty())?));
    names.iter().find_map(named)
}

fn number<T: FromStr>(name: &str, text: &str) -> Result<T, Misconfigured> {
    text.trim().parse().map_err(|_| Misconfigured(format!("{name} is a number, and not `{}`", text.escape_debug())))
}

fn yes_or_no(variables: Variables<'_>, name: &'static str) -> Result<Option<bool>, Misconfigured> {
    let Some((_, text)) = said(variables, &[name]) else { return Ok(None) };
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(Some(true)),
        "false" | "0" | "no" | "off" => Ok(Some(false)),
        _ => Err(Misconfigured(format!("{name} is true or false, and not `{}`", text.escape_debug()))),
    }
}

impl DiscoveryKeys {
    /// What they mean, under what the environment says; none: nothing is discovered. Paths in them are relative to `base`.
    pub(super) fn settings(
        self,
        variables: Variables<'_>,
        base: &Path,
    ) -> Result<Option<DiscoverySettings>, Misconfigured> {
        let text = |names: &[&'static str], key: &Option<String>| {
            said(variables, names).map(|(_, text)| text).or_else(|| key.clone())
        };
        let asked_for = yes_or_no(variables, "VELOX_DISCOVERY_ENABLED")?.or(self.enabled);
        if asked_for == Some(false) {
            return Ok(None);
        }
        let organization = text(&["VELOX_GITHUB_ORG"], &self.organization).filter(|name| !name.is_empty());
        let Some(organization) = organization else {
            if asked_for == Some(true) || self != DiscoveryKeys::default() {
                let told = "[discovery]: `organization` is missing: it names whose repositories are looked at";
                return Err(Misconfigured(told.to_owned()));
            }
            return Ok(None);
        };
        let mut settings = DiscoverySettings::new(organization);
        settings.api = self.api.clone().unwrap_or(settings.api);
        settings.manifests = match self.manifest {
            Some(OneOrMore::One(file)) => vec![file],
            Some(OneOrMore::More(files)) => files,
            None => settings.manifests,
        };
        if settings.manifests.is_empty() || !settings.manifests.iter().all(|file| is_file_name(file)) {
            let told = "[discovery]: `manifest` is a file's name (letters, digits, `.`, `_`, `-`), or a list of them";
            return Err(Misconfigured(told.to_owned()));
        }
        settings.token = text(&["GITHUB_TOKEN"], &self.token).and_then(HiddenText::new);
        if settings.token.as_ref().is_some_and(|token| !token.text().bytes().all(|byte| byte.is_ascii_graphic())) {
            let told = "[discovery]: `token`, or GITHUB_TOKEN, is no token: it has spaces, or what is no letter";
            return Err(Misconfigured(told.to_owned()));
        }
        settings.webhook_secret =
            text(&["CAMLOCK_WEBHOOK_SECRET", "VELOX_WEBHOOK_SECRET"], &self.webhook_secret).and_then(HiddenText::new);
        settings.ttl = match said(variables, &["VELOX_CACHE_TTL"]) {
            Some((name, seconds)) => Duration::from_secs(number(name, &seconds)?),
            None => self.ttl.map_or(settings.ttl, |time| time.0),
        };
        if settings.ttl < Duration::from_secs(10) || settings.ttl > Duration::from_secs(366 * 24 * 3600) {
            return Err(Misconfigured("[discovery]: `ttl` is 10 s at least, and a year at most".to_owned()));
        }
        settings.cache = match (said(variables, &["VELOX_CACHE_DRIVER"]), &self.cache) {
            (Some((name, text)), _) => cache(name, &text, base)?,
            (None, Some(text)) => cache("[discovery]: `cache`", text, base)?,
            (None, None) => settings.cache,
        };
        settings.lazy = yes_or_no(variables, "VELOX_LAZY_LOAD")?.or(self.lazy).unwrap_or(settings.lazy);
        if self.releases_only == Some(false) {
            let told = "[discovery]: `releases_only` is true: manifests are read at a release, where nothing moves";
            return Err(Misconfigured(told.to_owned()));
        }
        settings.overrides = match self.overrides {
            None | Some(MayOverride::Any(false)) => Overrides::None,
            Some(MayOverride::Any(true)) => Overrides::All,
            Some(MayOverride::These(names)) => Overrides::These(names),
        };
        settings.timeout = self.timeout.map_or(settings.timeout, |time| time.0);
        if settings.timeout < Duration::from_secs(1) {
            return Err(Misconfigured("[discovery]: `timeout` is a second at least".to_owned()));
        }
        settings.attempts = self.attempts.unwrap_or(settings.attempts);
        if settings.attempts > 10 {
            return Err(Misconfigured("[discovery]: `attempts` is 10 at most".to_owned()));
        }
        Ok(Some(settings))
    }
}

/// What may stand in a question to a forge.
fn is_file_name(file: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=100).contains(&file.len()) && file.bytes().all(fits) && !matches!(file, "." | "..")
}

/// Where it is kept: under our names, or theirs.
fn cache(place: &str, text: &str, base: &Path) -> Result<CacheSetting, Misconfigured> {
    match text {
        "registry" => Ok(CacheSetting::Registry),
        "memory" | "array" => Ok(CacheSetting::Memory),
        "file" => Ok(CacheSetting::Files(None)),
        _ if text.starts_with("file://") => match Path::new(&text[7..]) {
            directory if directory.is_absolute() => Ok(CacheSetting::Files(Some(PathBuf::from(directory)))),
            _ => Err(Misconfigured(format!("{place}: file:// has a whole path behind it: file://{}", base.display()))),
        },
        _ if text == "redis" || text.starts_with("redis://") || text.starts_with("rediss://") => {
            let told = "this program keeps nothing in Redis: `registry` is shared by all servers of a fleet as well";
            Err(Misconfigured(format!("{place}: {told}")))
        }
        _ => Err(Misconfigured(format!("{place} is `registry`, `memory`, `file`, or file:///A/DIRECTORY"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(keys: &str, variables: &[(&str, &str)]) -> Result<Option<DiscoverySettings>, Misconfigured> {
        let keys: DiscoveryKeys = toml::from_str(keys).map_err(|error| Misconfigured(error.message().to_owned()))?;
        let variable =
            |name: &str| variables.iter().find(|(there, _)| *there == name).map(|(_, value)| (*value).to_owned());
        keys.settings(&variable, Path::new("/etc/camlock"))
    }

    #[test]
    fn it_is_off_unless_somebodys_repositories_are_named() {
        for variables in [&[][..], &[("GITHUB_TOKEN", "t")], &[("VELOX_CACHE_TTL", "7"), ("VELOX_GITHUB_ORG", "")]] {
            assert_eq!(parsed("", variables), Ok(None));
        }
        assert_eq!(parsed("organization = \"acme\"", &[]), Ok(Some(DiscoverySettings::new("acme"))));
        assert_eq!(parsed("organization = \"acme\"\nenabled = false", &[]), Ok(None));
        assert_eq!(parsed("organization = \"acme\"", &[("VELOX_DISCOVERY_ENABLED", "0")]), Ok(None));
        for (keys, variables) in [("token = \"t\"", &[][..]), ("", &[("VELOX_DISCOVERY_ENABLED", "true")])] {
            assert!(parsed(keys, variables).unwrap_err().0.contains("`organization` is missing"));
        }
    }

    #[test]
    fn each_key_and_each_variable_is_read() {
        let keys = "organization = \"acme\"\napi = \"https://git.example.com/api/v1\"\ntoken = \"t0ken\"\nttl = \"10m\"\n\
                    manifest = [\".camlock.yaml\", \".velox.yaml\"]\ncache = \"file\"\nwebhook_secret = \"s3cret\"\nlazy = false\n\
                    releases_only = true\noverride = [\"redis-cache\"]\ntimeout = \"5s\"\nattempts = 1";
        let expected = DiscoverySettings {
            api: "https://git.example.com/api/v1".to_owned(),
            manifests: vec![".camlock.yaml".to_owned(), ".velox.yaml".to_owned()],
            token: HiddenText::new("t0ken"),
            ttl: Duration::from_secs(600),
            cache: CacheSetting::Files(None),
            webhook_secret: HiddenText::new("s3cret"),
            lazy: false,
            overrides: Overrides::These(BTreeSet::from(["redis-cache".to_owned()])),
            timeout: Duration::from_secs(5),
            attempts: 1,
            ..DiscoverySettings::new("acme")
        };
        let settings = parsed(keys, &[]).unwrap().unwrap();
        assert_eq!(settings, expected);
        let shown = format!("{settings:?} {:?}", toml::from_str::<DiscoveryKeys>(keys).unwrap());
        assert!(!shown.contains("t0ken") && !shown.contains("s3cret"), "{shown}");
        let variables = [
            ("VELOX_GITHUB_ORG", "others"),
            ("GITHUB_TOKEN", "theirs"),
            ("VELOX_CACHE_TTL", "7200"),
            ("VELOX_CACHE_DRIVER", "array"),
            ("VELOX_LAZY_LOAD", "true"),
            ("VELOX_WEBHOOK_SECRET", "theirs"),
        ];
        let settings = parsed(keys, &variables).unwrap().unwrap();
        let expected = DiscoverySettings {
            organization: "others".to_owned(),
            token: HiddenText::new("theirs"),
            ttl: Duration::from_secs(7_200),
            cache: CacheSetting::Memory,
            lazy: true,
            webhook_secret: HiddenText::new("theirs"),
            ..expected
        };
        assert_eq!(settings, expected);
        let both = [("VELOX_WEBHOOK_SECRET", "theirs"), ("CAMLOCK_WEBHOOK_SECRET", "ours")];
        assert_eq!(parsed(keys, &both).unwrap().unwrap().webhook_secret, HiddenText::new("ours"));
        let anything =
            parsed("organization = \"acme\"\noverride = true\nmanifest = \".velox.yaml\"", &[]).unwrap().unwrap();
        assert_eq!((anything.overrides, &*anything.manifests[0]), (Overrides::All, ".velox.yaml"));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (keys, variables, expected) in [
            ("manifest = []", &[][..], "`manifest` is a file's name"),
            ("manifest = \"a/b\\\"\"", &[], "`manifest` is a file's name"),
            ("manifest = 7", &[], "a file's name, or a list of them"),
            ("override = \"all\"", &[], "true, false, or a list of names"),
            ("releases_only = false", &[], "`releases_only` is true"),
            ("ttl = \"1s\"", &[], "`ttl` is 10 s at least"),
            ("timeout = 0", &[], "`timeout` is a second at least"),
            ("attempts = 11", &[], "`attempts` is 10 at most"),
            ("token = \"a b\"", &[], "is no token"),
            ("cache = \"redis://127.0.0.1\"", &[], "keeps nothing in Redis"),
            ("cache = \"disk\"", &[], "`cache` is `registry`, `memory`, `file`"),
            ("cache = \"file://here\"", &[], "a whole path"),
            ("", &[("VELOX_CACHE_DRIVER", "redis")], "VELOX_CACHE_DRIVER: this program keeps nothing in Redis"),
            ("", &[("VELOX_CACHE_TTL", "soon")], "VELOX_CACHE_TTL is a number, and not `soon`"),
            ("", &[("VELOX_LAZY_LOAD", "perhaps")], "VELOX_LAZY_LOAD is true or false"),
        ] {
            let refused = parsed(&format!("organization = \"acme\"\n{keys}"), variables).unwrap_err().0;
            assert!(refused.contains(expected), "{refused}");
        }
    }
}
