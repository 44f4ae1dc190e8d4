//! What may be asked of the log, and that as a condition of SQL. Pure.

use camlock_plugin::database::SqlValue;
use serde::Deserialize;

/// Which entries are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EntryQuery {
    /// Topics: `session.created`, `session.*` (one word for the star), `plugin.**` (any words).
    pub(crate) topic: Option<String>,
    /// From then on, in microseconds since 1970.
    pub(crate) from: Option<i64>,
    /// Before then.
    pub(crate) until: Option<i64>,
    /// After this entry.
    pub(crate) after: Option<i64>,
    /// So many at most, of a page.
    pub(crate) limit: Option<usize>,
}

impl EntryQuery {
    /// The condition, with its values in the order of their numbers.
    pub(crate) fn condition(&self) -> (String, Vec<SqlValue>) {
        let mut values = vec![SqlValue::Integer(self.after.unwrap_or(0))];
        let mut conditions = vec!["number > $1".to_owned()];
        let mut add = |condition: &str, value: SqlValue| {
            values.push(value);
            conditions.push(condition.replace('?', &format!("${}", values.len())));
        };
        if let Some(topic) = &self.topic {
            let begin = topic.split('*').next().unwrap_or_default();
            if begin == topic {
                add("topic = ?", topic.as_str().into());
            } else if let Some(end) = next_after(begin) {
                // What begins so lies together.
                add("topic >= ?", begin.into());
                add("topic < ?", end.into());
            }
        }
        if let Some(from) = self.from {
            add("at >= ?", from.into());
        }
        if let Some(until) = self.until {
            add("at < ?", until.into());
        }
        (conditions.join(" AND "), values)
    }

    /// Whether a topic is wanted; the condition has let through all that begin as the wanted ones do.
    pub(crate) fn fits(&self, topic: &str) -> bool {
        let Some(pattern) = &self.topic else { return true };
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
}

/// The least text that is greater than all that begin so. Topics are ASCII.
fn next_after(begin: &str) -> Option<String> {
    let mut bytes = begin.as_bytes().to_vec();
    let last = bytes.last_mut()?;
    *last = last.checked_add(1).filter(u8::is_ascii)?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(topic: &str) -> EntryQuery {
        EntryQuery { topic: Some(topic.to_owned()), ..EntryQuery::default() }
    }

    #[test]
    fn conditions_are_numbered_in_their_order() {
        let (condition, values) = EntryQuery { from: Some(7), until: Some(9), ..of("session.*") }.condition();
        assert_eq!(condition, "number > $1 AND topic >= $2 AND topic < $3 AND at >= $4 AND at < $5");
        let expected: Vec<SqlValue> =
            vec![0_i64.into(), "session.".into(), "session/".into(), 7_i64.into(), 9_i64.into()];
        assert_eq!(values, expected);
        assert_eq!(of("a.b").condition().0, "number > $1 AND topic = $2");
        assert_eq!(of("**").condition().0, "number > $1");
        assert_eq!(EntryQuery { after: Some(5), ..EntryQuery::default() }.condition().1, [SqlValue::Integer(5)]);
    }

    #[test]
    fn patterns_are_as_those_of_subscriptions() {
        for (pattern, topic, fits) in [
            ("session.created", "session.created", true),
            ("session.created", "session.created.twice", false),
            ("session.*", "session.created", true),
            ("session.*", "session.created.twice", false),
            ("session.*", "session", false),
            ("session.**", "session.created.twice", true),
            ("**", "a", true),
            ("*.created", "session.created", true),
            ("*.created", "session.ended", false),
        ] {
            assert_eq!(of(pattern).fits(topic), fits, "{pattern} {topic}");
        }
        assert!(EntryQuery::default().fits("anything"));
    }
}
