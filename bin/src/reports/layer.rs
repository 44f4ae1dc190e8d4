//! A layer of `tracing` that reports what is logged as an error.

use super::{Reports, event::Noted};
use tracing::{
    Event, Level, Subscriber,
    span::{Attributes, Id},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

/// Of these its warnings are reported too.
const DISCOVERY: &str = "camlock_discovery";

pub(crate) struct ReportLayer(Reports);

impl ReportLayer {
    pub(super) fn new(reports: Reports) -> Self {
        ReportLayer(reports)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for ReportLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if !self.0.are_wanted() {
            return;
        }
        let mut noted = Noted::default();
        attributes.record(&mut noted);
        if let (true, Some(span)) = (noted.names_anybody(), context.span(id)) {
            span.extensions_mut().replace(noted);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        // What is wrong with a plugin's manifest is an error for its author.
        let metadata = event.metadata();
        let is_told = *metadata.level() == Level::ERROR
            || (*metadata.level() == Level::WARN && metadata.target().starts_with(DISCOVERY));
        if !is_told || !self.0.are_wanted() {
            return;
        }
        let mut noted = Noted::default();
        event.record(&mut noted);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(whose) = span.extensions().get::<Noted>() {
                noted.complete(whose);
            }
        }
        self.0.report(event.metadata().target(), noted);
    }
}
