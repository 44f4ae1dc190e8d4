//! Why events cannot be relied on, and what to do about it. What must not live here: what is done meanwhile.

use notify::{Error, ErrorKind};
use rustix::io::Errno;
use std::{io, path::Path};

/// Why events cannot be relied on, worst last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WatchTrouble {
    /// Other machines' changes raise no events on this kind of file system.
    Network(&'static str),
    /// Some directory could not be watched.
    Refused(String),
    /// The system's limit of watched directories is reached.
    Watches,
    /// There is no watching at all.
    Blind(String),
}

impl WatchTrouble {
    /// What is wrong, and what to do, as one sentence.
    pub(crate) fn sentence(&self) -> String {
        match self {
            WatchTrouble::Network(kind) => format!(
                "the plugins directory lies on {kind}, where changes made elsewhere raise no events; for changes to be \
                 noticed at once, move it to a local disk"
            ),
            WatchTrouble::Refused(error) => format!("not everything can be watched: {error}"),
            WatchTrouble::Watches => "the system's limit of watched directories is reached; raise it with \
                                 `sysctl fs.inotify.max_user_watches=524288`"
                .to_owned(),
            WatchTrouble::Blind(error) => format!("file changes cannot be watched: {error}"),
        }
    }

    /// Whether it is of the same kind, and need not be told again.
    pub(crate) fn is_like(&self, other: &WatchTrouble) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// No watcher could be made.
    pub(crate) fn of_opening(error: &Error) -> WatchTrouble {
        let limit =
            matches!(&error.kind, ErrorKind::Io(error) if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()));
        WatchTrouble::Blind(if limit {
            "there are too many inotify instances or open files; raise the limits with \
             `sysctl fs.inotify.max_user_instances=1024` and `ulimit -n`"
                .to_owned()
        } else {
            format!("{error}; camlock needs inotify for that")
        })
    }

    /// A directory could not be watched. None if that is no trouble of ours: it has gone, or may not be read. It is
    /// seen when that changes, by the watch on the directory that it lies in.
    pub(crate) fn of_watching(path: &Path, error: &Error) -> Option<WatchTrouble> {
        match &error.kind {
            ErrorKind::MaxFilesWatch => Some(WatchTrouble::Watches),
            ErrorKind::PathNotFound => None,
            ErrorKind::Io(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied => None,
                _ => Some(WatchTrouble::Refused(format!("{}: {error}", path.display()))),
            },
            _ => Some(WatchTrouble::Refused(format!("{}: {error}", path.display()))),
        }
    }

    /// Whether this directory lies where changes may come from elsewhere.
    #[cfg(target_os = "linux")]
    pub(crate) fn of_file_system(directory: &Path) -> Option<WatchTrouble> {
        let found = rustix::fs::statfs(directory).ok()?;
        // The numbers are 32 bits wide; the type of the field is not the same everywhere, and may have a sign.
        network(found.f_type as u32).map(WatchTrouble::Network)
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn of_file_system(_: &Path) -> Option<WatchTrouble> {
        None
    }
}

/// File systems whose files change without this kernel's doing, by the numbers of `man 2 statfs`.
fn network(kind: u32) -> Option<&'static str> {
    Some(match kind {
        0x0000_6969 => "NFS",
        0x0000_517b | 0xff53_4d42 | 0xfe53_4d42 => "SMB",
        0x0102_1997 => "9P",
        0x00c3_6400 => "Ceph",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x786f_4256 => "a VirtualBox shared folder",
        0x6573_5546 => "FUSE",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences() {
        let io = |errno: Errno| Error::io(io::Error::from_raw_os_error(errno.raw_os_error()));
        let opening = WatchTrouble::of_opening(&io(Errno::MFILE)).sentence();
        assert!(opening.contains("fs.inotify.max_user_instances"), "{opening}");
        let opening = WatchTrouble::of_opening(&io(Errno::NOSYS)).sentence();
        assert!(opening.contains("not implemented") && opening.contains("inotify"), "{opening}");

        let watching = |error| WatchTrouble::of_watching(Path::new("/p/x"), &error);
        let limit = watching(Error::new(ErrorKind::MaxFilesWatch)).unwrap().sentence();
        assert!(limit.contains("fs.inotify.max_user_watches"), "{limit}");
        let refused = watching(io(Errno::NOMEM)).unwrap().sentence();
        assert!(refused.contains("/p/x") && refused.contains("memory"), "{refused}");
        assert_eq!(watching(io(Errno::ACCESS)), None);
        assert_eq!(watching(io(Errno::NOENT)), None);
        assert_eq!(watching(Error::path_not_found()), None);
    }

    #[test]
    fn file_systems() {
        assert_eq!(network(0x6969), Some("NFS"));
        assert_eq!(network(0xff53_4d42), Some("SMB"));
        assert_eq!(network(0xef53), None, "ext4");
        assert_eq!(network(0x0102_1994), None, "tmpfs");
    }
}
