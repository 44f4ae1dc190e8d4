//! Topics of events, and patterns of topics. Pure. What must not live here: who hears of what.

use crate::{AskError, AskErrorCode};
use std::{fmt, str::FromStr, sync::Arc};

/// A topic or a pattern has so many bytes at most.
pub const MOST_TOPIC: usize = 200;

/// Topics of the host's own begin so: nobody else emits them.
pub const HOST_TOPICS: &str = "camlock.";

/// Topics of plugins begin so; the plugin's name follows.
const PLUGIN_TOPICS: &str = "plugin.";

/// Why a text is no topic, or no pattern of topics.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoTopic(String);

/// A pattern of topics: `*` stands for one word, and `**`, at the end, for any number of words, also none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPattern(Arc<str>);

fn is_word(word: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&word.len()) && word.bytes().all(good)
}

fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

/// Checks a topic: words of letters, digits, hyphens and underscores, with dots between them.
pub fn check_topic(topic: &str) -> Result<(), NoTopic> {
    if topic.len() <= MOST_TOPIC && topic.split('.').all(is_word) {
        return Ok(());
    }
    Err(NoTopic(format!(
        "`{}` is no topic: words of letters, digits, `-` and `_` with dots between them (`session.created`), {MOST_TOPIC} bytes \
         at most",
        shown(topic)
    )))
}

/// Whether a topic is one of a plugin's own: `plugin.NAME.…`. Else the error says what it may emit.
pub fn check_own_topic(plugin: &str, topic: &str) -> Result<(), AskError> {
    check_topic(topic).map_err(|error| AskError::new(AskErrorCode::Invalid, error.0))?;
    let rest = topic.strip_prefix(PLUGIN_TOPICS).and_then(|rest| rest.strip_prefix(plugin));
    if rest.is_some_and(|rest| rest.starts_with('.')) {
        return Ok(());
    }
    let why = format!("`{topic}` is not `{plugin}`'s to emit: its topics begin with `{PLUGIN_TOPICS}{plugin}.`");
    Err(AskError::new(AskErrorCode::Denied, why))
}

/// Whether a topic may be emitted by the program around the host, or by an operator: all but the host's own.
pub fn check_outside_topic(topic: &str) -> Result<(), AskError> {
    check_topic(topic).map_err(|error| AskError::new(AskErrorCode::Invalid, error.0))?;
    if topic.starts_with(HOST_TOPICS) {
        let why = format!("`{topic}` is the host's own: nobody else emits what begins with `{HOST_TOPICS}`");
        return Err(AskError::new(AskErrorCode::Denied, why));
    }
    Ok(())
}

impl TopicPattern {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a topic is one of these.
    pub fn matches(&self, topic: &str) -> bool {
        let (mut pattern, mut words) = (self.0.split('.'), topic.split('.'));
        loop {
            match (pattern.next(), words.next()) {
                (Some("**"), _) | (None, None) => return true,
                (Some("*"), Some(_)) => {}
                (Some(wanted), Some(word)) if wanted == word => {}
                _ => return false,
            }
        }
    }

    /// Whether all that another pattern matches is matched by this one.
    pub fn covers(&self, other: &TopicPattern) -> bool {
        let (mut ours, mut theirs) = (self.0.split('.'), other.0.split('.'));
        loop {
            match (ours.next(), theirs.next()) {
                (Some("**"), _) | (None, None) => return true,
                (Some("*"), Some(word)) if word != "**" => {}
                (Some(our), Some(their)) if our == their => {}
                _ => return false,
            }
        }
    }
}

impl FromStr for TopicPattern {
    type Err = NoTopic;

    fn from_str(text: &str) -> Result<Self, NoTopic> {
        let last = text.split('.').count() - 1;
        let good = |(at, word): (usize, &str)| is_word(word) || word == "*" || (word == "**" && at == last);
        if text.len() <= MOST_TOPIC && text.split('.').enumerate().all(good) {
            return Ok(TopicPattern(text.into()));
        }
        Err(NoTopic(format!(
            "`{}` is no pattern of topics: a topic in which `*` may stand for a word, and `**`, at the end, for any number of \
             them (`session.*`, `plugin.**`)",
            shown(text)
        )))
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for TopicPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> TopicPattern {
        text.parse().unwrap()
    }

    #[test]
    fn topics_have_a_form() {
        for good in ["a", "session.created", "plugin.my-shop.order_1.paid", "x.".repeat(99).trim_end_matches('.')] {
            assert_eq!(check_topic(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a.*", "ä", &"x".repeat(65), &"x.".repeat(101), "a\n"] {
            assert!(check_topic(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "**.a", "a**", "a.***", "*a", "a..*"] {
            assert!(bad.parse::<TopicPattern>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn patterns_match_word_by_word() {
        for (written, good, bad) in [
            ("session.created", &["session.created"][..], &["session", "session.created.x", "session.Created"][..]),
            ("session.*", &["session.a", "session.b-c"], &["session", "session.a.b", "sessions.a"]),
            ("*.created", &["a.created"], &["created", "a.b.created"]),
            ("plugin.**", &["plugin", "plugin.a", "plugin.a.b.c"], &["plugins.a", "camlock.plugin.a"]),
            ("**", &["a", "a.b"], &[]),
            ("a.*.c.**", &["a.b.c", "a.x.c.d.e"], &["a.c", "a.b.d"]),
        ] {
            let pattern = pattern(written);
            assert!(good.iter().all(|topic| pattern.matches(topic)), "{written}");
            assert!(!bad.iter().any(|topic| pattern.matches(topic)), "{written}");
        }
    }

    #[test]
    fn a_wider_pattern_covers_a_narrower_one() {
        for (wide, narrow) in
            [("**", "**"), ("**", "a.*"), ("a.**", "a"), ("a.**", "a.b.**"), ("a.*", "a.b"), ("a.*.c", "a.*.c")]
        {
            assert!(pattern(wide).covers(&pattern(narrow)), "{wide} {narrow}");
        }
        for (narrow, wide) in
            [("a.*", "a.**"), ("a.*", "a"), ("a.b", "a.*"), ("a", "**"), ("a.*", "**"), ("a.b.**", "a.**")]
        {
            assert!(!pattern(narrow).covers(&pattern(wide)), "{narrow} {wide}");
        }
    }

    #[test]
    fn whose_a_topic_is() {
        assert_eq!(check_own_topic("hello", "plugin.hello.greeted"), Ok(()));
        for foreign in [
            "plugin.hello",
            "plugin.hello-2.greeted",
            "plugin.other.x",
            "session.created",
            "camlock.plugin.hello.loaded",
        ] {
            assert_eq!(check_own_topic("hello", foreign).unwrap_err().code, AskErrorCode::Denied, "{foreign}");
        }
        assert_eq!(check_own_topic("hello", "plugin.hello.").unwrap_err().code, AskErrorCode::Invalid);
        assert_eq!(check_outside_topic("session.created"), Ok(()));
        assert_eq!(check_outside_topic("camlock.plugin.hello.loaded").unwrap_err().code, AskErrorCode::Denied);
        assert_eq!(check_outside_topic("a..b").unwrap_err().code, AskErrorCode::Invalid);
    }
}
