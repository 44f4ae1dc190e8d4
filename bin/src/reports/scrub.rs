//! What must not leave the server, taken out of texts: secrets that are known here, and what looks like one.
//!
//! It is the last net: nothing of the host's own puts a secret into words. But a plugin may, and what it says is reported.

use camlock_policy::{MASK, Overview};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// What stands in a secret's place.
const INSTEAD: &str = "[removed]";
/// What is shorter is in many words by chance.
const SHORTEST: usize = 6;
/// What stands before a secret, as the name of a header or of a field.
const NAMES: [&str; 12] = [
    "authorization",
    "cookie",
    "password",
    "passwd",
    "secret",
    "token",
    "api_key",
    "api-key",
    "apikey",
    "access_key",
    "private_key",
    "credential",
];
/// What stands right before a secret.
const SCHEMES: [&str; 2] = ["bearer ", "basic "];
/// What API tokens begin with.
const TOKENS: &str = "camlock_";
/// Of a token's secret so much stands behind that at least.
const TOKEN_LENGTH: usize = 20;

/// The secrets that are known.
#[derive(Default)]
pub(super) struct Secrets {
    own: Mutex<BTreeSet<String>>,
    of_plugins: Mutex<BTreeSet<String>>,
}

impl Secrets {
    pub(super) fn add(&self, secret: &str) {
        if secret.len() >= SHORTEST {
            self.own.lock().unwrap_or_else(PoisonError::into_inner).insert(secret.to_owned());
        }
    }

    /// The password in a URL, as it stands there and as it is meant.
    pub(super) fn add_url(&self, url: &str) {
        let Some(password) = userinfo(url).and_then(|(from, to)| url[from..to].split_once(':')).map(|(_, word)| word)
        else {
            return;
        };
        self.add(password);
        self.add(&decoded(password));
    }

