//! The plugin's `tracing` events and spans, forwarded to the host's subscriber.
//!
//! The plugin has its own copy of tracing's globals; nothing of them crosses. Ids of spans are the host's.

use crate::Host;
use camlock_abi::{EventView, FieldValue, FieldView, HostRef, Level, RSlice, RStr, SpanView, ValueKind};
use std::{
    cell::RefCell,
    collections::HashMap,
    fmt::{Debug, Write as _},
    num::NonZeroU64,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::Interest,
};

struct Forward {
    host: HostRef,
    /// The loudest level anybody listens to, in the host's memory.
    level: &'static AtomicU8,
    names: Mutex<HashMap<u64, &'static Metadata<'static>>>,
}

thread_local! {
    /// The spans this thread is in, innermost last.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Makes the host the place where this library's events and spans go.
pub(crate) fn forward(host: Host) {
    let Some(host) = host.reference() else { return };
    // SAFETY: the host keeps the byte while this library is mapped, and only ever touches it atomically.
    let level = unsafe { AtomicU8::from_ptr(host.table.level()(host.context).cast_mut()) };
    let _ = tracing::subscriber::set_global_default(Forward { host, level, names: Mutex::default() });
}

fn level(level: &tracing::Level) -> Level {
    match *level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        _ => Level::Trace,
    }
}

/// The fields of one record as text.
#[derive(Default)]
struct FieldTexts(Vec<(&'static str, ValueKind, String)>);

impl FieldTexts {
    fn of(record: impl FnOnce(&mut Self)) -> Self {
        let mut fields = FieldTexts::default();
        record(&mut fields);
        fields
    }

    fn lend<R>(&self, body: impl FnOnce(RSlice<'_, FieldView<'_>>) -> R) -> R {
        let views: Vec<_> = self
            .0
            .iter()
            .map(|(name, kind, text)| FieldView {
                name: RStr::from_str(name),
                value: FieldValue { kind: *kind, text: RStr::from_str(text) },
            })
            .collect();
        body(RSlice::from_slice(&views))
    }
}

impl Visit for FieldTexts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), ValueKind::Text, value.to_owned()));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.push((field.name(), ValueKind::Bool, value.to_string()));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.push((field.name(), ValueKind::Number, value.to_string()));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.push((field.name(), ValueKind::Number, value.to_string()));
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.push((field.name(), ValueKind::Number, value.to_string()));
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push((field.name(), ValueKind::Printed, format!("{value:?}")));
    }
}

fn parent(explicit: Option<&span::Id>, root: bool) -> u64 {
    match explicit {
        Some(id) => id.into_u64().saturating_add(1),
        None => u64::from(root),
    }
}

// SAFETY (for every call of the host in this file): record and table are valid while this library is mapped, may be used
// from any thread, and take what is lent only for the call.
impl Subscriber for Forward {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // The level can change at any time, without this library hearing of it.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        level(metadata.level()) as u8 <= self.level.load(Ordering::Relaxed)
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let metadata = attributes.metadata();
        let fields = FieldTexts::of(|fields| attributes.record(fields));
        let id = fields.lend(|fields| {
            let span = SpanView {
                level: level(metadata.level()),
                target: RStr::from_str(metadata.target()),
                name: RStr::from_str(metadata.name()),
                parent: parent(attributes.parent(), attributes.is_root()),
                fields,
            };
            // SAFETY: see above.
            unsafe { self.host.table.span_new()(self.host.context, &span) }
        });
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(id, metadata);
        span::Id::from_non_zero_u64(NonZeroU64::new(id).unwrap_or(NonZeroU64::MAX))
    }

    fn record(&self, span: &span::Id, values: &span::Record<'_>) {
        let fields = FieldTexts::of(|fields| values.record(fields));
        // SAFETY: see above.
        fields.lend(|fields| unsafe { self.host.table.span_record()(self.host.context, span.into_u64(), fields) });
    }

    fn record_follows_from(&self, span: &span::Id, follows: &span::Id) {
        // SAFETY: see above.
        unsafe { self.host.table.span_follows()(self.host.context, span.into_u64(), follows.into_u64()) }
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let fields = FieldTexts::of(|fields| event.record(fields));
        let mut location = String::new();
        if let (Some(file), Some(line)) = (metadata.file(), metadata.line()) {
            let _ = write!(location, "{file}:{line}");
        }
        fields.lend(|fields| {
            let event = EventView {
                level: level(metadata.level()),
                target: RStr::from_str(metadata.target()),
                location: RStr::from_str(&location),
                parent: parent(event.parent(), event.is_root()),
                fields,
            };
            // SAFETY: see above.
            unsafe { self.host.table.event()(self.host.context, &event) }
        });
    }

    fn enter(&self, span: &span::Id) {
        let _ = ENTERED.try_with(|entered| entered.borrow_mut().push(span.into_u64()));
        // SAFETY: see above.
        unsafe { self.host.table.span_enter()(self.host.context, span.into_u64()) }
    }

    fn exit(&self, span: &span::Id) {
        let _ = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            if let Some(at) = entered.iter().rposition(|id| *id == span.into_u64()) {
                entered.remove(at);
            }
        });
        // SAFETY: see above.
        unsafe { self.host.table.span_exit()(self.host.context, span.into_u64()) }
    }

    fn clone_span(&self, span: &span::Id) -> span::Id {
        // SAFETY: see above.
        let id = unsafe { self.host.table.span_clone()(self.host.context, span.into_u64()) };
        span::Id::from_non_zero_u64(NonZeroU64::new(id).unwrap_or(NonZeroU64::MAX))
    }

    fn try_close(&self, span: span::Id) -> bool {
        // SAFETY: see above.
        let last = unsafe { self.host.table.span_close()(self.host.context, span.into_u64()) };
        if last {
            self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(&span.into_u64());
        }
        last
    }

    fn current_span(&self) -> tracing_core::span::Current {
        let id = ENTERED.try_with(|entered| entered.borrow().last().copied()).ok().flatten();
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        match id.and_then(|id| Some((span::Id::from_non_zero_u64(NonZeroU64::new(id)?), *names.get(&id)?))) {
            Some((id, metadata)) => tracing_core::span::Current::new(id, metadata),
            None => tracing_core::span::Current::none(),
        }
    }
}
