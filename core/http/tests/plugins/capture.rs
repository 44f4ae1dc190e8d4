//! What arrives in the host's subscriber.

use std::{collections::BTreeMap, fmt::Debug, sync::Mutex};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt, registry::LookupSpan};

pub type Record = BTreeMap<String, String>;

static RECORDS: Mutex<Vec<Record>> = Mutex::new(Vec::new());

struct Fields<'a>(&'a mut Record);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

struct Capture;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Capture {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut record = Record::new();
        attributes.record(&mut Fields(&mut record));
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(record);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut record = Record::new();
        event.record(&mut Fields(&mut record));
        record.insert("level".to_owned(), event.metadata().level().to_string());
        let scope = context.event_scope(event).into_iter().flatten();
        for span in scope {
            if let Some(fields) = span.extensions().get::<Record>() {
                for (name, value) in fields {
                    record.entry(format!("span.{name}")).or_insert_with(|| value.clone());
                }
            }
        }
        RECORDS.lock().expect("no panic while recording").push(record);
    }
}

pub fn install() {
    let filter = tracing::level_filters::LevelFilter::DEBUG;
    let subscriber = tracing_subscriber::registry().with(Capture.with_filter(filter));
    tracing::subscriber::set_global_default(subscriber).expect("the first subscriber");
}

/// The records whose message has this in it.
pub fn records(message: &str) -> Vec<Record> {
    let records = RECORDS.lock().expect("no panic while recording");
    records.iter().filter(|record| record.get("message").is_some_and(|text| text.contains(message))).cloned().collect()
}
