//! New entries of the plugins directory: copied or unpacked beside it, looked at, and put in place by one rename.
//!
//! What must not live here: HTTP, and what is safe in an archive.

mod archive;
mod incoming;
mod room;
#[cfg(test)]
mod tests;

use crate::{
    manifest,
    observed::Identify,
    removed,
    scanner::stem,
    single,
    whole::sync_directory,
    words::{in_words, shown},
};
use archive::{tar_gz, zip};
use camlock_policy::{
    Arriving, BoxFuture, Install, Installed, Kind, NotInstalled, Source, Upload, manifest::check_name,
};
use incoming::Incoming;
use room::{InstallBounds, Room};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::{
    ffi::OsStr,
    fmt, fs,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

/// The largest single file: of a larger one the directory reads no text.
const LARGEST_SOURCE: u64 = 1 << 20;

/// Puts plugins into the plugins directory.
#[derive(Clone)]
pub struct Installer(Arc<Workplace>);

/// What all installs have in common.
struct Workplace {
    plugins: PathBuf,
    uploads: PathBuf,
    /// Where entries go that are replaced.
    removed: PathBuf,
    identify: Identify,
    bounds: InstallBounds,
}

impl Installer {
    /// Uploads lie below the data directory until they are installed. What a server that was killed left there is removed.
    pub fn new(plugins: impl Into<PathBuf>, data: &Path, identify: Identify) -> io::Result<Self> {
        let (plugins, uploads) = (plugins.into(), data.join("uploads"));
        // As the paths of entries are told.
        let plugins = std::path::absolute(&plugins).unwrap_or(plugins);
        fs::create_dir_all(&uploads)?;
        fs::set_permissions(&uploads, fs::Permissions::from_mode(0o700))?;
        incoming::remove_left_behind(&plugins, &uploads);
        let removed = data.join("removed");
        Ok(Installer(Arc::new(Workplace { plugins, uploads, removed, identify, bounds: InstallBounds::default() })))
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

    fn install(&self, upload: Upload, arriving: Arriving) -> BoxFuture<Result<Installed, NotInstalled>> {
        let shared = self.0.clone();
        let done = tokio::task::spawn_blocking(move || shared.install(&upload, arriving));
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

impl Workplace {
    fn install(&self, upload: &Upload, arriving: Arriving) -> Result<Installed, NotInstalled> {
        fs::create_dir_all(&self.plugins).map_err(|error| unwritten(&self.plugins, &error))?;
        let incoming = Incoming::beside(&self.plugins).map_err(|error| unwritten(&self.plugins, &error))?;
        let ready = match &upload.source {
            Source::Artifact(path) => self.library(path, &incoming)?,
            Source::TarGz(path) => self.unpacked(path, &incoming, tar_gz)?,
            Source::Zip(path) => self.unpacked(path, &incoming, zip)?,
            Source::Path(path) => self.path(path, &incoming)?,
        };
        if let Some(name) = upload.name.as_ref().filter(|name| **name != ready.plugin) {
            return Err(NotInstalled::Unfit(format!("it is the plugin `{}`, and not `{name}`", shown(&ready.plugin))));
        }
        arriving(&ready.plugin);
        self.place(&ready, &incoming, upload)?;
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
            let mut room = Room::new(&incoming.path(), self.bounds)?;
            room.copy(path)?;
            room.sync()?;
            return krate(&incoming.path());
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
        let (file, metadata) = incoming::open(path)
            .map_err(|error| NotInstalled::Unfit(format!("the archive cannot be read: {}", in_words(&error))))?;
        check_length(metadata.len(), self.bounds.bytes)?;
        let mut room = Room::new(&incoming.path(), self.bounds)?;
        unpack(file, &mut room)?;
        room.sync()?;
        krate(&incoming.path())
    }

    fn library(&self, path: &Path, incoming: &Incoming) -> Result<Ready, NotInstalled> {
        self.copied(path, incoming, self.bounds.bytes)?;
        let identified = (self.identify)(&incoming.path())
            .map_err(|failure| NotInstalled::Unfit(format!("it is no plugin's library: {}", failure.reason)))?;
        named(&identified.name)?;
        let entry = format!("{}.so", identified.name);
        Ok(Ready { plugin: identified.name, entry, at: incoming.path() })
    }

    fn single(&self, path: &Path, incoming: &Incoming) -> Result<Ready, NotInstalled> {
        self.copied(path, incoming, LARGEST_SOURCE)?;
        let plugin = stem(path.file_name().unwrap_or_default(), Kind::SingleFile);
        named(&plugin)?;
        let text = fs::read(incoming.path()).map_err(|error| unwritten(&incoming.path(), &error))?;
        let entry = format!("{plugin}.rs");
        single::read(&plugin, &text, path.parent().unwrap_or(Path::new("/")))
            .map_err(|wrong| NotInstalled::Unfit(wrong.in_file(&entry).reason))?;
        Ok(Ready { plugin, entry, at: incoming.path() })
    }

    /// Copies one file of so many bytes at most to where it is made ready.
    fn copied(&self, path: &Path, incoming: &Incoming, most: u64) -> Result<(), NotInstalled> {
        let unread = |error| NotInstalled::Unfit(format!("{} cannot be read: {}", path.display(), in_words(&error)));
        let (from, metadata) = incoming::open(path).map_err(unread)?;
        check_length(metadata.len(), most)?;
        let copy = || {
            let mut to = fs::File::create_new(incoming.path())?;
            // It may grow while it is read, and some files tell no length at all.
            let copied = io::copy(&mut from.take(most.saturating_add(1)), &mut to)?;
            to.set_permissions(fs::Permissions::from_mode(0o644))?;
            // What is in place must not turn out empty after a power cut.
            to.sync_all().map(|()| copied)
        };
        let copied = copy().map_err(|error| unwritten(&incoming.path(), &error))?;
        check_length(copied, most)
    }

    /// Puts it where it belongs, unless that is somebody else's place. What was there is moved to where removed entries are.
    fn place(&self, ready: &Ready, incoming: &Incoming, upload: &Upload) -> Result<(), NotInstalled> {
        let Ready { entry, at, .. } = ready;
        let target = self.plugins.join(entry);
        let other_sort = self.other_entry(ready, upload)?;
        if fs::symlink_metadata(&target).is_err() {
            rename_to_free(at, &target).map_err(|error| unwritten(&target, &error))?;
        } else if upload.replace {
            let replaced = incoming.replaced();
            exchange(at, &target, &replaced).map_err(|error| unwritten(&target, &error))?;
            if let Err(error) = removed::move_as(&replaced, OsStr::new(entry), &self.removed) {
                // Nothing of the operator's is lost for want of a place to keep it.
                let back = exchange(&replaced, &target, at);
                return Err(self.not_moved(&target, &back.err().unwrap_or(error)));
            }
        } else {
            let told =
                format!("{entry} lies in the plugins directory already: ask for `replace=true`, or move it away");
            return Err(NotInstalled::Taken(told));
        }
        // One that was an entry of another sort goes, now that there is the new one.
        if let Some(before) = other_sort {
            match removed::move_as(&self.plugins.join(&before), &before, &self.removed) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let back = fs::rename(&target, at);
                    return Err(self.not_moved(&self.plugins.join(before), &back.err().unwrap_or(error)));
                }
                _ => {}
            }
        }
        sync_directory(&self.plugins).map_err(|error| unwritten(&self.plugins, &error))
    }

    /// The entry of another name that is the plugin's until now. Refused is what may not be replaced, or is another plugin's.
    fn other_entry(&self, ready: &Ready, upload: &Upload) -> Result<Option<std::ffi::OsString>, NotInstalled> {
        let Ready { plugin, entry, .. } = ready;
        let first = |path: &Path| {
            let below = path.strip_prefix(&self.plugins).unwrap_or(path);
            // What lies elsewhere is nobody's to move.
            match below.components().next() {
                Some(Component::Normal(first)) => Some(first.to_owned()),
                _ => None,
            }
        };
        if let Some(catalog) = upload.by_name.get(plugin) {
            return Err(NotInstalled::Taken(format!(
                "`{plugin}` was installed by name, from the catalog `{catalog}`: remove it before, or give this another name"
            )));
        }
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
        match upload.there.keys().find(whose) {
            Some(other) => {
                Err(NotInstalled::Taken(format!("{entry} in the plugins directory is the plugin `{other}`")))
            }
            None => Ok(before),
        }
    }

    fn not_moved(&self, entry: &Path, error: &io::Error) -> NotInstalled {
        let (entry, removed, why) = (entry.display(), self.removed.display(), in_words(error));
        NotInstalled::Failed(format!("{entry}, which it replaces, cannot be moved to {removed}: {why}"))
    }
}

/// Renames it to where nothing lies.
fn rename_to_free(at: &Path, target: &Path) -> io::Result<()> {
    match renameat_with(CWD, at, CWD, target, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => fs::rename(at, target),
        other => other.map_err(io::Error::from),
    }
}

/// Puts what lies at `new` in the place of `target`, and that at `replaced`. Nobody sees the place empty, where the file system
/// can do that.
fn exchange(new: &Path, target: &Path, replaced: &Path) -> io::Result<()> {
    match renameat_with(CWD, new, CWD, target, RenameFlags::EXCHANGE) {
        Ok(()) => fs::rename(new, replaced),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            fs::rename(target, replaced)?;
            fs::rename(new, target).inspect_err(|_| drop(fs::rename(replaced, target)))
        }
        Err(error) => Err(error.into()),
    }
}

fn check_length(length: u64, most: u64) -> Result<(), NotInstalled> {
    if length <= most {
        return Ok(());
    }
    Err(NotInstalled::TooLarge(format!("it has {length} bytes or more, and {most} are taken at most")))
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
