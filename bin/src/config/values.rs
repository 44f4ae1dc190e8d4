//! Times, sizes and origins as people write them. What must not live here: what they are for.

use camlock_embed::Network;
use http::{HeaderValue, uri::Authority};
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use std::{fmt, time::Duration};

/// `"30s"`, `"500ms"`, `"10m"`, `"1h"`, or a number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(pub(super) Duration);

/// `"10 MiB"`, `"unlimited"`, or a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) Option<u64>);

/// `"50%"` of a core, or `"unlimited"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CpuPercent(pub(super) Option<u32>);

/// A number, or `"unlimited"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count(pub(super) Option<u64>);

/// Where a page comes from, as browsers say it: `"https://admin.example.com"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin(pub(super) HeaderValue);

/// What a server is called: `plugins.example.com`. In small letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostName(pub(super) String);

/// Where proxies are: `10.0.0.1`, `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProxyNetwork(pub(super) Network);

/// Longer than anything is waited for. What is added to a clock has to stay within what clocks can tell.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..digits].parse().ok()?, text[digits..].trim()))
}

fn within_a_year<E: Error>(time: Duration) -> Result<Time, E> {
    if time > LONGEST { Err(E::custom("a time is a year at most")) } else { Ok(Time(time)) }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TimeVisitor;
        impl Visitor<'_> for TimeVisitor {
            type Value = Time;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a time (\"30s\")")
            }
            fn visit_i64<E: Error>(self, seconds: i64) -> Result<Time, E> {
                let seconds = u64::try_from(seconds).map_err(|_| E::custom("a time is not negative"))?;
                within_a_year(Duration::from_secs(seconds))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Time, E> {
                let time = number_and_unit(text).and_then(|(number, unit)| match unit {
                    "ms" => Some(Duration::from_millis(number)),
                    "s" => Some(Duration::from_secs(number)),
                    "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
                    "h" => Some(Duration::from_secs(number.checked_mul(3600)?)),
                    _ => None,
                });
                let told = || E::custom(format!("`{text}` is no time: a number and ms, s, m or h"));
                time.ok_or_else(told).and_then(within_a_year)
            }
        }
        deserializer.deserialize_any(TimeVisitor)
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let host = text.strip_prefix("https://").or(text.strip_prefix("http://")).unwrap_or_default();
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]".contains(&byte);
        let value = HeaderValue::from_str(&text).ok().filter(|_| !host.is_empty() && host.bytes().all(good));
        let told =
            || D::Error::custom(format!("`{text}` is no origin: http:// or https://, a host in small letters, a port"));
        value.map(Origin).ok_or_else(told)
    }
}

impl<'de> Deserialize<'de> for HostName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        let authority = text.parse::<Authority>().ok().filter(|_| text.bytes().all(good));
        let host = authority.filter(|authority| authority.port().is_none() && authority.host() == text);
        let host = host.map(|host| HostName(host.as_str().trim_end_matches('.').to_ascii_lowercase()));
        host.ok_or_else(|| D::Error::custom(format!("`{text}` is no host: a name or an address, without a port")))
    }
}

impl<'de> Deserialize<'de> for ProxyNetwork {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let told = |_| D::Error::custom(format!("`{text}` is no address (10.0.0.1) and no network (10.0.0.0/8)"));
        text.parse().map(ProxyNetwork).map_err(told)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;
        impl Visitor<'_> for SizeVisitor {
            type Value = Size;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a size (\"10 MiB\")")
            }
            fn visit_i64<E: Error>(self, bytes: i64) -> Result<Size, E> {
                let bytes = u64::try_from(bytes).map_err(|_| E::custom("a size is not negative"))?;
                Ok(Size(Some(bytes)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                if text == "unlimited" {
                    return Ok(Size(None));
                }
                let size = number_and_unit(text).and_then(|(number, unit)| match unit {
                    "B" => Some(number),
                    "KiB" => number.checked_mul(1 << 10),
                    "MiB" => number.checked_mul(1 << 20),
                    "GiB" => number.checked_mul(1 << 30),
                    _ => None,
                });
                let told =
                    || E::custom(format!("`{text}` is no size: a number and B, KiB, MiB or GiB, or `unlimited`"));
                size.map(|size| Size(Some(size))).ok_or_else(told)
            }
        }
        deserializer.deserialize_any(SizeVisitor)
    }
}

impl<'de> Deserialize<'de> for CpuPercent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "unlimited" {
            return Ok(CpuPercent(None));
        }
        let percent = text.strip_suffix('%').and_then(|percent| percent.trim().parse().ok());
        let told = || D::Error::custom(format!("`{text}` is no share of a core: \"50%\", \"200%\", or \"unlimited\""));
        percent.map(|percent| CpuPercent(Some(percent))).ok_or_else(told)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountVisitor;
        impl Visitor<'_> for CountVisitor {
            type Value = Count;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a number, or \"unlimited\"")
            }
            fn visit_i64<E: Error>(self, count: i64) -> Result<Count, E> {
                let count = u64::try_from(count).map_err(|_| E::custom("a number is not negative"))?;
                Ok(Count(Some(count)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Count, E> {
                if text == "unlimited" { Ok(Count(None)) } else { Err(E::custom(format!("`{text}` is no number"))) }
            }
        }
        deserializer.deserialize_any(CountVisitor)
    }
}
