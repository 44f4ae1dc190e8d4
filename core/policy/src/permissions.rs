//! Permissions: the words in which a manifest asks, and an operator grants. Pure. What must not live here: who has which.

use crate::{TopicPattern, manifest::check_name};
use std::fmt;

/// Why a text is no permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoPermission(String);

/// How what stands behind a permission's word is called, and checked.
enum Rest {
    /// There is none.
    Nothing,
    /// Text of this kind, if the function says so.
    Some(&'static str, fn(&str) -> bool),
}

/// Every permission there is: its words, what stands behind them, and what it lets a plugin do.
const KNOWN: &[(&str, Rest, &str)] = &[
    ("storage", Rest::Nothing, "keep values"),
    ("database", Rest::Nothing, "keep tables"),
    ("database:direct", Rest::Nothing, "connect to its tables itself"),
    ("events:subscribe", Rest::Some("pattern", is_pattern), "hear of events"),
    ("events:emit", Rest::Some("topic", is_pattern), "tell of events"),
    ("tasks", Rest::Nothing, "have work done later"),
    ("schedule", Rest::Nothing, "be called at set times"),
    ("fs:read", Rest::Some("path", is_path), "read files (in a process of its own)"),
    ("fs:write", Rest::Some("path", is_path), "change files (in a process of its own)"),
    (
        "env",
        Rest::Some("variable", is_variable),
        "see a variable of the server's environment (in a process of its own)",
    ),
    ("process", Rest::Nothing, "start programs (in a process of its own)"),
    ("ui:read", Rest::Nothing, "read on the page what viewers see of it"),
    ("ui:read:all", Rest::Nothing, "read on the page what viewers see of all plugins"),
    ("ui:call", Rest::Nothing, "call its own endpoints from the page, for operators"),
    ("network:private", Rest::Nothing, "reach hosts in private networks too"),
    ("network", Rest::Some("host", is_host), "reach a host"),
    ("call", Rest::Some("plugin", is_plugin), "call another plugin"),
    ("auth:identify", Rest::Nothing, "say who a client is"),
    ("auth:decide", Rest::Nothing, "say what a client may"),
    ("app", Rest::Some("name", is_word), "use what this program offers"),
];

/// Checks a permission as a manifest, an operator or a configuration writes it.
pub fn check_permission(text: &str) -> Result<(), NoPermission> {
    let (known, rest) = KNOWN
        .iter()
        .filter_map(|known| Some((known, text.strip_prefix(known.0)?)))
        .find(|((_, form, _), rest)| match form {
            Rest::Nothing => rest.is_empty(),
            Rest::Some(..) => rest.starts_with(':'),
        })
        .ok_or_else(|| unknown(text))?;
    match &known.1 {
        Rest::Some(what, good) if !good(&rest[1..]) => {
            Err(NoPermission(format!("`{}` is no permission: `{}` is no {what}", shown(text), shown(&rest[1..]))))
        }
        _ => Ok(()),
    }
}

/// What a permission lets a plugin do, in a few words.
pub fn meaning(permission: &str) -> &'static str {
    let known = KNOWN.iter().find(|(word, form, _)| match form {
        Rest::Nothing => permission == *word,
        Rest::Some(..) => permission.strip_prefix(word).is_some_and(|rest| rest.starts_with(':')),
    });
    known.map_or("", |(.., meaning)| meaning)
}

/// Whether what was granted covers what is asked for: it is the same, or what is granted ends with `*` and begins alike.
pub fn covers(granted: &str, asked: &str) -> bool {
    granted == asked || granted.strip_suffix('*').is_some_and(|begin| asked.starts_with(begin))
}

fn unknown(text: &str) -> NoPermission {
    let alike = |word: &&str| {
        let (one, other) = (word.as_bytes(), text.as_bytes());
        one.len().abs_diff(other.len()) <= 1 && one.iter().filter(|byte| !other.contains(byte)).count() <= 1
    };
    let advice = match KNOWN.iter().map(|(word, ..)| *word).find(alike) {
        Some(word) => format!("did you mean `{word}`?"),
        None => {
            let forms = KNOWN.iter().map(|(word, form, _)| Form(word, form).to_string());
            format!("there are {}", forms.collect::<Vec<_>>().join(", "))
        }
    };
    NoPermission(format!("`{}` is no permission; {advice}", shown(text)))
}

