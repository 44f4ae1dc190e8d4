//! How loud each plugin is: what operators choose for one, which counts before what a subscriber's filter says of all.
//!
//! It holds for what a plugin says itself. What the host says of a plugin is the filter's affair alone. What must not live
//! here: what becomes of records otherwise, and how a plugin is told not to make records that nobody wants.

use camlock_http::PLUGIN_TARGET;
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
};
use tracing::{
    Dispatch, Event, Level, Metadata, Subscriber,
    callsite::rebuild_interest_cache,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

/// The levels of plugins. A handle; cheap to clone.
#[derive(Clone, Default)]
pub struct Levels(Arc<RwLock<Chosen>>);

#[derive(Default)]
struct Chosen {
    /// What holds if no operator says otherwise.
    configured: HashMap<String, Level>,
    by_operators: HashMap<String, Level>,
    listener: Option<LevelListener>,
}

/// Who hears of a plugin's level; of none, where the usual one is to hold.
type LevelListener = Arc<dyn Fn(&str, Option<Level>) + Send + Sync>;

impl fmt::Debug for Levels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Levels").finish_non_exhaustive()
    }
}

impl Levels {
    /// With these, until something else is chosen.
    pub fn new(configured: impl IntoIterator<Item = (String, Level)>) -> Self {
        let configured = configured.into_iter().collect();
        Levels(Arc::new(RwLock::new(Chosen { configured, ..Chosen::default() })))
    }

    /// The level that was chosen for a plugin; none if the filter decides.
    pub fn of(&self, plugin: &str) -> Option<Level> {
        self.read(|chosen| chosen.of(plugin))
    }

    /// Chooses a plugin's level from now on; none: what is configured.
    pub fn choose(&self, plugin: &str, level: Option<Level>) {
        let (level, listener) = {
            let mut chosen = self.0.write().unwrap_or_else(PoisonError::into_inner);
            match level {
                Some(level) => chosen.by_operators.insert(plugin.to_owned(), level),
                None => chosen.by_operators.remove(plugin),
            };
            (chosen.of(plugin), chosen.listener.clone())
        };
        remember_anew();
        if let Some(listener) = listener {
            listener(plugin, level);
        }
    }

    /// From now on this hears of each choice, and at once of what is configured: it has plugins not make what nobody wants, and
    /// make what somebody does.
    pub fn listen(&self, listener: impl Fn(&str, Option<Level>) + Send + Sync + 'static) {
        let listener: LevelListener = Arc::new(listener);
        let all: Vec<_> = {
            let mut chosen = self.0.write().unwrap_or_else(PoisonError::into_inner);
            chosen.listener = Some(listener.clone());
            let plugins = chosen.configured.keys().chain(chosen.by_operators.keys());
            plugins.map(|plugin| (plugin.clone(), chosen.of(plugin))).collect()
        };
        all.iter().for_each(|(plugin, level)| listener(plugin, *level));
    }

    /// A filter of all records, and before it what is chosen for plugins.
    pub fn before<F>(&self, filter: F) -> Leveled<F> {
        Leveled { levels: self.clone(), filter }
    }

    fn read<R>(&self, look: impl FnOnce(&Chosen) -> R) -> R {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The loudest level that is chosen for anybody.
    fn loudest(&self) -> Option<Level> {
        self.read(|chosen| chosen.by_operators.values().chain(chosen.configured.values()).max().copied())
    }

    /// Whether a record of this level may be wanted, although the filter does not want it.
    fn may_want(&self, metadata: &Metadata<'_>) -> bool {
        self.loudest().is_some_and(|loudest| *metadata.level() <= loudest)
    }
}

/// What records are wanted is remembered wherever one can be made; from now on that is as the levels are now. One after the other:
/// of two at once, the one that looked before a change could be the last to write.
fn remember_anew() {
    static AT_IT: Mutex<()> = Mutex::new(());
    let _alone = AT_IT.lock().unwrap_or_else(PoisonError::into_inner);
    rebuild_interest_cache();
}

impl Chosen {
    fn of(&self, plugin: &str) -> Option<Level> {
        self.by_operators.get(plugin).or_else(|| self.configured.get(plugin)).copied()
    }
}

/// A layer of `tracing`: a filter, and before it the levels of plugins.
#[derive(Debug)]
pub struct Leveled<F> {
    levels: Levels,
    filter: F,
}

/// Which plugin's code a span is around.
#[derive(Clone)]
struct Around(Arc<str>);

/// The plugin that a record or a span names.
#[derive(Default)]
struct PluginField(Option<String>);

impl Visit for PluginField {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "plugin" {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

impl<F> Leveled<F> {
    /// The level that is chosen for the plugin whose code says this: a library's records name it, those of a plugin that is
    /// compiled in stand in a span that does.
    fn chosen<S>(&self, event: Option<&Event<'_>>, context: &Context<'_, S>) -> Option<Level>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        if let Some(event) = event.filter(|event| event.metadata().target() == PLUGIN_TARGET) {
            let mut named = PluginField::default();
            event.record(&mut named);
            return self.levels.of(&named.0?);
        }
        let scope = context.lookup_current()?.scope();
        let around = scope.into_iter().find_map(|span| span.extensions().get::<Around>().cloned());
        self.levels.of(&around?.0)
    }
}

impl<S, F> Layer<S> for Leveled<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    F: Layer<S>,
{
    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        self.filter.on_register_dispatch(subscriber);
    }

