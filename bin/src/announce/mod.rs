//! What a server tells about its plugins on its terminal: one that serves many, and one that is for a single plugin.

mod dev;
mod server;

use crate::screen;
use camlock_build::CompilerListener;
use camlock_policy::Manager;
use std::{net::SocketAddr, path::PathBuf, sync::Arc};

/// How it is told.
#[derive(Clone, Debug)]
pub(crate) enum Voice {
    /// A line whenever a plugin begins to serve, fails, or goes.
    Server,
    /// A screen for the plugin at this path.
    Dev { path: PathBuf },
}

/// Where everything is.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) address: SocketAddr,
    /// How it is spoken to: `http` or `https`.
    pub(crate) scheme: &'static str,
    /// Where the page is, if there is one.
    pub(crate) page: Option<String>,
    pub(crate) data: PathBuf,
    pub(crate) plugins: PathBuf,
    /// The configuration file.
    pub(crate) settings: Option<PathBuf>,
}

impl Opening {
    /// The URL of a path.
    fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }
}

impl Voice {
    /// Who hears compilers.
    pub(crate) fn listener(&self) -> Option<CompilerListener> {
        let Voice::Dev { .. } = self else { return None };
        let hear =
            |message: &str| screen::above(|| crate::print::beside(format_args!("{}", message.trim_end_matches('\n'))));
        Some(CompilerListener { colours: crate::print::Paint::stderr().is_on(), hear: Arc::new(hear) })
    }

    /// Tells where everything is.
    pub(crate) fn open(&self, opening: &Opening) {
        match self {
            Voice::Server => server::open(opening),
            Voice::Dev { path } => dev::open(path, opening),
        }
    }

    /// Tells until the server ends.
    pub(crate) async fn announce(self, manager: Manager, opening: Opening) {
        match self {
            Voice::Server => server::announce(manager, opening).await,
            Voice::Dev { path } => dev::announce(manager, &path, &opening).await,
        }
    }
}
