//! What an operator lets catalogs do to plugins that are there: what an advisory comes to, and which newer versions are taken, when.
//! Pure: times come in. What must not live here: what catalogs say, and who installs.

use crate::schedules::zone;
use jiff::{Timestamp, tz::TimeZone};
use semver::{Version, VersionReq};
use serde::Deserialize;
use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

/// What an advisory about a version comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdvisoryPolicy {
    /// It is told.
    #[default]
    Warn,
    /// It is told, and no such version is installed, or updated to.
    Block,
    /// That too, and a plugin of such a version is disabled.
    Disable,
}

/// Which versions count as newer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateChannel {
    /// Those that are no pre-releases.
    #[default]
    Stable,
    /// All.
    PreRelease,
}

/// Minutes. A shorter one could pass between two looks.
const SHORTEST_WINDOW: u16 = 30;

/// A time of day: `02:00-05:00`, or `22:00-04:00 Europe/Berlin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateWindow {
    /// Minutes since midnight.
    from: u16,
    to: u16,
    zone: TimeZone,
    text: String,
}

impl FromStr for UpdateWindow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (hours, name) = text.trim().split_once(' ').unwrap_or((text.trim(), "UTC"));
        let minutes = |text: &str| {
            let (hour, minute) = text.split_once(':')?;
            let two = |text: &str| text.parse::<u16>().ok().filter(|_| text.len() == 2);
            let (hour, minute) = (two(hour)?, two(minute)?);
            (hour < 24 && minute < 60).then_some(hour * 60 + minute)
        };
        let ends = hours.split_once('-').and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)));
        let (from, to) = ends.filter(|(from, to)| from != to).ok_or_else(|| {
            "it is a time of day, like `02:00-05:00`, with a zone behind it if that is not UTC: `22:00-04:00 Europe/Berlin`"
                .to_owned()
        })?;
        if (to + 24 * 60 - from) % (24 * 60) < SHORTEST_WINDOW {
            return Err(format!("it is looked every ten minutes: a window has {SHORTEST_WINDOW} minutes at least"));
        }
        Ok(UpdateWindow { from, to, zone: zone(name.trim())?, text: text.trim().to_owned() })
    }
}

impl fmt::Display for UpdateWindow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl UpdateWindow {
    /// Whether it is that time.
    pub fn is_open(&self, now: Timestamp) -> bool {
        let local = now.to_zoned(self.zone.clone());
        let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or_default();
        match self.from < self.to {
            true => (self.from..self.to).contains(&minute),
            false => minute >= self.from || minute < self.to,
        }
    }
}

/// Which newer versions of a plugin are taken, and when. It is about plugins that are there, and about versions that nobody named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdatePolicy {
    /// Whether they come by themselves.
    pub automatic: bool,
    /// Which versions count.
    pub channel: UpdateChannel,
    /// Only these.
    pub pin: Option<VersionReq>,
    /// By themselves they come only then.
    pub window: Option<UpdateWindow>,
    /// So long a version has to be out. One that mends what an advisory names need not.
    pub minimum_age: Duration,
    /// So long a version serves on one server, as a canary, before the others are asked.
    pub soak: Duration,
}

impl Default for UpdatePolicy {
    fn default() -> Self {
        UpdatePolicy {
            automatic: false,
            channel: UpdateChannel::default(),
            pin: None,
            window: None,
            minimum_age: Duration::from_secs(24 * 3600),
            soak: Duration::ZERO,
        }
    }
}

impl UpdatePolicy {
    /// Why a version is not taken now; none: it is. `mends`: something is wrong with the one that is there, and not with this one.
    pub fn holds(&self, version: &Version, published_at: &str, now: Timestamp, mends: bool) -> Option<String> {
        if self.pin.as_ref().is_some_and(|pin| !pin.matches(version)) {
            return Some(format!("the update policy pins {}", self.pin.as_ref()?));
        }
        if self.channel == UpdateChannel::Stable && !version.pre.is_empty() {
            return Some("it is a pre-release, and the update policy takes none".to_owned());
        }
        if self.minimum_age.is_zero() || mends {
            return None;
        }
        // Of what does not say since when it is out, nobody knows that it is old enough.
        let Ok(published) = published_at.parse::<Timestamp>() else {
            return Some(
                "its catalog does not say when it was published, and the update policy has a minimum age".to_owned(),
            );
        };
        let from = published.checked_add(self.minimum_age).unwrap_or(Timestamp::MAX);
        (now < from).then(|| {
            format!("it is too new: the update policy takes it from {} on", from.strftime("%Y-%m-%d %H:%M UTC"))
        })
    }

