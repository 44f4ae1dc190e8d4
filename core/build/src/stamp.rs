//! When a file need not be read again: the stamp it had when it was read.

use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What changes whenever a file does, unless that happens within one tick of the file system's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    pub(crate) length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The clock that stamps files ticks every few milliseconds.
const ONE_TICK: Duration = Duration::from_millis(10);
/// On network file systems clocks differ a little, too.
const SETTLED: Duration = Duration::from_millis(50);

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Which file it is, whatever it holds.
    pub(crate) fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Whether another change would show in the stamp: a file that was written this very moment may be written again within
    /// the same tick, so what was read of it is not trusted the next time. Nobody can set `changed`, as they can `modified`.
    pub(crate) fn is_settled(&self, now: SystemTime) -> bool {
        self.changed_at().is_none_or(|changed| now.duration_since(changed).is_ok_and(|age| age > SETTLED))
    }

    /// Whether it changed at this time or later, or so shortly before that one cannot tell.
    pub(crate) fn is_since(&self, time: SystemTime) -> bool {
        self.changed_at().is_some_and(|changed| changed + ONE_TICK >= time)
    }

    fn changed_at(&self) -> Option<SystemTime> {
        let seconds = u64::try_from(self.changed.0).ok()?;
        let nanoseconds = u32::try_from(self.changed.1).ok()?;
        UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_settles() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "x").unwrap();
        let written = SystemTime::now();
        let stamp = Stamp::of(&fs::metadata(file.path()).unwrap());
        assert!(!stamp.is_settled(written));
        assert!(stamp.is_settled(written + Duration::from_secs(1)));
        assert!(!stamp.is_settled(written - Duration::from_secs(60)), "a clock that was set back settles nothing");
        assert!(stamp.is_since(written - Duration::from_secs(1)));
        assert!(!stamp.is_since(written + Duration::from_secs(1)));
    }
}
