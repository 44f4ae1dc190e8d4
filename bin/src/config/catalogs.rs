//! `[catalogs]`, `[[catalog]]`, and `updates` of single plugins: which catalogs are followed, and what they may do to plugins that are there. What must not live here: doing it.

use super::{Misconfigured, values::Time};
use camlock_catalog::client::DiscoveredReader;
use camlock_embed::{AdvisoryPolicy, CatalogOrder, CatalogPolicy, UpdateChannel, UpdatePolicy};
use camlock_policy::manifest::check_name;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CatalogsKeys {
    advisories: AdvisoryPolicy,
    updates: UpdateKeys,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UpdateKeys {
    automatic: Option<bool>,
    channel: Option<UpdateChannel>,
    pin: Option<String>,
    window: Option<String>,
    minimum_age: Option<Time>,
    soak: Option<Time>,
}

/// `[[catalog]]`: what `camlock catalog add` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FollowedKeys {
    name: String,
    url: String,
    root_sha256: Option<String>,
    #[serde(default)]
    priority: i32,
    #[serde(default)]
    only: Vec<String>,
    #[serde(default)]
    publishers: Vec<String>,
    #[serde(default)]
    attested_by: Vec<String>,
    #[serde(default)]
    pins: Vec<String>,
    #[serde(default)]
    unsigned: bool,
}

impl FollowedKeys {
    pub(super) fn order(self) -> Result<CatalogOrder, Misconfigured> {
        let FollowedKeys { name, url, root_sha256, priority, only, publishers, attested_by, pins, unsigned } = self;
        if check_name(&name).is_err() {
            return Err(Misconfigured(format!(
                "[[catalog]]: `{}` is no name for a catalog: small letters, digits and hyphens, a letter first, up to 64",
                name.escape_debug()
            )));
        }
        // Whoever says nothing of the root trusts whichever is there when the server starts; a file is no place to do that by the way.
        if root_sha256.is_none() && !unsigned {
            // What is discovered is never signed.
            let told = match DiscoveredReader::organization_of(&url).is_some() {
                true => "`unsigned = true` is missing: nobody signs what is discovered",
                false => "`root_sha256` is missing: its keepers tell it, and `camlock catalog add` shows it",
            };
            return Err(Misconfigured(format!("[[catalog]] `{name}`: {told}")));
        }
        Ok(CatalogOrder { name, url, root_sha256, priority, names: only, publishers, attested_by, pins, unsigned })
    }
}

impl CatalogsKeys {
    /// What they mean, for all plugins of which nothing else is said.
    pub(super) fn policy(self) -> Result<CatalogPolicy, Misconfigured> {
        if self.updates.pin.is_some() {
            return Err(Misconfigured(
                "[catalogs]: `updates.pin` is for one plugin: set it in [plugin.NAME]".to_owned(),
            ));
        }
        let updates = self.updates.over(&UpdatePolicy::default());
        let updates = updates.map_err(|told| Misconfigured(format!("[catalogs]: {told}")))?;
        Ok(CatalogPolicy { advisories: self.advisories, updates, ..CatalogPolicy::default() })
    }
}

impl UpdateKeys {
    /// What they mean, where the rest is as usual.
    pub(super) fn over(self, usual: &UpdatePolicy) -> Result<UpdatePolicy, String> {
        let pin =
            self.pin.map(|pin| pin.parse().map_err(|error| format!("`updates.pin` is no range of versions: {error}")));
        let window = self.window.map(|window| window.parse().map_err(|told| format!("`updates.window`: {told}")));
        Ok(UpdatePolicy {
            automatic: self.automatic.unwrap_or(usual.automatic),
            channel: self.channel.unwrap_or(usual.channel),
            pin: pin.transpose()?,
            window: window.transpose()?.or_else(|| usual.window.clone()),
            minimum_age: self.minimum_age.map_or(usual.minimum_age, |time| time.0),
            soak: self.soak.map_or(usual.soak, |time| time.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Flags};
    use std::{path::Path, time::Duration};

    fn merged(text: &str) -> Result<CatalogPolicy, String> {
        let file = Some((Path::new("/etc/camlock/camlock.toml"), text));
        let merged = Config::merge(&Flags::default(), file, Path::new("/srv/here"), &|_| None);
        merged.map(|config| config.settings.catalogs).map_err(|told| told.0)
    }

    #[test]
    fn one_plugin_may_be_treated_otherwise() {
        assert_eq!(merged(""), Ok(CatalogPolicy::default()));
        let text = "[catalogs]\nadvisories = \"disable\"\nupdates = { automatic = true, window = \"02:00-05:00\", soak = \"30m\" }\n\
                    [plugin.hello.updates]\nautomatic = false\npin = \"1.2\"\nchannel = \"pre-release\"\nminimum_age = \"7m\"";
        let policy = merged(text).unwrap();
        assert_eq!(policy.advisories, AdvisoryPolicy::Disable);
        let window = "02:00-05:00".parse().ok();
        let soak = Duration::from_secs(30 * 60);
        let all = UpdatePolicy { automatic: true, window: window.clone(), soak, ..UpdatePolicy::default() };
        assert_eq!(policy.updates_of("other"), &all);
        let hello = UpdatePolicy {
            automatic: false,
            channel: UpdateChannel::PreRelease,
            pin: "1.2".parse().ok(),
            window,
            minimum_age: Duration::from_secs(7 * 60),
            soak,
        };
        assert_eq!(policy.updates_of("hello"), &hello);
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (text, expected) in [
            ("[[catalog]]\nname = \"Main\"\nurl = \"file:///x\"", "`Main` is no name for a catalog"),
            ("[[catalog]]\nname = \"main\"\nurl = \"file:///x\"", "`root_sha256` is missing"),
            ("[[catalog]]\nname = \"ours\"\nurl = \"discovered:acme\"", "`unsigned = true` is missing"),
            ("[[catalog]]\nname = \"main\"", "missing field `url`"),
            ("catalogs.advisories = \"panic\"", "unknown variant `panic`"),
            ("catalogs.updates.pin = \"1\"", "`updates.pin` is for one plugin"),
            ("catalogs.updates.window = \"at night\"", "[catalogs]: `updates.window`: it is a time of day"),
            ("plugin.hello.updates.pin = \"newest\"", "[plugin.hello]: `updates.pin` is no range"),
            ("limits.updates.automatic = true", "`updates` of all is `catalogs.updates`"),
        ] {
            let refused = merged(text).unwrap_err();
            assert!(refused.contains(expected), "{refused}");
        }
    }
}