    fn on_layer(&mut self, subscriber: &mut S) {
        self.filter.on_layer(subscriber);
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        let interest = self.filter.register_callsite(metadata);
        if interest.is_never() && self.levels.may_want(metadata) { Interest::sometimes() } else { interest }
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        self.filter.enabled(metadata, context.clone())
            || (self.levels.may_want(metadata)
                // Whose a record is it says itself, once it is made.
                && (metadata.target() == PLUGIN_TARGET
                    || self.chosen(None, &context).is_some_and(|level| *metadata.level() <= level)))
    }

    fn event_enabled(&self, event: &Event<'_>, context: Context<'_, S>) -> bool {
        if self.levels.loudest().is_none() {
            return self.filter.event_enabled(event, context);
        }
        let metadata = event.metadata();
        match self.chosen(Some(event), &context) {
            Some(level) => *metadata.level() <= level,
            None => self.filter.enabled(metadata, context.clone()) && self.filter.event_enabled(event, context),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let hint = self.filter.max_level_hint()?;
        Some(self.levels.loudest().map_or(hint, |loudest| hint.max(LevelFilter::from_level(loudest))))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        // A span without a parent is there as long as a generation is; the others are there for a request, and cost nothing
        // while nobody has a level.
        if attributes.metadata().target() == PLUGIN_TARGET
            && (attributes.is_root() || self.levels.loudest().is_some())
            && let Some(span) = context.span(id)
        {
            let mut named = PluginField::default();
            attributes.record(&mut named);
            if let Some(plugin) = named.0 {
                span.extensions_mut().replace(Around(plugin.into()));
            }
        }
        self.filter.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.filter.on_record(id, values, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.filter.on_enter(id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.filter.on_exit(id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.filter.on_close(id, context);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Logs;
    use tracing_subscriber::{layer::SubscriberExt, registry};

    /// A level is chosen in one test at a time: while only one subscriber is there, `tracing` asks that of the thread that chooses,
    /// and these have theirs in the test's own thread. A server's is everybody's.
    static CHOOSING: Mutex<()> = Mutex::new(());

    fn said(logs: &Logs, plugin: &str) -> Vec<String> {
        logs.of(plugin, None, 100).iter().map(|line| line.message.clone()).collect()
    }

    /// What a library's record looks like here.
    fn library(plugin: &str) {
        tracing::info!(target: PLUGIN_TARGET, plugin, "info");
        tracing::debug!(target: PLUGIN_TARGET, plugin, "debug");
        tracing::trace!(target: PLUGIN_TARGET, plugin, "trace");
    }

    /// The same of a plugin that is compiled in.
    fn built_in(plugin: &str) {
        tracing::error_span!(target: PLUGIN_TARGET, "plugin", plugin).in_scope(|| {
            tracing::info_span!("its own").in_scope(|| {
                tracing::info!("info");
                tracing::debug!("debug");
                tracing::trace!("trace");
            });
        });
    }

    #[test]
    fn one_is_loud_and_the_others_are_as_they_were() {
        let _alone = CHOOSING.lock().unwrap_or_else(PoisonError::into_inner);
        let (logs, levels) = (Logs::default(), Levels::new([("quiet".to_owned(), Level::WARN)]));
        let subscriber = registry().with(levels.before(LevelFilter::INFO)).with(logs.clone());
        tracing::subscriber::with_default(subscriber, || {
            let all = || {
                for plugin in ["loud", "usual", "quiet"] {
                    library(plugin);
                    built_in(plugin);
                }
            };
            all();
            assert_eq!((said(&logs, "loud"), said(&logs, "quiet")), (vec!["info".to_owned(); 2], Vec::new()));
            levels.choose("loud", Some(Level::DEBUG));
            all();
            assert_eq!(said(&logs, "loud")[2..], ["info", "debug", "info", "debug"]);
            tracing::debug!(plugin = "loud", "the host's own");
            levels.choose("loud", None);
            levels.choose("quiet", Some(Level::TRACE));
            all();
            assert_eq!(said(&logs, "loud")[6..], ["info", "info"]);
            assert_eq!(said(&logs, "quiet"), ["info", "debug", "trace", "info", "debug", "trace"]);
            levels.choose("quiet", None);
            all();
            assert_eq!((said(&logs, "quiet").len(), said(&logs, "usual")), (6, vec!["info".to_owned(); 8]));
        });
    }

    #[test]
    fn who_listens_hears_of_all() {
        let _alone = CHOOSING.lock().unwrap_or_else(PoisonError::into_inner);
        let levels = Levels::new([("quiet".to_owned(), Level::WARN)]);
        levels.choose("early", Some(Level::DEBUG));
        type Heard = Vec<(String, Option<Level>)>;
        let heard: Arc<Mutex<Heard>> = Arc::default();
        let theirs = heard.clone();
        levels.listen(move |plugin, level| theirs.lock().unwrap().push((plugin.to_owned(), level)));
        levels.choose("quiet", Some(Level::ERROR));
        levels.choose("quiet", None);
        levels.choose("early", None);
        let heard: Vec<_> = heard.lock().unwrap().iter().map(|(plugin, level)| format!("{plugin} {level:?}")).collect();
        let level = |level: Level| format!("{:?}", Some(level));
        assert_eq!(
            heard,
            [
                format!("quiet {}", level(Level::WARN)),
                format!("early {}", level(Level::DEBUG)),
                format!("quiet {}", level(Level::ERROR)),
                format!("quiet {}", level(Level::WARN)),
                "early None".to_owned(),
            ]
        );
    }
}
