//! What plugins said lately, and what was said of them: a ring of lines for each, filled by a layer of `tracing`.
//!
//! A record belongs to the plugin that its field `plugin` names, or that field of a span that it stands in. What must not live
//! here: what becomes of records otherwise, and HTTP.

use std::{
    collections::{HashMap, VecDeque},
    fmt::{self, Write as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};
use tokio::sync::watch;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

/// What is kept of one plugin: so many lines, and so many bytes.
const LINES: usize = 1_000;
const BYTES: usize = 256 << 10;
/// What is kept of a line's message, and of its fields.
const LONGEST: usize = 8 << 10;
/// So many plugins have a ring. Then the one goes whose last line is the oldest.
const PLUGINS: usize = 512;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptLine {
    /// Its number: greater than those of all lines before it, of whatever plugin.
    pub(crate) number: u64,
    pub(crate) at: SystemTime,
    pub(crate) level: tracing::Level,
    pub(crate) message: String,
    /// Other fields, as they are written for people.
    pub(crate) fields: String,
    pub(crate) generation: Option<u64>,
    /// The trace that it belongs to; may be empty.
    pub(crate) trace_id: String,
    /// Where it was written: the module.
    pub(crate) module: String,
}

impl KeptLine {
    fn length(&self) -> usize {
        size_of::<KeptLine>() + self.message.len() + self.fields.len() + self.trace_id.len() + self.module.len()
    }
}

/// The last lines of every plugin. A handle; cheap to clone. It is also the layer that fills it.
#[derive(Clone)]
pub struct Logs {
    shared: Arc<Mutex<Rings>>,
    fresh: Arc<watch::Sender<u64>>,
}

#[derive(Default)]
struct Rings {
    numbered: u64,
    plugins: HashMap<String, Ring>,
}

#[derive(Default)]
struct Ring {
    lines: VecDeque<Arc<KeptLine>>,
    bytes: usize,
}

impl Default for Logs {
    fn default() -> Self {
        Logs { shared: Arc::default(), fresh: Arc::new(watch::channel(0).0) }
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Logs").finish_non_exhaustive()
    }
}

impl Logs {
    fn rings(&self) -> MutexGuard<'_, Rings> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lines of a plugin after this one, so many at most: the last ones without `after`, else the first ones. The oldest
    /// first.
    pub(crate) fn of(&self, plugin: &str, after: Option<u64>, most: usize) -> Vec<Arc<KeptLine>> {
        let rings = self.rings();
        let Some(Ring { lines, .. }) = rings.plugins.get(plugin) else { return Vec::new() };
        let begin = match after {
            Some(after) => lines.partition_point(|line| line.number <= after),
            None => lines.len().saturating_sub(most),
        };
        lines.range(begin..).take(most).cloned().collect()
    }

    /// The number of the last line of all.
    pub(crate) fn last(&self) -> u64 {
        self.rings().numbered
    }

    /// Changes with each line.
    pub(crate) fn fresh(&self) -> watch::Receiver<u64> {
        self.fresh.subscribe()
    }

    fn keep(&self, plugin: String, line: KeptLine) {
        let mut rings = self.rings();
        rings.numbered += 1;
        let number = rings.numbered;
        if !rings.plugins.contains_key(&plugin) && rings.plugins.len() >= PLUGINS {
            let last = |ring: &Ring| ring.lines.back().map(|line| line.number);
            let oldest = rings.plugins.iter().min_by_key(|(_, ring)| last(ring)).map(|(plugin, _)| plugin.clone());
            oldest.and_then(|oldest| rings.plugins.remove(&oldest));
        }
        rings.plugins.entry(plugin).or_default().push(KeptLine { number, ..line });
        drop(rings);
        self.fresh.send_replace(number);
    }
}

impl Ring {
    fn push(&mut self, line: KeptLine) {
        self.bytes += line.length();
        self.lines.push_back(Arc::new(line));
        while self.lines.len() > LINES || (self.bytes > BYTES && self.lines.len() > 1) {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.length());
        }
    }
}

/// What a span says of whose it is.
#[derive(Clone, Debug, Default)]
struct SpanOwner {
    plugin: Option<String>,
    generation: Option<u64>,
    trace_id: String,
}

