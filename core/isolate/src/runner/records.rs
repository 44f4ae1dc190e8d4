//! What a plugin tells, on its way to the server's subscriber. The loader hands it to this process's, which is this layer.

use super::teller::ReportSender;
use crate::control::words::{PluginRecord, RecordContext, Report};
use std::{collections::BTreeMap, fmt::Debug};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt, registry::LookupSpan};

/// Whose records are the plugin's own.
const OF_PLUGIN: &str = "camlock::plugin";

pub(super) struct ForwardRecords(ReportSender);

/// From here on this process's records go to the server.
pub(super) fn forward(teller: ReportSender) {
    let subscriber = tracing_subscriber::registry().with(ForwardRecords(teller));
    // There is no other: this is the process's first word.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl Fields {
    fn take(&mut self, name: &str) -> String {
        self.0.remove(name).unwrap_or_default()
    }

    fn context(&mut self) -> RecordContext {
        RecordContext { trace_id: self.take("trace_id"), module: self.take("module"), fields: self.take("fields") }
    }
}

pub(crate) fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for ForwardRecords {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        if attributes.metadata().target() != OF_PLUGIN {
            return;
        }
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let parent = context.span(id).and_then(|span| span.parent()).map(|parent| parent.id().into_u64());
        let (level, told, name) = (number(*attributes.metadata().level()), fields.context(), fields.take("name"));
        self.send(PluginRecord::Open { id: id.into_u64(), parent, level, told, name });
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        self.send(PluginRecord::More { id: id.into_u64(), fields: fields.take("more") });
    }

    fn on_follows_from(&self, id: &span::Id, other: &span::Id, _: Context<'_, S>) {
        self.send(PluginRecord::Follows { id: id.into_u64(), other: other.into_u64() });
    }

    fn on_close(&self, id: span::Id, context: Context<'_, S>) {
        if context.metadata(&id).is_some_and(|metadata| metadata.target() == OF_PLUGIN) {
            self.send(PluginRecord::Close { id: id.into_u64() });
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let level = number(*metadata.level());
        if metadata.target() == OF_PLUGIN {
            let mut fields = Fields::default();
            event.record(&mut fields);
            let span = context.event_span(event).map(|span| span.id().into_u64());
            let (told, location, message) = (fields.context(), fields.take("location"), fields.take("message"));
            self.send(PluginRecord::Event { span, level, told, location, message });
        } else if metadata.target().starts_with("camlock") && level <= 3 {
            let mut fields = Fields::default();
            event.record(&mut fields);
            let message = fields.take("message");
            self.send(PluginRecord::Own { level, message, fields: fields.0 });
        }
    }
}

impl ForwardRecords {
    fn send(&self, record: PluginRecord) {
        self.0.tell(&Report::PluginRecord(record), &[]);
    }
}