struct Form(&'static str, &'static Rest);

impl fmt::Display for Form {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Rest::Nothing => write!(formatter, "`{}`", self.0),
            Rest::Some(what, _) => write!(formatter, "`{}:<{what}>`", self.0),
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

fn is_label(label: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&label.len()) && label.bytes().all(good)
}

fn is_pattern(text: &str) -> bool {
    text.parse::<TopicPattern>().is_ok()
}

/// `api.example.com`, `*.example.com`, `192.0.2.1:8080`, `[2001:db8::1]:443`
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let name = host.strip_prefix("*.").unwrap_or(host);
    let is_name =
        !name.is_empty() && name.len() <= 253 && name.split('.').all(|label| is_label(label) && !label.contains('_'));
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_address = inner.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    (is_name || is_address || host == "*")
        && host.bytes().all(|byte| !byte.is_ascii_uppercase())
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
}

/// An absolute path without detours.
fn is_path(text: &str) -> bool {
    let plain = |part: &str| part != "." && part != ".." && !part.contains(char::is_control);
    text.len() <= 1000 && text.starts_with('/') && !text.contains(char::is_whitespace) && text.split('/').all(plain)
}

fn is_variable(text: &str) -> bool {
    is_label(text) && !text.contains('-') && !text.starts_with(|first: char| first.is_ascii_digit())
}

fn is_plugin(text: &str) -> bool {
    check_name(text).is_ok()
}

/// `read:sessions`
fn is_word(text: &str) -> bool {
    text.len() <= 100 && text.split(':').all(|part| part.split('.').all(is_label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_permission() {
        for good in [
            "storage",
            "database",
            "database:direct",
            "events:subscribe:session.*",
            "events:subscribe:plugin.**",
            "events:emit:plugin.hello.greeted",
            "tasks",
            "schedule",
            "ui:read",
            "ui:read:all",
            "ui:call",
            "network:api.example.com",
            "network:api.example.com:8443",
            "network:*.example.com",
            "network:192.0.2.1",
            "network:[2001:db8::1]:443",
            "network:private",
            "call:kv-store",
            "auth:identify",
            "auth:decide",
            "app:read:sessions",
        ] {
            assert_eq!(check_permission(good), Ok(()), "{good}");
            assert_ne!(meaning(good), "", "{good}");
        }
        for (bad, why) in [
            ("storge", "`storge` is no permission; did you mean `storage`?"),
            ("databases", "`databases` is no permission; did you mean `database`?"),
            ("call:KV", "`call:KV` is no permission: `KV` is no plugin"),
            ("network:", "`network:` is no permission: `` is no host"),
            ("network:a b", "`network:a b` is no permission: `a b` is no host"),
            ("network:a.example:0", "`network:a.example:0` is no permission: `a.example:0` is no host"),
            ("events:emit:a..b", "`events:emit:a..b` is no permission: `a..b` is no topic"),
            ("events:subscribe:**.a", "`events:subscribe:**.a` is no permission: `**.a` is no pattern"),
            ("app:", "`app:` is no permission: `` is no name"),
        ] {
            assert_eq!(check_permission(bad).unwrap_err().0, why, "{bad}");
        }
        let listed = check_permission("root").unwrap_err().0;
        assert!(listed.starts_with("`root` is no permission; there are `storage`, `database`, "), "{listed}");
        assert!(listed.contains("`call:<plugin>`"), "{listed}");
    }

    #[test]
    fn a_grant_may_cover_many() {
        assert!(covers("storage", "storage") && covers("events:emit:*", "events:emit:a.b") && covers("*", "tasks"));
        assert!(!covers("storage", "database") && !covers("database", "database:direct") && !covers("", "storage"));
    }
}
