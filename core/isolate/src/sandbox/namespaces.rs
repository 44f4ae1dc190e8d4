//! Namespaces: what a plugin's process is not to reach is not there. Other processes, the network, shared memory of others; `/tmp`, and
//! the server's directories but for what is the plugin's; and all that it may not change is mounted so.
//!
//! A namespace of processes holds those that are started after it was made, and its first one gets no signals by default. So there are
//! three: the one that the server started, which waits and ends as the last one did; the first one inside, which waits for whatever
//! is left without a parent; and the one that goes on. What must not live here: what is allowed of what is left.

use super::{FencePart, Openings};
use crate::sys;
use rustix::{
    fs::{CWD, Mode, OFlags, open, readlinkat},
    mount::{
        MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_change, mount_remount,
        move_mount, open_tree,
    },
    process::{Gid, Signal, Uid, getegid, geteuid, set_parent_process_death_signal},
    thread::UnshareFlags,
};
use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

/// What others keep there for a while is theirs, and sockets lie there.
const COVERED: [&str; 4] = ["/tmp", "/var/tmp", "/run", "/dev/shm"];
/// What a plugin may put into its own `/tmp`, which is memory.
const TEMPORARY: &str = "size=64m,mode=1777";

/// What there is of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Namespaces {
    /// What is lacking, in words.
    pub(crate) lacking: Vec<String>,
    /// Whether the users of it are its own, so that what a user may have is counted for it alone.
    pub(crate) own_users: bool,
    /// Whether only its own processes are there.
    pub(crate) own_processes: bool,
    /// Directories that are its own, where others have the same.
    pub(crate) own_dirs: Vec<PathBuf>,
    /// This process's number outside.
    pub(crate) process: u32,
}

/// Goes on in namespaces of its own, as far as they are to be had, in another process. `hidden` is where the server keeps its files.
/// While this process has one thread. What is absent is as if this machine had none of it.
pub(crate) fn enter(openings: &Openings, hidden: &Path, absent: &[FencePart]) -> Namespaces {
    let mut spaces = Namespaces { process: std::process::id(), ..Namespaces::default() };
    if absent.contains(&FencePart::Namespaces) {
        spaces.lacking.push("no namespaces can be made: this machine has none".to_owned());
        return spaces;
    }
    // Whose numbers nobody knows inside any more.
    let who = (geteuid(), getegid());
    let own_users = match make(openings.network.is_none() || openings.brokered) {
        Ok(own_users) => own_users,
        Err(error) => {
            spaces.lacking.push(format!("no namespaces can be made: {error}"));
            return spaces;
        }
    };
    let named = if own_users { name_users(who) } else { Ok(()) };
    // It is forgotten by whoever gets other rights.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    spaces.own_users = own_users && named.is_ok();
    // What is mounted here is mounted nowhere else. Some machines let anybody make namespaces, and nobody do anything in them.
    let mounts = named.and_then(|()| match absent.contains(&FencePart::Mounts) {
        true => Err(io::ErrorKind::PermissionDenied.into()),
        false => Ok(mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?),
    });
    let processes = open("/proc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    // Whatever became of the rest: in a process that left its namespace of processes no thread could be started.
    if let Err(error) = go_on_inside() {
        spaces.lacking.push(format!("other processes are to be seen: {error}"));
        return spaces;
    }
    spaces.own_processes = true;
    if let Some(id) = processes.ok().and_then(|processes| own_number(&processes)) {
        spaces.process = id;
    }
    if let Err(error) = mounts {
        spaces.lacking.push(format!("mounts cannot be changed for it: {error}"));
        return spaces;
    }
    if let Err(error) =
        mount("proc", "/proc", "proc", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, None)
    {
        spaces.lacking.push(format!("it has no `/proc` of its own: {error}"));
    }
    match cover(openings, hidden) {
        Ok(own_dirs) => spaces.own_dirs = own_dirs,
        Err(error) => spaces.lacking.push(format!("mounts cannot be changed for it: {error}")),
    }
    spaces
}

/// Makes them: whether with a user namespace.
fn make(without_network: bool) -> io::Result<bool> {
    sys::alone()?;
    let mut spaces = UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWIPC;
    if without_network {
        spaces |= UnshareFlags::NEWNET;
    }
    let own_users = !geteuid().is_root() || sys::unshare(spaces).is_err();
    if own_users {
        sys::unshare(spaces | UnshareFlags::NEWUSER)?;
    }
    Ok(own_users)
}

/// Users and groups have the same numbers inside.
fn name_users((user, group): (Uid, Gid)) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1", user = user.as_raw()))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1", group = group.as_raw()))
}

