//! Errors and panics, reported to Sentry: the host's own, and those of plugins with what they are about.
//!
//! Nothing is sent unless `SENTRY_DSN` says where to. What is reported is what is logged as an error, so other crates know
//! nothing of this. What must not live here: what else becomes of logs.

mod budget;
mod event;
mod frames;
mod layer;
mod panics;
mod scrub;

use crate::config::{Config, Misconfigured};
use budget::Budget;
use camlock_policy::{Digest, Overview};
use event::Noted;
use layer::ReportLayer;
use scrub::Secrets;
use sentry::{Client, ClientOptions, protocol::Event, types::Dsn};
use std::{
    env, fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How long the end of the server waits for what is still to be sent.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where errors are reported; nowhere, unless that is configured. A handle.
#[derive(Clone)]
pub(crate) struct Reports(Option<Arc<Reporter>>);

struct Reporter {
    client: Client,
    known: Arc<KnownPlugins>,
    budget: Mutex<Budget>,
}

/// What is known here of the server.
#[derive(Default)]
struct KnownPlugins {
    secrets: Secrets,
    overview: Mutex<Arc<Overview>>,
}

impl Reports {
    /// Begins to report, if the environment says where to; panics from now on.
    pub(crate) fn begin(config: &Config) -> Result<Self, Misconfigured> {
        let Some(dsn) = env::var("SENTRY_DSN").ok().filter(|dsn| !dsn.trim().is_empty()) else {
            return Ok(Reports(None));
        };
        // It is not shown: it may be a secret that was meant for something else.
        let dsn: Dsn = dsn
            .trim()
            .parse()
            .map_err(|error| Misconfigured(format!("SENTRY_DSN is no DSN (`https://KEY@HOST/PROJECT`): {error}")))?;
        let known: Arc<KnownPlugins> = Arc::default();
        known.secrets.add_url(&config.registry.url(Path::new("")));
        for name in ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "CAMLOCK_TOKEN"] {
            known.secrets.add(&env::var(name).unwrap_or_default());
        }
        let mut options = ClientOptions::new().default_integrations(false).max_breadcrumbs(0);
        options.dsn = Some(dsn);
        options.release = Some(release().into());
        options.environment = Some(env::var("SENTRY_ENVIRONMENT").unwrap_or_else(|_| "production".to_owned()).into());
        options.server_name =
            fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned().into());
        let scrubbing = known.clone();
        let options = options.before_send(move |event: Event<'static>| scrubbing.scrubbed(&event));
        let client = Client::from(sentry::apply_defaults(options));
        let reports =
            Reports(Some(Arc::new(Reporter { client, known, budget: Mutex::new(Budget::new(Instant::now())) })));
        panics::report(reports.clone());
        Ok(reports)
    }

    /// What has errors reported that are logged.
    pub(crate) fn layer(&self) -> ReportLayer {
        ReportLayer::new(self.clone())
    }

    /// This is in no report, wherever it stands.
    pub(crate) fn never_tell(&self, secret: &str) {
        if let Some(reporter) = &self.0 {
            reporter.known.secrets.add(secret);
        }
    }

    /// Knows plugins from now on: which artifact a generation is of, and what plugins are configured with.
    pub(crate) fn follow(&self, mut overview: watch::Receiver<Arc<Overview>>) -> impl Future<Output = ()> + use<> {
        let known = self.0.as_ref().map(|reporter| reporter.known.clone());
        async move {
            let Some(known) = known else { return };
            loop {
                let now = overview.borrow_and_update().clone();
                known.secrets.of_plugins(&now);
                *known.overview.lock().unwrap_or_else(PoisonError::into_inner) = now;
                if overview.changed().await.is_err() {
                    return;
                }
            }
        }
    }

    /// Why the server ends.
    pub(crate) fn failed(&self, reason: &str) {
        let mut noted = Noted::default();
        noted.note("message", reason.to_owned());
        self.report("camlock", noted);
    }

    /// Sends what is to be sent, and nothing any more.
    pub(crate) fn end(&self) {
        if let Some(reporter) = &self.0 {
            reporter.client.close(Some(PATIENCE));
        }
    }

    fn are_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Reports what was noted of an error.
    fn report(&self, logger: &str, mut noted: Noted) {
        let Some(reporter) = &self.0 else { return };
        let allowed = |budget: &mut Budget| budget.allows(&noted.likeness(), Instant::now());
        if !allowed(&mut reporter.budget.lock().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        if let Some(digest) = noted.generation().and_then(|(plugin, number)| reporter.known.artifact(plugin, number)) {
            noted.note("digest", digest.to_string());
        }
        reporter.client.capture_event(noted.event(logger), None);
    }
}

impl KnownPlugins {
    /// Which artifact a generation is of.
    fn artifact(&self, plugin: &str, generation: u64) -> Option<Digest> {
        let overview = self.overview.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let plugin = overview.plugins.iter().find(|known| known.name == plugin)?;
        let serving = plugin.serving.as_ref().filter(|serving| serving.generation == generation);
        let built = || plugin.builds.iter().find(|build| build.generation == generation)?.artifact;
        serving.and_then(|serving| serving.artifact).or_else(built)
    }

    /// The event, with nothing in it that nobody may know. What cannot be looked through is not sent.
    fn scrubbed(&self, event: &Event<'static>) -> Option<Event<'static>> {
        let mut value = serde_json::to_value(event).ok()?;
        for (key, value) in value.as_object_mut()? {
            // Ids, times and names that are given here. A plugin's name may well stand in some configuration.
            if !matches!(
                &**key,
                "event_id" | "timestamp" | "level" | "platform" | "release" | "sdk" | "logger" | "tags"
            ) {
                self.secrets.scrub_all(value);
            }
        }
        serde_json::from_value(value).ok()
    }
}

/// What this is, as Sentry names releases.
fn release() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let revision = option_env!("CAMLOCK_REVISION").map(|revision| format!("+{revision}")).unwrap_or_default();
    env::var("SENTRY_RELEASE")
        .ok()
        .filter(|release| !release.is_empty())
        .unwrap_or(format!("camlock@{version}{revision}"))
}
