//! Logs: lines for people on a terminal, objects otherwise; always on stderr.

use crate::{
    config::{Config, LogFormat, Misconfigured},
    screen,
};
use std::{
    env,
    io::{self, IsTerminal},
};
use tracing_subscriber::EnvFilter;

/// Begins to log. `CAMLOCK_LOG` comes before the file.
pub(crate) fn begin(config: &Config) -> Result<(), Misconfigured> {
    let (said, place) = match env::var("CAMLOCK_LOG").ok().filter(|said| !said.is_empty()) {
        Some(said) => (said, "CAMLOCK_LOG"),
        None => (config.log_filter.clone().unwrap_or_else(|| usual().to_owned()), "log.filter"),
    };
    let filter = EnvFilter::builder().parse(&said).map_err(|error| {
        Misconfigured(format!("{place}: `{said}` is no filter (`info,camlock=debug`, say): {error}"))
    })?;
    let terminal = io::stderr().is_terminal();
    let format = config.log_format.unwrap_or(if terminal { LogFormat::Human } else { LogFormat::Json });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(screen::stderr);
    match format {
        LogFormat::Human => builder.with_ansi(terminal).with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}

/// On a terminal what becomes of plugins is told anyway.
fn usual() -> &'static str {
    if screen::is_terminal() { "info,camlock_core=warn" } else { "info" }
}
