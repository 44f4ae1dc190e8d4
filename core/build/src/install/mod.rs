//! New entries of the plugins directory: copied or unpacked beside it, looked at, and put in place by one rename.
//!
//! What must not live here: HTTP, and what is safe in an archive.

mod archive;
mod room;
#[cfg(test)]
mod tests;

use crate::{
    directory::Identify,
    manifest,
    seer::stem,
    single,
    words::{in_words, shown},
};
use archive::{tar_gz, zip};
use camlock_policy::{BoxFuture, Install, Installed, Kind, NotInstalled, Source, Upload, manifest::check_name};
use room::{Bounds, Room};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::{
    ffi::OsString,
    fmt, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// What is under way in the plugins directory is called so, and no entry there.
const INCOMING: &str = ".incoming-";
/// What is older than this was left behind by a server that was killed.
const OLD: Duration = Duration::from_secs(3600);

/// Puts plugins into the plugins directory.
#[derive(Clone)]
pub struct Installer(Arc<Shared>);

struct Shared {
    plugins: PathBuf,
    uploads: PathBuf,
    identify: Identify,
    bounds: Bounds,
}

impl Installer {
    /// Uploads lie below the data directory until they are installed. What a server that was killed left there is removed.
    pub fn new(plugins: impl Into<PathBuf>, data: &Path, identify: Identify) -> io::Result<Self> {
        let (plugins, uploads) = (plugins.into(), data.join("uploads"));
        // As the paths of entries are told.
        let plugins = std::path::absolute(&plugins).unwrap_or(plugins);
        fs::create_dir_all(&uploads)?;
        fs::set_permissions(&uploads, fs::Permissions::from_mode(0o700))?;
        remove_old(&uploads, "upload-");
        remove_old(&plugins, INCOMING);
        Ok(Installer(Arc::new(Shared { plugins, uploads, identify, bounds: Bounds::default() })))
    }
}

impl fmt::Debug for Installer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Installer").field("plugins", &self.0.plugins).finish_non_exhaustive()
    }
}

impl Install for Installer {
    fn uploads(&self) -> PathBuf {
        self.0.uploads.clone()
    }

    fn install(&self, upload: Upload) -> BoxFuture<Result<Installed, NotInstalled>> {
        let shared = self.0.clone();
        let done = tokio::task::spawn_blocking(move || shared.install(&upload));
        Box::pin(async move {
            done.await.unwrap_or_else(|_| Err(NotInstalled::Failed("installing it was broken off".to_owned())))
        })
    }
}

/// An entry that is ready to be put in place.
struct Ready {
    plugin: String,
    /// What it is called in the plugins directory.
    entry: String,
    /// Where it lies for now.
    at: PathBuf,
}

impl Shared {
    fn install(&self, upload: &Upload) -> Result<Installed, NotInstalled> {
        fs::create_dir_all(&self.plugins).map_err(|error| unwritten(&self.plugins, &error))?;
        let incoming = Incoming::beside(&self.plugins);
        let ready = match &upload.source {
            Source::Artifact(path) => self.library(path, &incoming)?,
            Source::TarGz(path) => self.unpacked(path, &incoming, tar_gz)?,
            Source::Zip(path) => self.unpacked(path, &incoming, zip)?,
            Source::Path(path) => self.path(path, &incoming)?,
        };
        self.place(&ready, upload)?;
        Ok(Installed { plugin: ready.plugin, path: ready.entry.into() })
    }

    /// Whatever lies at a path.
    fn path(&self, path: &Path, incoming: &Incoming) -> Result<Ready, NotInstalled> {
        let told = path.display();
        let metadata = fs::metadata(path)
            .map_err(|error| NotInstalled::Unfit(format!("{told} cannot be read: {}", in_words(&error))))?;
        if let (Ok(path), Ok(plugins)) = (path.canonicalize(), self.plugins.canonicalize())
            && path.starts_with(&plugins)
        {
            return Err(NotInstalled::Taken(format!("{told} lies in the plugins directory already")));
        }
        if metadata.is_dir() {
            let mut room = Room::new(&incoming.0, self.bounds)?;
            room.copy(path)?;
            return krate(&incoming.0);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("so") => self.library(path, incoming),
            Some("rs") => self.single(path, incoming),
            Some("zip") => self.unpacked(path, incoming, zip),
            Some("tgz") => self.unpacked(path, incoming, tar_gz),
            Some("gz") if name.ends_with(".tar.gz") => self.unpacked(path, incoming, tar_gz),
            _ => Err(NotInstalled::Unfit(format!(
                "{told} cannot be installed: name a crate's folder, a `.rs` or `.so` file, or an archive (`.tar.gz`, `.zip`)"
            ))),
        }
    }

