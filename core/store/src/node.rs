//! Who this server is: an id that stays, in its data directory.

use crate::{Trouble, TroubleKind};
use camlock_policy::registry::NodeId;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// As many servers may share a data directory.
const MOST: u32 = 64;

/// An id, which nobody else has as long as this is held.
#[derive(Debug)]
pub(crate) struct NodeIdentity {
    pub(crate) id: NodeId,
    held: File,
}

impl NodeIdentity {
    /// The id that this directory was given when a server first ran there. A second server in it at the same time has one of its
    /// own, in a second file.
    pub(crate) fn of(data: &Path, host: &str) -> Result<Self, Trouble> {
        let told = |error: io::Error| {
            let sentence = format!(
                "this server's id cannot be kept in {} ({error}); see who owns that directory, and whether its disk is full",
                data.display()
            );
            Trouble::new(TroubleKind::Settings, sentence)
        };
        fs::create_dir_all(data).map_err(told)?;
        for number in 1..=MOST {
            let name = if number == 1 { "node-id".to_owned() } else { format!("node-id-{number}") };
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let mut file = options.open(data.join(name)).map_err(told)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(told(error)),
            }
            let mut id = String::new();
            file.read_to_string(&mut id).map_err(told)?;
            let mut id = id.trim().to_owned();
            if id.is_empty() {
                id = fresh(host).map_err(told)?;
                file.rewind().map_err(told)?;
                writeln!(file, "{id}").and_then(|()| file.sync_all()).map_err(told)?;
            }
            return Ok(NodeIdentity { id, held: file });
        }
        Err(told(io::Error::other(format!("{MOST} servers run there already"))))
    }
}

impl NodeIdentity {
    /// Who starts in this directory from now on may have it.
    pub(crate) fn release(&self) {
        // It ends with the process in any case.
        let _ = self.held.unlock();
    }
}

/// An id that nobody has: the host's name, for people, and something at random.
fn fresh(host: &str) -> io::Result<NodeId> {
    let host: String = host.chars().filter(|sign| sign.is_ascii_alphanumeric() || *sign == '-').take(30).collect();
    let host = if host.is_empty() { "node".to_owned() } else { host };
    Ok(format!("{host}-{}", &random()?[..8]))
}

/// 32 hexadecimal digits that nobody else has.
pub(crate) fn random() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What this machine is called.
pub(crate) fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stays_and_is_nobody_elses() {
        let data = tempfile::tempdir().unwrap();
        let first = NodeIdentity::of(data.path(), "web.1").unwrap();
        let second = NodeIdentity::of(data.path(), "web.1").unwrap();
        assert!(first.id.starts_with("web1-"), "{}", first.id);
        assert_ne!(first.id, second.id);
        let (one, two) = (first.id.clone(), second.id.clone());
        drop((first, second));
        assert_eq!(NodeIdentity::of(data.path(), "renamed").unwrap().id, one);
        let held = NodeIdentity::of(data.path(), "renamed").unwrap();
        assert_eq!(held.id, one);
        assert_eq!(NodeIdentity::of(data.path(), "renamed").unwrap().id, two);
        let file = data.path().join("file");
        fs::write(&file, "").unwrap();
        let trouble = NodeIdentity::of(&file, "x").unwrap_err();
        assert!(trouble.sentence.starts_with("this server's id cannot be kept in "), "{trouble}");
    }
}