    /// Whatever plugins are configured with: any of it may be a secret.
    pub(super) fn of_plugins(&self, overview: &Overview) {
        let mut found = BTreeSet::new();
        let configs = overview.plugins.iter().filter_map(|plugin| plugin.secrets_in.as_deref());
        configs.for_each(|config| texts(&config(), &mut found));
        // What stands for a secret tells nothing.
        found.remove(MASK);
        *self.of_plugins.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// Takes secrets out of every text in a value.
    pub(super) fn scrub_all(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.scrub(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.scrub_all(value)),
            Value::Object(values) => values.values_mut().for_each(|value| self.scrub_all(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The text without them.
    pub(super) fn scrub(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for known in [&self.own, &self.of_plugins] {
            for secret in &*known.lock().unwrap_or_else(PoisonError::into_inner) {
                if text.contains(secret.as_str()) {
                    text = text.replace(secret.as_str(), INSTEAD);
                }
            }
        }
        without_what_looks_like_one(&text)
    }
}

/// All texts in a configuration that are long enough.
fn texts(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if text.len() >= SHORTEST => drop(into.insert(text.clone())),
        Value::Array(values) => values.iter().for_each(|value| texts(value, into)),
        Value::Object(values) => values.values().for_each(|value| texts(value, into)),
        _ => {}
    }
}

fn without_what_looks_like_one(text: &str) -> String {
    let mut cuts: Vec<(usize, usize)> = Vec::new();
    // Of the same length: only ASCII letters are changed.
    let lower = text.to_ascii_lowercase();
    let places = |word: &'static str| lower.match_indices(word).map(move |(at, _)| at + word.len());
    for end in SCHEMES.iter().flat_map(|scheme| places(scheme)) {
        cuts.push((end, end_of_word(text, end)));
    }
    for end in NAMES.iter().flat_map(|name| places(name)) {
        cuts.extend(value_behind(text, end));
    }
    for end in places(TOKENS) {
        let length = text[end..].bytes().take_while(u8::is_ascii_alphanumeric).count();
        if length >= TOKEN_LENGTH {
            cuts.push((end, end + length));
        }
    }
    let mut from = 0;
    while let Some((user, at)) = userinfo(&text[from..]) {
        let password = text[from + user..from + at].find(':').map_or(at, |colon| user + colon + 1);
        cuts.push((from + password, from + at));
        from += at;
    }
    cuts.retain(|(from, to)| from < to);
    cuts.sort_unstable();
    let (mut kept, mut done) = (String::with_capacity(text.len()), 0);
    for (from, to) in cuts {
        if from >= done {
            kept.push_str(&text[done..from]);
            kept.push_str(INSTEAD);
        }
        done = done.max(to);
    }
    kept.push_str(&text[done..]);
    kept
}

/// Where a word ends that begins here.
fn end_of_word(text: &str, from: usize) -> usize {
    let ends = |character: char| character.is_whitespace() || "\"'`,;<>(){}[]&".contains(character);
    text[from..].find(ends).map_or(text.len(), |length| from + length)
}

/// What a name stands for that ends here: behind `=` or `:`, perhaps between quotes.
fn value_behind(text: &str, from: usize) -> Option<(usize, usize)> {
    // The rest of a longer name: `password_hash`.
    let name = |character: char| character.is_alphanumeric() || character == '_' || character == '-';
    let rest = text[from..].trim_start_matches(name).trim_start_matches(['"', '\'', '`']).trim_start();
    let rest = rest.strip_prefix([':', '='])?.trim_start();
    let quote = rest.chars().next().filter(|first| "\"'`".contains(*first));
    let rest = quote.map_or(rest, |quote| &rest[quote.len_utf8()..]);
    let begin = text.len() - rest.len();
    let end = match quote {
        Some(quote) => rest.find(quote).map_or(text.len(), |length| begin + length),
        None => end_of_word(text, begin),
    };
    // A scheme stands before what it is about: that is cut by itself.
    let word = text[begin..end].to_ascii_lowercase();
    (!SCHEMES.iter().any(|scheme| scheme.trim_end() == word)).then_some((begin, end))
}

/// What stands before the host in the first URL that has a user: where it begins, and where it ends.
fn userinfo(text: &str) -> Option<(usize, usize)> {
    text.match_indices("://").find_map(|(at, separator)| {
        let begin = at + separator.len();
        let rest = &text[begin..];
        let ends = |character: char| character.is_whitespace() || "/?#\"'`<>".contains(character);
        let authority = &rest[..rest.find(ends).unwrap_or(rest.len())];
        authority.rfind('@').map(|user| (begin, begin + user))
    })
}

/// With `%XX` as the bytes that they stand for.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = (*first == b'%').then(|| tail.get(..2)).flatten().and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlock_policy::LivePlugin;
    use serde_json::json;
    use std::sync::Arc;

    #[test]
    fn what_looks_like_a_secret_is_taken_out() {
        for (text, expected) in [
            ("nothing to hide: 7 of 9", "nothing to hide: 7 of 9"),
            ("authorization: Bearer abc.def", "authorization: Bearer [removed]"),
            ("{\"Authorization\": \"Bearer abc\", \"x\": 1}", "{\"Authorization\": \"[removed]\", \"x\": 1}"),
            ("Authorization: secretword and more", "Authorization: [removed] and more"),
            ("headers: \"cookie\": \"a=b; c=d\"", "headers: \"cookie\": \"[removed]\""),
            ("postgres://me:pass@db:5432/x refused", "postgres://me:[removed]@db:5432/x refused"),
            ("two a://b:c@d and e://f:g@h", "two a://b:[removed]@d and e://f:[removed]@h"),
            ("postgres://me@db/x", "postgres://me@db/x"),
            ("http://127.0.0.1:8080/x@y", "http://127.0.0.1:8080/x@y"),
            ("password=hunter2&x=1", "password=[removed]&x=1"),
            ("Settings { db_password: \"hunter2\", size: 3 }", "Settings { db_password: \"[removed]\", size: 3 }"),
            ("camlock_0123456789abcdef0123456789abcdef!", "camlock_[removed]!"),
            ("camlock_policy::supervisor::reports::failed", "camlock_policy::supervisor::reports::failed"),
            ("a token is missing", "a token is missing"),
        ] {
            assert_eq!(Secrets::default().scrub(text), expected);
        }
    }

    /// Also what nobody is shown, since it is masked in every view.
    #[test]
    fn what_plugins_are_configured_with_is_taken_out() {
        let view = crate::client::plugin(json!({ "config": { "key": "********", "port": 8080 } }));
        let mut plugin = LivePlugin::new(view, None, std::collections::BTreeMap::new());
        plugin.secrets_in = Some(Arc::new(|| json!({ "key": "open-sesame", "port": 8080, "list": ["another one"] })));
        let secrets = Secrets::default();
        secrets.of_plugins(&Overview { plugins: vec![Arc::new(plugin)], ..Overview::default() });
        let scrubbed = secrets.scrub("it said open-sesame to another one at 8080, and ********");
        assert_eq!(scrubbed, "it said [removed] to [removed] at 8080, and ********");
    }

    #[test]
    fn what_is_known_is_taken_out_wherever_it_stands() {
        let secrets = Secrets::default();
        secrets.add("0123456789");
        secrets.add("short");
        secrets.add_url("postgres://me:p%40ssw0rd@db/x");
        secrets.add_url("sqlite://registry.db");
        let mut config = BTreeSet::new();
        texts(&json!({ "deep": ["in the config", 3, "tiny"], "on": true }), &mut config);
        assert_eq!(config, BTreeSet::from(["in the config".to_owned()]));
        *secrets.of_plugins.lock().unwrap() = config;
        let mut value =
            json!({ "a": ["x0123456789y", { "b": "p%40ssw0rd p@ssw0rd short" }], "c": "in the config", "n": 1 });
        secrets.scrub_all(&mut value);
        let expected = json!({ "a": ["x[removed]y", { "b": "[removed] [removed] short" }], "c": "[removed]", "n": 1 });
        assert_eq!(value, expected);
    }
}