/// Returns in the innermost process alone; in the others, if that cannot be started.
fn go_on_inside() -> io::Result<()> {
    let (told, tell) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    if let Some(first) = sys::fork()? {
        drop(tell);
        close_all_but(&[&told]);
        let of_first = sys::reap(first);
        // How the innermost ended, if the first one could still tell.
        let mut status = [0; 4];
        let count = rustix::io::read(&told, &mut status).unwrap_or(0);
        sys::end_like(if count == 4 { i32::from_le_bytes(status) } else { of_first });
    }
    drop(told);
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    match sys::fork() {
        Ok(Some(innermost)) => {
            close_all_but(&[&tell]);
            let status = sys::reap(innermost);
            let _ = rustix::io::write(&tell, &status.to_le_bytes());
            sys::exit_now(0);
        }
        Ok(None) => {
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
            Ok(())
        }
        // This one is the first: it is not told of by signals as others are, but it is held.
        Err(error) => Err(error),
    }
}

/// Sockets are told to have ended when nobody has them any more.
fn close_all_but(kept: &[&OwnedFd]) {
    use std::os::fd::AsRawFd;
    let kept: Vec<_> = kept.iter().map(|kept| kept.as_raw_fd()).collect();
    sys::close_all_but(&kept);
}

/// This process's number where those directories of processes are.
fn own_number(processes: &OwnedFd) -> Option<u32> {
    readlinkat(processes, "self", Vec::new()).ok()?.to_str().ok()?.parse().ok()
}

/// Nothing can be written but what is to be, and what others keep is covered: the directories that are its own.
fn cover(openings: &Openings, hidden: &Path) -> io::Result<Vec<PathBuf>> {
    // What is kept of what will be covered, or will be read-only.
    let cloning = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let mut kept: Vec<(PathBuf, bool, OwnedFd)> = Vec::new();
    let writes = openings.write.iter().map(|path| (path, true));
    let of_network = super::files::FOR_THE_NETWORK.map(PathBuf::from);
    let of_network = of_network.iter().filter(|path| openings.network.is_some() && path.exists());
    let reads = openings.read.iter().chain(&openings.map).chain(of_network).map(|path| (path, false));
    for (path, writable) in writes.chain(reads) {
        let Ok(path) = path.canonicalize() else { continue };
        // What is named twice is written to if either says so.
        if kept.iter().all(|(known, ..)| *known != path) {
            let clone = open_tree(CWD, &path, cloning)?;
            kept.push((path, writable, clone));
        }
    }
    // What contains others comes first.
    kept.sort_by_key(|(path, ..)| path.as_os_str().len());
    sys::make_read_only(CWD, c"/")?;
    let mut covered: Vec<PathBuf> = Vec::new();
    let hidden = hidden.canonicalize().ok();
    for place in COVERED.iter().map(PathBuf::from).chain(hidden) {
        let Ok(place) = place.canonicalize() else { continue };
        if covered.iter().any(|above| place.starts_with(above)) || !place.is_dir() || place == Path::new("/") {
            continue;
        }
        let options = std::ffi::CString::new(TEMPORARY).unwrap_or_default();
        mount(
            "tmpfs",
            &place,
            "tmpfs",
            MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
            options.as_c_str(),
        )?;
        covered.push(place);
    }
    for (path, writable, clone) in &kept {
        let is_covered = covered.iter().any(|above| path.starts_with(above));
        if is_covered && !path.exists() {
            if let Some(above) = path.parent() {
                fs::create_dir_all(above)?;
            }
            if rustix::fs::fstat(clone).is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir()) {
                fs::create_dir(path)?;
            } else {
                File::create(path)?;
            }
        }
        if !writable {
            sys::make_read_only(clone.as_fd(), c"")?;
        }
        move_mount(clone, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    }
    let temporary = |place: &PathBuf| place.ends_with("tmp");
    for place in covered.iter().filter(|place| !temporary(place)) {
        mount_remount(place, MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, c"")?;
    }
    // Where it is started is beneath what was covered.
    rustix::process::chdir("/")?;
    Ok(covered.into_iter().filter(temporary).collect())
}
