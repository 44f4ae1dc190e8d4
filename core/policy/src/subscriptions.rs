//! What a manifest says of the events that its plugin wants to hear of. Pure. What must not live here: how they are brought.

use crate::{
    manifest::Invalid,
    topics::{NoTopic, TopicPattern},
};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::{collections::BTreeSet, fmt};

/// A plugin may have so many subscriptions in its manifest.
const MOST: usize = 32;

/// What the permission to hear of events begins with; a pattern follows.
pub const SUBSCRIBE: &str = "events:subscribe:";

/// What the permission to emit events begins with; a pattern of topics follows.
pub const EMIT: &str = "events:emit:";

/// Events that a plugin wants to hear of, each by [`event`] of the SDK's `Plugin`. In a manifest it is a pattern, or a table with
/// these fields.
///
/// [`event`]: https://docs.rs/camlock-plugin
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subscription {
    /// Which topics.
    pub pattern: TopicPattern,
    /// By which name operators see it, among those of this plugin: the pattern, if nothing else is said.
    pub name: String,
    /// Whether events that come while the plugin does not serve are kept for it.
    pub durable: bool,
    /// Which servers of a fleet hear of a durable event.
    pub deliver: DeliverTo,
}

/// Which servers of a fleet hear of a durable event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliverTo {
    /// One of them.
    #[default]
    One,
    /// Each of them.
    Every,
}

impl DeliverTo {
    /// As manifests write it.
    pub fn word(self) -> &'static str {
        match self {
            DeliverTo::One => "one",
            DeliverTo::Every => "every",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubscriptionTable {
    pattern: String,
    name: Option<String>,
    #[serde(default)]
    durable: bool,
    deliver: Option<DeliverTo>,
}

impl TryFrom<SubscriptionTable> for Subscription {
    type Error = String;

    fn try_from(table: SubscriptionTable) -> Result<Self, String> {
        let SubscriptionTable { pattern, name, durable, deliver } = table;
        let pattern: TopicPattern = pattern.parse().map_err(|error: NoTopic| error.to_string())?;
        let name = name.unwrap_or_else(|| pattern.to_string());
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*".contains(&byte);
        if name.is_empty() || name.len() > 200 || !name.bytes().all(good) {
            return Err(format!("`{}` is no name: letters, digits, `-`, `_` and `.`", name.escape_debug()));
        }
        if deliver.is_some() && !durable {
            return Err(format!(
                "`{pattern}` says `deliver` and is not `durable`: what is not kept is heard of where it was emitted"
            ));
        }
        Ok(Subscription { pattern, name, durable, deliver: deliver.unwrap_or_default() })
    }
}

impl<'de> Deserialize<'de> for Subscription {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenSubscription)
    }
}

struct WrittenSubscription;

impl<'de> Visitor<'de> for WrittenSubscription {
    type Value = Subscription;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a pattern of topics, or a table with `pattern`")
    }

    fn visit_str<E: de::Error>(self, pattern: &str) -> Result<Subscription, E> {
        let table = SubscriptionTable { pattern: pattern.to_owned(), name: None, durable: false, deliver: None };
        table.try_into().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Subscription, A::Error> {
        let table = SubscriptionTable::deserialize(MapAccessDeserializer::new(map))?;
        table.try_into().map_err(de::Error::custom)
    }
}

/// Whether one of these permissions is to hear of all that a pattern matches.
pub fn may_subscribe<'a>(permissions: impl IntoIterator<Item = &'a str>, pattern: &TopicPattern) -> bool {
    permissions.into_iter().any(|permission| opens(permission, pattern))
}

/// Whether this permission is to hear of all that a pattern matches.
pub fn opens(permission: &str, pattern: &TopicPattern) -> bool {
    let granted = permission.strip_prefix(SUBSCRIBE).and_then(|granted| granted.parse::<TopicPattern>().ok());
    granted.is_some_and(|granted| granted.covers(pattern))
}

/// Checks the subscriptions of a manifest that asks for these permissions.
pub(crate) fn check_subscriptions(subscriptions: &[Subscription], permissions: &[String]) -> Result<(), Invalid> {
    if subscriptions.len() > MOST {
        return Err(Invalid(format!("`subscriptions`: there are {}, more than {MOST}", subscriptions.len())));
    }
    let mut names = BTreeSet::new();
    for Subscription { pattern, name, .. } in subscriptions {
        if !names.insert(name) {
            return Err(Invalid(format!("`subscriptions`: two are called `{name}`; give one another `name`")));
        }
        if !may_subscribe(permissions.iter().map(String::as_str), pattern) {
            return Err(Invalid(format!("`subscriptions`: `{pattern}` takes the permission `{SUBSCRIBE}{pattern}`")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::manifest::camlock;

    fn read(metadata: &str) -> Result<Vec<super::Subscription>, String> {
        let text = format!("[package.metadata.camlock]\n{metadata}");
        camlock(text.as_bytes()).map(|camlock| camlock.subscriptions).map_err(|invalid| invalid.0)
    }

    #[test]
    fn patterns_and_tables() {
        let read = read(
            "permissions = [\"events:subscribe:session.**\"]\nsubscriptions = [\"session.*\", { pattern = \"session.created\", \
             durable = true, deliver = \"every\", name = \"new\" }]",
        );
        let read = read.unwrap();
        assert_eq!((&*read[0].name, read[0].durable, read[0].deliver.word()), ("session.*", false, "one"));
        assert_eq!((&*read[1].name, read[1].durable, read[1].deliver.word()), ("new", true, "every"));
    }

    #[test]
    fn what_is_wrong_is_told_where_it_is_written() {
        for (written, why) in [
            ("subscriptions = [\"session.*\"]", "`session.*` takes the permission `events:subscribe:session.*`"),
            ("subscriptions = [\"**.a\"]", "Cargo.toml, line 2: `**.a` is no pattern of topics"),
            ("subscriptions = [7]", "expected a pattern of topics, or a table with `pattern`"),
            ("subscriptions = [{ pattern = \"a\", every = 1 }]", "unknown field `every`"),
            ("subscriptions = [{ pattern = \"a\", deliver = \"every\" }]", "says `deliver` and is not `durable`"),
            ("permissions = [\"events:subscribe:a\"]\nsubscriptions = [\"a\", \"a\"]", "two are called `a`"),
        ] {
            let told = read(written).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }
}
