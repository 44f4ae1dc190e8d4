//! Logs: lines for people on a terminal, objects otherwise; always on stderr.

use crate::config::{Config, LogFormat};
use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;

/// Begins to log. `CAMLOCK_LOG` comes before the file.
pub(crate) fn begin(config: &Config) {
    let default = || EnvFilter::new(config.log_filter.as_deref().unwrap_or("info"));
    let filter = EnvFilter::try_from_env("CAMLOCK_LOG").unwrap_or_else(|_| default());
    let terminal = io::stderr().is_terminal();
    let format = config.log_format.unwrap_or(if terminal { LogFormat::Human } else { LogFormat::Json });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Human => builder.with_ansi(terminal).with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