    /// Whether updates may come by themselves now.
    pub fn is_time(&self, now: Timestamp) -> bool {
        self.automatic && self.window.as_ref().is_none_or(|window| window.is_open(now))
    }
}

/// What an operator lets catalogs do to plugins that are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogPolicy {
    /// What advisories come to.
    pub advisories: AdvisoryPolicy,
    /// Which newer versions are taken.
    pub updates: UpdatePolicy,
    /// The same for single plugins.
    pub plugins: BTreeMap<String, UpdatePolicy>,
}

impl CatalogPolicy {
    /// Which newer versions of this plugin are taken.
    pub fn updates_of(&self, plugin: &str) -> &UpdatePolicy {
        self.plugins.get(plugin).unwrap_or(&self.updates)
    }

    /// Whether versions that an advisory names are refused.
    pub fn refuses_advised(&self) -> bool {
        self.advisories != AdvisoryPolicy::Warn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn versions_that_are_held() {
        let now = at("2026-03-02T12:00:00Z");
        let usual = UpdatePolicy::default();
        let held = |policy: &UpdatePolicy, version: &str, published: &str, mends| {
            policy.holds(&version.parse().unwrap(), published, now, mends).unwrap_or_default()
        };
        assert_eq!(held(&usual, "1.1.0", "2026-03-01T12:00:00Z", false), "");
        let young = held(&usual, "1.1.0", "2026-03-01T12:00:01Z", false);
        assert_eq!(young, "it is too new: the update policy takes it from 2026-03-02 12:00 UTC on");
        assert_eq!(held(&usual, "1.1.0", "2026-03-02T11:59:00Z", true), "", "it mends what an advisory names");
        assert!(held(&usual, "1.1.0", "", false).contains("does not say when"));
        assert!(held(&usual, "1.1.0-rc.1", "2025-01-01T00:00:00Z", true).contains("pre-release"));
        let pinned = UpdatePolicy {
            pin: Some("~1.0".parse().unwrap()),
            channel: UpdateChannel::PreRelease,
            minimum_age: Duration::ZERO,
            ..usual
        };
        assert_eq!(held(&pinned, "1.0.9", "", false), "");
        assert_eq!(held(&pinned, "1.1.0", "", true), "the update policy pins ~1.0");
    }

    #[test]
    fn times_of_day() {
        let open = |window: &str, now: &str| window.parse::<UpdateWindow>().unwrap().is_open(at(now));
        assert!(open("02:00-05:00", "2026-03-02T02:00:00Z") && open("02:00-05:00", "2026-03-02T04:59:59Z"));
        assert!(!open("02:00-05:00", "2026-03-02T05:00:00Z") && !open("02:00-05:00", "2026-03-02T01:59:59Z"));
        assert!(open("22:00-04:00", "2026-03-02T23:00:00Z") && open("22:00-04:00", "2026-03-02T03:00:00Z"));
        assert!(!open("22:00-04:00", "2026-03-02T12:00:00Z"));
        // An hour further in winter, two in summer.
        assert!(open("02:00-03:00 Europe/Berlin", "2026-01-10T01:30:00Z"));
        assert!(open("02:00-03:00 Europe/Berlin", "2026-07-10T00:30:00Z"));
        for wrong in
            ["", "2-5", "02:00", "24:00-01:00", "02:00-02:00", "02:00-02:20", "02:00-05:00 Atlantis", "0200-0500"]
        {
            assert!(wrong.parse::<UpdateWindow>().is_err(), "{wrong}");
        }
        let policy = UpdatePolicy { automatic: true, window: "02:00-05:00".parse().ok(), ..UpdatePolicy::default() };
        assert!(policy.is_time(at("2026-03-02T03:00:00Z")) && !policy.is_time(at("2026-03-02T06:00:00Z")));
        assert!(!UpdatePolicy::default().is_time(at("2026-03-02T03:00:00Z")), "by an operator's word alone");
    }
}
