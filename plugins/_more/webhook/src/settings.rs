//! What operators set. What must not live here: what follows from it.

use camlock_plugin::schemars::{self, JsonSchema};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

/// The configuration.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WebhookSettings {
    /// Where events are delivered, by names of your choice.
    pub(crate) endpoints: BTreeMap<String, WebhookEndpoint>,
    /// Whether endpoints may lie in private networks and on this machine.
    pub(crate) private: bool,
    /// What ended is kept for so many days.
    #[schemars(range(min = 1, max = 3650))]
    pub(crate) days: u32,
}

/// Where events are delivered.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookEndpoint {
    /// `https://…`; `http://` only where `private` is set.
    #[schemars(length(max = 2000), regex(pattern = "^https?://"))]
    pub(crate) url: String,
    /// Topics or patterns: `order.paid`, `session.*`, `plugin.**`.
    #[schemars(length(min = 1))]
    pub(crate) topics: Vec<String>,
    /// `whsec_` and 24 to 64 bytes in base64. While one takes the place of another both stand here: each signs.
    #[schemars(length(min = 1, max = 4), extend("sensitive" = true))]
    pub(crate) secrets: Vec<String>,
    /// An answer may take so many seconds.
    #[serde(default = "fifteen")]
    #[schemars(range(min = 1, max = 30))]
    pub(crate) seconds: u64,
}

fn fifteen() -> u64 {
    15
}

impl Default for WebhookSettings {
    fn default() -> Self {
        WebhookSettings { endpoints: BTreeMap::new(), private: false, days: 30 }
    }
}

impl WebhookEndpoint {
    /// Whether it wants events of this topic.
    pub(crate) fn wants(&self, topic: &str) -> bool {
        self.topics.iter().any(|pattern| fits(pattern, topic))
    }
}

/// `*` stands for one word, `**` at the end for any.
fn fits(pattern: &str, topic: &str) -> bool {
    let mut words = topic.split('.');
    for wanted in pattern.split('.') {
        match (wanted, words.next()) {
            ("**", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(word)) if wanted == word => {}
            _ => return false,
        }
    }
    words.next().is_none()
}

/// The configuration as it is now. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct LiveSettings(Arc<RwLock<Arc<WebhookSettings>>>);

impl LiveSettings {
    pub(crate) fn new(settings: WebhookSettings) -> Self {
        LiveSettings(Arc::new(RwLock::new(Arc::new(settings))))
    }

    pub(crate) fn set(&self, settings: WebhookSettings) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    pub(crate) fn get(&self) -> Arc<WebhookSettings> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn patterns_are_as_those_of_subscriptions() {
        for (pattern, topic, expected) in [
            ("order.paid", "order.paid", true),
            ("order.*", "order.paid", true),
            ("order.*", "order.paid.twice", false),
            ("order.**", "order.paid.twice", true),
            ("**", "anything", true),
            ("order", "order.paid", false),
        ] {
            assert_eq!(fits(pattern, topic), expected, "{pattern} {topic}");
        }
    }
}
