//! What is noted of an error, and the event that is made of it.

use super::frames::frames;
use sentry::protocol::{Event, Exception, Level, Mechanism, Stacktrace};
use std::{collections::BTreeMap, fmt};
use tracing::field::{Field, Visit};

/// What events are found by.
const TAGS: [&str; 10] =
    ["plugin", "generation", "stage", "digest", "trace_id", "request_id", "place", "thread", "component", "repository"];
/// What a span tells of all that is said in it.
const OF_SPANS: [&str; 4] = ["plugin", "generation", "trace_id", "request_id"];
/// Of what a plugin says without end so much is reported.
const LONGEST: usize = 8 << 10;

/// An error's fields, by name; its words are `message`.
#[derive(Clone, Debug, Default)]
pub(super) struct Noted(BTreeMap<&'static str, String>);

impl Noted {
    pub(super) fn note(&mut self, name: &'static str, mut value: String) {
        if value.len() > LONGEST {
            value.truncate(value.floor_char_boundary(LONGEST));
            value.push('…');
        }
        if !value.is_empty() {
            self.0.insert(name, value);
        }
    }

    /// What a span says of whose it is, where the error itself does not.
    pub(super) fn complete(&mut self, span: &Noted) {
        for name in OF_SPANS {
            if let Some(value) = span.get(name) {
                self.0.entry(name).or_insert_with(|| value.to_owned());
            }
        }
    }

    /// Whether it says whose it is.
    pub(super) fn names_anybody(&self) -> bool {
        OF_SPANS.iter().any(|name| self.0.contains_key(name))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// The generation that it is about, unless its artifact is noted already.
    pub(super) fn generation(&self) -> Option<(&str, u64)> {
        let number = self.get("generation")?.parse().ok()?;
        self.get("plugin").filter(|_| self.get("digest").is_none()).map(|plugin| (plugin, number))
    }

    /// What it has in common with others like it.
    pub(super) fn likeness(&self) -> String {
        let words = self.get("location").or(self.get("message")).unwrap_or_default();
        let words = &words[..words.floor_char_boundary(100)];
        let whose = self.get("plugin").or(self.get("repository"));
        format!("{} {words}", whose.unwrap_or_default())
    }

    /// The event.
    pub(super) fn event(mut self, logger: &str) -> Event<'static> {
        let message = self.take("message").unwrap_or_default();
        let (location, backtrace) =
            (self.take("location").unwrap_or_default(), self.take("backtrace").unwrap_or_default());
        let (method, path) = (self.take("method"), self.take("path"));
        let plugin = self.get("plugin").map(str::to_owned);
        if path.is_some() && plugin.is_some() {
            // What fails while it answers has come through all stages.
            self.0.entry("stage").or_insert_with(|| "serving".to_owned());
        }
        let mut event = Event { level: Level::Error, logger: Some(logger.to_owned()), ..Event::default() };
        event.transaction = method.zip(path).map(|(method, path)| format!("{method} {path}"));
        for name in TAGS {
            if let Some(value) = self.take(name) {
                event.tags.insert(name.to_owned(), value);
            }
        }
        event.extra = self.0.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        if location.is_empty() && backtrace.is_empty() {
            event.message = Some(message);
            return event;
        }
        let frames = frames(&backtrace, &location, plugin.as_deref());
        event.exception.values.push(Exception {
            ty: "panic".to_owned(),
            value: Some(message.strip_prefix("Panic: ").map(str::to_owned).unwrap_or(message)),
            module: plugin,
            stacktrace: Some(Stacktrace { frames, ..Stacktrace::default() }),
            mechanism: Some(Mechanism { ty: "panic".to_owned(), handled: Some(false), ..Mechanism::default() }),
            ..Exception::default()
        });
        event
    }
}

impl Visit for Noted {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.note(field.name(), format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_exception_and_anything_else_is_a_message() {
        let mut noted = Noted::default();
        for (name, value) in [
            ("plugin", "hello"),
            ("generation", "3"),
            ("method", "GET"),
            ("path", "/x"),
            ("message", "Panic: boom"),
            ("location", "src/lib.rs:7"),
            ("backtrace", "core::panicking::panic_fmt\nhello::inner\nhello::outer"),
            ("blank", ""),
            ("more", "x"),
        ] {
            noted.note(name, value.to_owned());
        }
        assert_eq!((noted.generation(), &*noted.likeness()), (Some(("hello", 3)), "hello src/lib.rs:7"));
        let event = noted.event("camlock");
        assert_eq!(event.transaction.as_deref(), Some("GET /x"));
        assert_eq!((&*event.tags["plugin"], &*event.tags["stage"], event.extra.len()), ("hello", "serving", 1));
        let exception = &event.exception.values[0];
        assert_eq!((&*exception.ty, exception.value.as_deref()), ("panic", Some("boom")));

        let mut noted = Noted::default();
        noted.note("message", "failed: build: no".to_owned());
        noted.note("stage", "build".to_owned());
        let mut span = Noted::default();
        span.note("plugin", "about".to_owned());
        span.note("colour", "red".to_owned());
        noted.complete(&span);
        let event = noted.event("camlock_policy");
        assert_eq!(event.message.as_deref(), Some("failed: build: no"));
        assert_eq!((&*event.tags["plugin"], &*event.tags["stage"], event.extra.len()), ("about", "build", 0));
        assert!(event.exception.values.is_empty());
    }

    #[test]
    fn what_is_wrong_with_a_repository_is_found_by_it() {
        let mut noted = Noted::default();
        for (name, value) in [
            ("message", "invalid plugin manifest"),
            ("component", "plugin-discovery"),
            ("repository", "acme/broken"),
            ("error", "1:1: no"),
        ] {
            noted.note(name, value.to_owned());
        }
        // Others like it in other repositories are reported as well.
        assert_eq!(noted.likeness(), "acme/broken invalid plugin manifest");
        let event = noted.event("camlock_discovery");
        assert_eq!((&*event.tags["component"], &*event.tags["repository"]), ("plugin-discovery", "acme/broken"));
        assert_eq!(event.extra["error"], "1:1: no");
    }
}
