//! A plugin's events and spans, in the host's subscriber.
//!
//! tracing wants its metadata static, and what a plugin says is not: so there is one callsite a level, and names, targets and
//! fields of the plugin are values. Every record carries the plugin's name, its generation, and the trace id of the request
//! that the thread is handling.

use camlock_abi::{EventView, FieldView, Level, RSlice, SpanView};
use parking_lot::Mutex;
use std::{cell::Cell, collections::HashMap, fmt::Write as _, sync::Arc};
use tracing::Span;

thread_local! {
    static TRACE: Cell<[u8; 16]> = const { Cell::new([0; 16]) };
}

/// The trace that this thread is in, or zeros.
pub(crate) fn current() -> [u8; 16] {
    TRACE.get()
}

/// Runs `body` as part of a trace.
pub(crate) fn within<R>(trace: [u8; 16], body: impl FnOnce() -> R) -> R {
    struct Restore([u8; 16]);
    impl Drop for Restore {
        fn drop(&mut self) {
            TRACE.set(self.0);
        }
    }
    let _restore = Restore(TRACE.replace(trace));
    body()
}

/// The spans and the identity of one generation.
pub(crate) struct Traces {
    plugin: Arc<str>,
    generation: u64,
    spans: Mutex<Spans>,
}

#[derive(Default)]
struct Spans {
    next: u64,
    open: HashMap<u64, (Span, usize)>,
}

macro_rules! at_level {
    ($level:expr, $record:ident ! ($($arguments:tt)*)) => {
        match $level {
            Level::Error => tracing::$record!(target: "camlock::plugin", tracing::Level::ERROR, $($arguments)*),
            Level::Warn => tracing::$record!(target: "camlock::plugin", tracing::Level::WARN, $($arguments)*),
            Level::Info => tracing::$record!(target: "camlock::plugin", tracing::Level::INFO, $($arguments)*),
            Level::Debug => tracing::$record!(target: "camlock::plugin", tracing::Level::DEBUG, $($arguments)*),
            Level::Trace => tracing::$record!(target: "camlock::plugin", tracing::Level::TRACE, $($arguments)*),
        }
    };
}

impl Traces {
    pub(crate) fn new(plugin: Arc<str>, generation: u64) -> Self {
        Traces { plugin, generation, spans: Mutex::default() }
    }

    fn trace_id() -> String {
        told_trace(TRACE.get())
    }

    /// The span that a built-in plugin's code runs in: its records are the program's own, and get their identity from there.
    /// As loud as can be, for what is filtered out carries nothing.
    pub(crate) fn identity(&self) -> Span {
        let (plugin, generation) = (&*self.plugin, self.generation);
        tracing::error_span!(target: "camlock::plugin", parent: None, "plugin", plugin, generation)
    }

    /// The same for one request.
    pub(crate) fn request(&self, trace: [u8; 16]) -> Span {
        let (plugin, generation, trace_id) = (&*self.plugin, self.generation, told_trace(trace));
        tracing::error_span!(target: "camlock::plugin", "plugin", plugin, generation, trace_id)
    }

    pub(crate) fn event(&self, event: &EventView<'_>) {
        let record = || {
            let (message, fields) = message_and_fields(event.fields);
            let (plugin, generation, trace_id) = (&*self.plugin, self.generation, Self::trace_id());
            let (module, location) = (event.target.as_str(), event.location.as_str());
            at_level!(event.level, event!(plugin, generation, trace_id, module, location, fields, "{message}"));
        };
        match self.parent(event.parent) {
            Some(parent) => parent.in_scope(record),
            None => record(),
        }
    }

    fn parent(&self, parent: u64) -> Option<Span> {
        let open = &self.spans.lock().open;
        open.get(&parent.checked_sub(1)?).map(|(span, _)| span.clone())
    }

    pub(crate) fn open(&self, span: &SpanView<'_>) -> u64 {
        let make = || {
            let (_, fields) = message_and_fields(span.fields);
            let (plugin, generation, trace_id) = (&*self.plugin, self.generation, Self::trace_id());
            let (module, name) = (span.target.as_str(), span.name.as_str());
            at_level!(
                span.level,
                span!("plugin", plugin, generation, trace_id, module, name, fields, more = tracing::field::Empty)
            )
        };
        let made = match self.parent(span.parent) {
            Some(parent) => parent.in_scope(make),
            None => make(),
        };
        let mut spans = self.spans.lock();
        spans.next += 1;
        let id = spans.next;
        spans.open.insert(id, (made, 1));
        id
    }

    fn with(&self, id: u64, body: impl FnOnce(&Span)) {
        let span = self.spans.lock().open.get(&id).map(|(span, _)| span.clone());
        if let Some(span) = span {
            body(&span);
        }
    }

    pub(crate) fn record(&self, id: u64, fields: RSlice<'_, FieldView<'_>>) {
        self.with(id, |span| {
            span.record("more", message_and_fields(fields).1);
        });
    }

    pub(crate) fn follows(&self, id: u64, other: u64) {
        let other = self.spans.lock().open.get(&other).map(|(span, _)| span.clone());
        if let Some(other) = other {
            self.with(id, |span| {
                span.follows_from(other.id());
            });
        }
    }

    pub(crate) fn enter(&self, id: u64) {
        self.with(id, |span| {
            span.with_subscriber(|(id, subscriber)| subscriber.enter(id));
        });
    }

    pub(crate) fn exit(&self, id: u64) {
        self.with(id, |span| {
            span.with_subscriber(|(id, subscriber)| subscriber.exit(id));
        });
    }

    pub(crate) fn keep(&self, id: u64) {
        if let Some((_, handles)) = self.spans.lock().open.get_mut(&id) {
            *handles += 1;
        }
    }

    /// One handle less; true if it was the last.
    pub(crate) fn close(&self, id: u64) -> bool {
        let mut spans = self.spans.lock();
        let Some((_, handles)) = spans.open.get_mut(&id) else { return true };
        *handles -= 1;
        if *handles > 0 {
            return false;
        }
        let closed = spans.open.remove(&id);
        drop(spans);
        drop(closed);
        true
    }
}

fn told_trace(id: [u8; 16]) -> String {
    match id {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] => String::new(),
        id => format!("{:032x}", u128::from_be_bytes(id)),
    }
}

/// The message, and the other fields as `name=value`.
fn message_and_fields(fields: RSlice<'_, FieldView<'_>>) -> (String, String) {
    let (mut message, mut others) = (String::new(), String::new());
    for field in fields.iter() {
        let text = field.value.text.as_str();
        if field.name.as_str() == "message" {
            message.push_str(text);
        } else {
            let space = if others.is_empty() { "" } else { " " };
            let _ = write!(others, "{space}{}={text}", field.name);
        }
    }
    (message, others)
}
