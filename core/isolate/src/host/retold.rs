//! A plugin's records, told again in this process's subscriber, as those of a plugin in the process are.
//!
//! Whose they are is this side's word, not the plugin's.

use crate::control::words::{PluginRecord, RecordContext};
use std::{collections::HashMap, sync::Arc};
use tracing::Span;

/// More spans that are open at once are not kept apart.
const SPANS: usize = 100_000;

/// The records of one generation.
pub(super) struct Retold {
    plugin: Arc<str>,
    generation: u64,
    spans: HashMap<u64, Span>,
}

macro_rules! at_level {
    ($level:expr, $record:ident ! ($($arguments:tt)*)) => {
        match $level {
            0 | 1 => tracing::$record!(target: "camlock::plugin", tracing::Level::ERROR, $($arguments)*),
            2 => tracing::$record!(target: "camlock::plugin", tracing::Level::WARN, $($arguments)*),
            3 => tracing::$record!(target: "camlock::plugin", tracing::Level::INFO, $($arguments)*),
            4 => tracing::$record!(target: "camlock::plugin", tracing::Level::DEBUG, $($arguments)*),
            _ => tracing::$record!(target: "camlock::plugin", tracing::Level::TRACE, $($arguments)*),
        }
    };
}

impl Retold {
    pub(super) fn new(plugin: Arc<str>, generation: u64) -> Self {
        Retold { plugin, generation, spans: HashMap::new() }
    }

    fn span(&self, id: Option<u64>) -> Span {
        id.and_then(|id| self.spans.get(&id)).cloned().unwrap_or_else(Span::none)
    }

    pub(super) fn tell(&mut self, record: PluginRecord) {
        let (plugin, generation) = (&*self.plugin, self.generation);
        match record {
            PluginRecord::Event { span, level, told, location, message } => {
                let RecordContext { trace_id, module, fields } = told;
                let trace_id = checked(&trace_id);
                self.span(span).in_scope(|| {
                    at_level!(level, event!(plugin, generation, trace_id, module, location, fields, "{message}"));
                });
            }
            PluginRecord::Open { id, parent, level, told, name } => {
                if self.spans.len() >= SPANS {
                    return;
                }
                let RecordContext { trace_id, module, fields } = told;
                let trace_id = checked(&trace_id);
                let span = self.span(parent).in_scope(|| {
                    let more = tracing::field::Empty;
                    at_level!(level, span!("plugin", plugin, generation, trace_id, module, name, fields, more = more))
                });
                self.spans.insert(id, span);
            }
            PluginRecord::More { id, fields } => drop(self.span(Some(id)).record("more", fields)),
            PluginRecord::Follows { id, other } => drop(self.span(Some(id)).follows_from(self.span(Some(other)).id())),
            PluginRecord::Close { id } => drop(self.spans.remove(&id)),
            PluginRecord::Own { level, message, fields } => {
                let field = |name: &str| fields.get(name).map(String::as_str);
                let (place, location, backtrace) = (field("place"), field("location"), field("backtrace"));
                match level {
                    0 | 1 => tracing::error!(plugin, generation, place, location, backtrace, "{message}"),
                    2 => tracing::warn!(plugin, generation, place, location, backtrace, "{message}"),
                    _ => tracing::info!(plugin, generation, place, location, backtrace, "{message}"),
                }
            }
        }
    }
}

/// A trace id, if it looks like one.
fn checked(trace_id: &str) -> &str {
    let is_one = trace_id.len() == 32 && trace_id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_one { trace_id } else { "" }
}
