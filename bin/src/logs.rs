//! Logs: lines for people on a terminal, objects otherwise; always on stderr.

use crate::{
    config::{Config, LogFormat, Misconfigured},
    reports::Reports,
    screen,
};
use camlock_admin::{Levels, Logs};
use std::{
    env,
    io::{self, IsTerminal},
};
use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, registry, util::SubscriberInitExt};

/// Who watches files tells of each change, also of a log's: it would never end. Whoever wants it names it.
const QUIET: &str = "notify=info";

/// Begins to log: to stderr, into what is kept of each plugin, and errors to where they are reported. `CAMLOCK_LOG` comes before
/// the file.
pub(crate) fn begin(config: &Config, kept: Logs, levels: &Levels, reports: &Reports) -> Result<(), Misconfigured> {
    let (said, place) = match env::var("CAMLOCK_LOG").ok().filter(|said| !said.is_empty()) {
        Some(said) => (said, "CAMLOCK_LOG"),
        None => (config.log_filter.clone().unwrap_or_else(|| usual().to_owned()), "log.filter"),
    };
    let filter = EnvFilter::builder().parse(format!("{QUIET},{said}")).map_err(|error| {
        Misconfigured(format!("{place}: `{said}` is no filter (`info,camlock=debug`, say): {error}"))
    })?;
    let terminal = io::stderr().is_terminal();
    let format = config.log_format.unwrap_or(if terminal { LogFormat::Human } else { LogFormat::Json });
    let layer = fmt::layer().with_writer(screen::stderr);
    let layer = match format {
        LogFormat::Human => layer.with_ansi(terminal).with_target(false).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    registry().with(levels.before(filter)).with(kept).with(reports.layer()).with(layer).init();
    Ok(())
}

/// On a terminal what becomes of plugins is told anyway, failures with all that compilers said.
const TERMINAL: &str = "info,camlock_policy=warn,camlock_policy::outcome=off";

fn usual() -> &'static str {
    if screen::is_terminal() { TERMINAL } else { "info" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::{Level, enabled, subscriber::with_default};

    #[test]
    fn on_a_terminal_a_failure_is_not_logged_besides() {
        with_default(registry().with(EnvFilter::new(TERMINAL)), || {
            assert!(!enabled!(target: "camlock_policy::outcome", Level::ERROR));
            assert!(enabled!(target: "camlock_policy::supervisor::making", Level::WARN));
        });
        with_default(registry().with(EnvFilter::new("info")), || {
            assert!(enabled!(target: "camlock_policy::outcome", Level::ERROR));
        });
    }
}