    fn unpacked(
        &self,
        path: &Path,
        incoming: &Incoming,
        unpack: fn(fs::File, &mut Room) -> Result<(), NotInstalled>,
    ) -> Result<Ready, NotInstalled> {
        let file = fs::File::open(path)
            .map_err(|error| NotInstalled::Unfit(format!("the archive cannot be read: {}", in_words(&error))))?;
        unpack(file, &mut Room::new(&incoming.0, self.bounds)?)?;
        krate(&incoming.0)
    }

    fn library(&self, path: &Path, incoming: &Incoming) -> Result<Ready, NotInstalled> {
        self.copied(path, incoming)?;
        let identified = (self.identify)(&incoming.0)
            .map_err(|failure| NotInstalled::Unfit(format!("it is no plugin's library: {}", failure.reason)))?;
        named(&identified.name)?;
        let entry = format!("{}.so", identified.name);
        Ok(Ready { plugin: identified.name, entry, at: incoming.0.clone() })
    }

    fn single(&self, path: &Path, incoming: &Incoming) -> Result<Ready, NotInstalled> {
        self.copied(path, incoming)?;
        let plugin = stem(path.file_name().unwrap_or_default(), Kind::SingleFile);
        named(&plugin)?;
        let text = fs::read(&incoming.0).map_err(|error| unwritten(&incoming.0, &error))?;
        let entry = format!("{plugin}.rs");
        single::read(&plugin, &text, path.parent().unwrap_or(Path::new("/")))
            .map_err(|wrong| NotInstalled::Unfit(wrong.in_file(&entry).reason))?;
        Ok(Ready { plugin, entry, at: incoming.0.clone() })
    }

    /// Copies one file to where it is made ready.
    fn copied(&self, path: &Path, incoming: &Incoming) -> Result<(), NotInstalled> {
        let mut from = fs::File::open(path)
            .map_err(|error| NotInstalled::Unfit(format!("{} cannot be read: {}", path.display(), in_words(&error))))?;
        let length = from.metadata().map_or(0, |metadata| metadata.len());
        if length > self.bounds.bytes {
            let bound = self.bounds.bytes;
            return Err(NotInstalled::TooLarge(format!(
                "it is {length} bytes long, more than the {bound} that are taken"
            )));
        }
        let mut copy = || {
            let mut to = fs::File::create_new(&incoming.0)?;
            io::copy(&mut from, &mut to)?;
            to.set_permissions(fs::Permissions::from_mode(0o644))?;
            // What is in place must not turn out empty after a power cut.
            to.sync_all()
        };
        copy().map_err(|error| unwritten(&incoming.0, &error))
    }