/// What a record says.
#[derive(Default)]
struct EventFields {
    whose: SpanOwner,
    message: String,
    module: String,
    fields: String,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Logs {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut said = EventFields::default();
        attributes.record(&mut said);
        if let (Some(_), Some(span)) = (&said.whose.plugin, context.span(id)) {
            span.extensions_mut().replace(said.whose);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut said = EventFields::default();
        event.record(&mut said);
        // The nearest span that says whose it is.
        let spans = context.event_scope(event).into_iter().flatten();
        let inside =
            || spans.filter_map(|span| span.extensions().get::<SpanOwner>().cloned()).next().unwrap_or_default();
        let whose = if said.whose.plugin.is_some() { said.whose } else { inside() };
        let Some(plugin) = whose.plugin else { return };
        let metadata = event.metadata();
        let module = if said.module.is_empty() { metadata.target().to_owned() } else { said.module };
        let line = KeptLine {
            number: 0,
            at: SystemTime::now(),
            level: *metadata.level(),
            message: cut(said.message),
            fields: cut(said.fields),
            generation: whose.generation,
            trace_id: cut(whose.trace_id),
            module: cut(module),
        };
        self.keep(plugin, line);
    }
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}

impl EventFields {
    fn field(&mut self, name: &str, value: &dyn fmt::Display) {
        // A plugin may say without end: what is cut in the end is not written at first.
        if self.fields.len() <= LONGEST {
            let space = if self.fields.is_empty() { "" } else { " " };
            let _ = write!(self.fields, "{space}{name}={value}");
        }
    }
}

impl Visit for EventFields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "generation" => self.whose.generation = Some(value),
            name => self.field(name, &value),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "plugin" => self.whose.plugin = Some(value.to_owned()),
            "message" => self.message = value.to_owned(),
            "module" => self.module = value.to_owned(),
            "trace_id" => self.whose.trace_id = value.to_owned(),
            // What a plugin's own fields are, as text.
            "fields" if value.is_empty() => {}
            "fields" => {
                let space = if self.fields.is_empty() { "" } else { " " };
                let _ = write!(self.fields, "{space}{value}");
            }
            name => self.field(name, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        match field.name() {
            "message" => self.message = value,
            "plugin" => self.whose.plugin = Some(value),
            name => self.field(name, &value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::{layer::SubscriberExt, registry};

    #[test]
    fn lines_belong_to_plugins() {
        let logs = Logs::default();
        tracing::subscriber::with_default(registry().with(logs.clone()), || {
            tracing::info!("nobody's");
            tracing::warn!(plugin = "hello", generation = 3_u64, module = "hello::web", colour = "red", "one {}", 1);
            let span = tracing::error_span!("plugin", plugin = "about", generation = 1_u64, trace_id = "abc");
            span.in_scope(|| {
                tracing::info_span!("inner", step = 1).in_scope(|| tracing::error!(count = 2, "two"));
                tracing::info!(plugin = %"hello", "three");
            });
        });
        let hello = logs.of("hello", None, 10);
        let told: Vec<_> =
            hello.iter().map(|line| (line.number, &*line.message, &*line.fields, line.generation)).collect();
        assert_eq!(told, [(1, "one 1", "colour=red", Some(3)), (3, "three", "", None)]);
        assert_eq!((hello[0].level, &*hello[0].module), (tracing::Level::WARN, "hello::web"));
        let about = logs.of("about", None, 10);
        assert_eq!((&*about[0].message, &*about[0].fields, &*about[0].trace_id), ("two", "count=2", "abc"));
        assert!(about[0].module.ends_with("logs::tests"));
        assert_eq!((logs.of("hello", Some(1), 10).len(), logs.of("hello", None, 1)[0].number, logs.last()), (1, 3, 3));
        assert!(logs.of("nobody", None, 10).is_empty());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let logs = Logs::default();
        tracing::subscriber::with_default(registry().with(logs.clone()), || {
            for number in 0..LINES + 10 {
                tracing::info!(plugin = "hello", number);
            }
            let long = "ä".repeat(LONGEST);
            for _ in 0..100 {
                tracing::info!(plugin = "wordy", "{long}");
            }
            for number in 0..PLUGINS {
                tracing::info!(plugin = format!("plugin-{number}"), "here");
            }
        });
        let rings = logs.rings();
        assert_eq!(rings.plugins.len(), PLUGINS);
        assert!(!rings.plugins.contains_key("hello") && !rings.plugins.contains_key("wordy"));
        drop(rings);
        let logs = Logs::default();
        let line = KeptLine {
            number: 0,
            at: SystemTime::UNIX_EPOCH,
            level: tracing::Level::INFO,
            message: cut("ä".repeat(LONGEST)),
            fields: String::new(),
            generation: None,
            trace_id: String::new(),
            module: String::new(),
        };
        assert!(line.message.len() <= LONGEST + 4);
        for _ in 0..LINES + 10 {
            logs.keep("wordy".into(), line.clone());
            logs.keep("short".into(), KeptLine { message: "x".into(), ..line.clone() });
        }
        let rings = logs.rings();
        assert!(rings.plugins["wordy"].bytes <= BYTES && rings.plugins["wordy"].lines.len() < 40);
        assert_eq!(rings.plugins["short"].lines.len(), LINES);
    }
}
