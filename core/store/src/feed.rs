//! What changed, in the words of whoever follows the record.

use crate::shared::StoreCore;
use camlock_policy::registry::RegistryChange;
use std::collections::BTreeSet;

/// What was heard and not told yet.
#[derive(Debug, Default)]
pub(crate) struct PendingChanges {
    pub(crate) plugins: BTreeSet<String>,
    pub(crate) everything: bool,
    pub(crate) rollouts: bool,
    pub(crate) journal: bool,
    pub(crate) tokens: bool,
}

impl PendingChanges {
    /// After a break.
    pub(crate) fn anything() -> Self {
        PendingChanges { everything: true, rollouts: true, journal: true, tokens: true, ..PendingChanges::default() }
    }

    /// Takes a notification of PostgreSQL. One that is not ours says nothing.
    pub(crate) fn take(&mut self, channel: &str, payload: &str) {
        match channel {
            "plugin_changes" => {
                let told: Result<serde_json::Value, _> = serde_json::from_str(payload);
                match told.as_ref().ok().and_then(|told| told["name"].as_str()) {
                    Some(name) => drop(self.plugins.insert(name.to_owned())),
                    None => tracing::debug!(payload, "a notification on `plugin_changes` that is not ours"),
                }
            }
            "camlock_fleet" => self.rollouts = true,
            "camlock_journal" => self.journal = true,
            "camlock_tokens" => self.tokens = true,
            _ => {}
        }
    }

    /// Tells it.
    pub(crate) async fn tell(self, shared: &StoreCore) {
        if self.tokens {
            // Whoever hears of tokens finds them known.
            shared.read_tokens().await;
        }
        if self.everything {
            shared.tell(RegistryChange::Everything);
        } else if !self.plugins.is_empty() {
            shared.tell(RegistryChange::Plugins(self.plugins));
        }
        let rest = [
            (self.rollouts, RegistryChange::Rollouts),
            (self.journal, RegistryChange::Journal),
            (self.tokens, RegistryChange::Tokens),
        ];
        for (_, change) in rest.into_iter().filter(|(heard, _)| *heard) {
            shared.tell(change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_says_nothing() {
        let mut heard = PendingChanges::default();
        for payload in ["", "hello", "{}", "[1]", r#"{"name":7}"#, "null"] {
            heard.take("plugin_changes", payload);
        }
        heard.take("another", r#"{"name":"a"}"#);
        assert!(heard.plugins.is_empty());
        heard.take("plugin_changes", r#"{"op":"UPDATE","name":"a","revision":1}"#);
        assert!(heard.plugins.contains("a"));
    }
}
