//! `camlock dev`: a server for one plugin, in a terminal.
//!
//! It is `camlock serve` over a directory with nothing but a link to this plugin; its data directory is in the user's cache, so
//! that it begins with what was built before. What must not live here: how a server works.

use super::workshop::{self, Alone};
use crate::{
    Failed,
    announce::Voice,
    config::{Config, Flags, LogFormat, PageListen, Profile},
    serve,
};
use camlock_embed::ParentLink;
use camlock_loader::Digest;
use clap::Args;
use std::{
    net::{SocketAddr, TcpListener},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

#[derive(Args)]
pub(crate) struct DevArguments {
    /// The plugin: its folder or its .rs file
    path: PathBuf,
    /// The address to listen on [default: 127.0.0.1:8080, or a free port if that is taken]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// How it is compiled
    #[arg(long, default_value = "quick")]
    profile: Profile,
    /// The configuration file, for limits [default: the nearest camlock.toml at or above the current directory]
    #[arg(long, env = "CAMLOCK_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) fn run_it(options: &DevArguments) -> Result<(), Failed> {
    let alone = Alone::new(&options.path)?;
    let flags = Flags { config: options.config.clone(), ..Flags::default() };
    let mut config = Config::read(&flags)?;
    config.builds = Some(workshop::builds(&config)?);
    config.plugins = alone.plugins().to_owned();
    let key = Digest::of(alone.path.as_os_str().as_bytes()).to_string();
    config.data = workshop::cache()?.join("dev").join(&key["sha256:".len()..][..16]);
    config.listen = options.listen.unwrap_or_else(free_address);
    // One plugin and one terminal: there is nothing to operate.
    config.page = PageListen::Off;
    config.profile = Some(options.profile);
    config.log_format = Some(LogFormat::Human);
    // What becomes of the plugin is told otherwise.
    config.log_filter.get_or_insert_with(|| "info,camlock=warn,camlock_policy=off,camlock::plugin=info".to_owned());
    config.settings.new_enabled = true;
    config.keep_to_itself();
    serve::run_with(&config, &Voice::Dev { path: options.path.clone() }, &ParentLink::default())
}

/// Where browsers and scripts look for it, if nobody else is there.
fn free_address() -> SocketAddr {
    let usual = SocketAddr::from(([127, 0, 0, 1], 8080));
    TcpListener::bind(usual).map_or(SocketAddr::from(([127, 0, 0, 1], 0)), |_| usual)
}