    /// Puts it where it belongs, unless that is somebody else's place.
    fn place(&self, ready: &Ready, upload: &Upload) -> Result<(), NotInstalled> {
        let Ready { plugin, entry, at } = ready;
        let target = self.plugins.join(entry);
        let first = |path: &Path| {
            let below = path.strip_prefix(&self.plugins).unwrap_or(path);
            // What lies elsewhere is nobody's to move.
            match below.components().next() {
                Some(Component::Normal(first)) => Some(first.to_owned()),
                _ => None,
            }
        };
        let before = match upload.there.get(plugin) {
            Some(None) => return Err(NotInstalled::Taken(format!("`{plugin}` is compiled into the server"))),
            Some(Some(path)) if !upload.replace => {
                let path = path.display();
                return Err(NotInstalled::Taken(format!(
                    "there is a plugin `{plugin}`, in {path}: ask for `replace=true`, or remove it before"
                )));
            }
            Some(Some(path)) => first(path).filter(|before| before != entry.as_str()),
            None => None,
        };
        let whose = |other: &&String| {
            *other != plugin && upload.there[*other].as_deref().and_then(first).is_some_and(|it| it == entry.as_str())
        };
        if let Some(other) = upload.there.keys().find(whose) {
            return Err(NotInstalled::Taken(format!("{entry} in the plugins directory is the plugin `{other}`")));
        }
        if fs::symlink_metadata(&target).is_err() {
            match renameat_with(CWD, at, CWD, &target, RenameFlags::NOREPLACE) {
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => fs::rename(at, &target),
                other => other.map_err(io::Error::from),
            }
            .map_err(|error| unwritten(&target, &error))?;
        } else if upload.replace {
            self.exchange(at, &target).map_err(|error| unwritten(&target, &error))?;
        } else {
            let told =
                format!("{entry} lies in the plugins directory already: ask for `replace=true`, or move it away");
            return Err(NotInstalled::Taken(told));
        }
        // One that was an entry of another sort goes, now that there is the new one.
        if let Some(before) = before {
            let gone = Incoming::beside(&self.plugins);
            let before = self.plugins.join(before);
            fs::rename(&before, &gone.0).map_err(|error| unwritten(&before, &error))?;
        }
        Ok(())
    }

    /// Nobody sees the place empty, where the file system can do that.
    fn exchange(&self, at: &Path, target: &Path) -> io::Result<()> {
        match renameat_with(CWD, at, CWD, target, RenameFlags::EXCHANGE) {
            // What was there lies where the new one was, and goes with that.
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                let before = Incoming::beside(&self.plugins);
                fs::rename(target, &before.0)?;
                fs::rename(at, target).inspect_err(|_| drop(fs::rename(&before.0, target)))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The crate in a directory, or in the only directory in it.
fn krate(directory: &Path) -> Result<Ready, NotInstalled> {
    let top = top(directory).map_err(|error| unwritten(directory, &error))?.ok_or_else(|| {
        let told = "there is no `Cargo.toml` at its top, or in the only folder at its top: pack the crate's own folder";
        NotInstalled::Unfit(told.to_owned())
    })?;
    let text = fs::read(top.join("Cargo.toml")).map_err(|error| unwritten(&top, &error))?;
    let package = manifest::read(&text);
    if let Some(wrong) = package.wrong {
        return Err(NotInstalled::Unfit(wrong.in_file("Cargo.toml").reason));
    }
    let plugin = package.name.unwrap_or_default();
    named(&plugin)?;
    Ok(Ready { entry: plugin.clone(), plugin, at: top })
}

fn top(directory: &Path) -> io::Result<Option<PathBuf>> {
    let is_crate = |path: &Path| path.join("Cargo.toml").is_file();
    if is_crate(directory) {
        return Ok(Some(directory.to_owned()));
    }
    let mut inside = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    let only = if inside.len() == 1 { inside.pop().map(|entry| entry.path()) } else { None };
    Ok(only.filter(|path| is_crate(path)))
}

fn named(name: &str) -> Result<(), NotInstalled> {
    // A name is a path's last part here, whatever else it is.
    let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    match check_name(name) {
        Ok(()) if plain => Ok(()),
        Ok(()) => Err(NotInstalled::Unfit(format!("`{}` is no name for a plugin", shown(name)))),
        Err(invalid) => Err(NotInstalled::Unfit(invalid.0)),
    }
}

fn unwritten(path: &Path, error: &io::Error) -> NotInstalled {
    NotInstalled::Failed(format!("{} cannot be written: {}", path.display(), in_words(error)))
}

/// Where something is made ready, on the file system of the plugins directory. It goes when this does, with what is in it.
struct Incoming(PathBuf);

impl Incoming {
    fn beside(plugins: &Path) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Incoming(plugins.join(format!("{INCOMING}{}-{number}", std::process::id())))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(path: &Path) {
    let _ = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
}

fn remove_old(directory: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name: OsString = entry.file_name();
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let age = changed.ok().and_then(|changed| SystemTime::now().duration_since(changed).ok());
        if name.as_encoded_bytes().starts_with(prefix.as_bytes()) && age.is_some_and(|age| age > OLD) {
            remove(&entry.path());
        }
    }
}
