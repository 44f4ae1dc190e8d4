//! The port through which something new comes into the plugins directory. What must not live here: HTTP, archives, files.

use crate::{BoxFuture, Done, Grants, PluginSource, Refused, registry::Actor};
use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};
use tokio::sync::oneshot;

/// Somebody wants something installed.
pub struct Installation {
    /// Where it comes from.
    pub source: Source,
    /// What it must be called; none: whatever it says of itself.
    pub name: Option<String>,
    /// Also where there is a plugin of that name: the new one takes its place.
    pub replace: bool,
    /// Where it came from, for what is granted to it.
    pub origin: PluginSource,
    /// What is granted to it; without, what was granted to the same from there before, or nothing.
    pub grants: Option<Grants>,
    /// Who, for the journal.
    pub by: Actor,
    /// Dropped when the installation is over: whoever sent a file removes it so.
    pub held: Option<Box<dyn Any + Send>>,
}

impl fmt::Debug for Installation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Installation { source, name, replace, origin, grants, by, held: _ } = self;
        let mut shown = formatter.debug_struct("Installation");
        shown
            .field("source", source)
            .field("name", name)
            .field("replace", replace)
            .field("origin", origin)
            .field("grants", grants)
            .field("by", by)
            .finish_non_exhaustive()
    }
}

/// Something lies in the plugins directory, and is looked at.
#[derive(Debug)]
pub struct Placement {
    /// The plugin's name.
    pub plugin: String,
    /// Where it lies now, below the plugins directory.
    pub path: PathBuf,
    /// It takes the place of a plugin that is enabled.
    pub replaced: bool,
    /// What comes of it.
    pub outcome: oneshot::Receiver<Result<Done, Refused>>,
}

/// What is to be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Where it comes from.
    pub source: Source,
    /// What it must be called; none: whatever it says of itself.
    pub name: Option<String>,
    /// Also where there is a plugin of that name: the new one takes its place.
    pub replace: bool,
    /// The plugins that there are, with where their entries lie: below the plugins directory, or whole paths; nowhere for
    /// those that are compiled in.
    pub there: BTreeMap<String, Option<PathBuf>>,
    /// Of them those that nothing else may take the place of, each with the catalog that it came from.
    pub by_name: BTreeMap<String, String>,
}

/// Where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Something on this machine: a crate, a single file, a library or an archive. It is copied.
    Path(PathBuf),
    /// A library that was sent, in a file. Whoever sent it removes the file.
    Artifact(PathBuf),
    /// The sources of a crate, the same way.
    TarGz(PathBuf),
    /// The same, in a zip archive.
    Zip(PathBuf),
}

impl Source {
    /// What sort of source it is, in a word.
    pub fn word(&self) -> &'static str {
        match self {
            Source::Path(_) => "path",
            Source::Artifact(_) => "artifact",
            Source::TarGz(_) => "tar.gz",
            Source::Zip(_) => "zip",
        }
    }

    /// The path of what is to be installed.
    pub fn path(&self) -> &Path {
        match self {
            Source::Path(path) | Source::Artifact(path) | Source::TarGz(path) | Source::Zip(path) => path,
        }
    }
}

/// Something lies in the plugins directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The plugin's name.
    pub plugin: String,
    /// Where it lies now, below the plugins directory.
    pub path: PathBuf,
}

/// Why nothing was installed, in one sentence. The plugins directory is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotInstalled {
    /// What was sent cannot be used.
    #[error("{0}")]
    Unfit(String),
    /// It is larger than is allowed, or becomes so when it is unpacked.
    #[error("{0}")]
    TooLarge(String),
    /// There is something of that name.
    #[error("{0}")]
    Taken(String),
    /// It could not be written.
    #[error("{0}")]
    Failed(String),
    /// This server has nothing that installs.
    #[error("this server installs nothing: put the plugin into its plugins directory")]
    Unsupported,
    /// Too many others are being installed.
    #[error("{0}")]
    Busy(String),
    /// The server is ending.
    #[error("the server is ending")]
    Ending,
}

/// Told the plugin's name before anything of it lies in the plugins directory; blocks until that is known where it matters.
pub type Arriving = Box<dyn FnOnce(&str) + Send>;

/// Puts plugins into the plugins directory.
pub trait Install: Send + Sync {
    /// Where uploads lie until they are installed: a directory that is there, for the server alone.
    fn uploads(&self) -> PathBuf;

    /// Installs something. Its entry is there whole, or not at all. Blocking work is done elsewhere.
    fn install(&self, upload: Upload, arriving: Arriving) -> BoxFuture<Result<Installed, NotInstalled>>;
}
