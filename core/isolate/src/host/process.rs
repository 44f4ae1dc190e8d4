//! A plugin's process: started, watched, and ended.
//!
//! What must not live here: what it is told, and what follows from its end.

use crate::{bounds::HeldProcess, control, runner::RUNNER_NAME};
use std::{
    io,
    os::{
        fd::OwnedFd,
        unix::{
            net::UnixStream,
            process::{CommandExt, ExitStatusExt},
        },
    },
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{OnceLock, mpsc},
    thread,
};
use tokio::{io::unix::AsyncFd, sync::oneshot};

/// A process that was started, with this side's ends of its sockets.
pub(super) struct Process {
    child: Child,
    ended: AsyncFd<OwnedFd>,
}

/// What leads to it.
pub(super) struct Ways {
    pub(super) requests: UnixStream,
    pub(super) control: OwnedFd,
    /// What it prints.
    pub(super) printed: ChildStderr,
}

impl Process {
    /// Starts one. Within a runtime.
    pub(super) async fn start() -> io::Result<(Self, Ways)> {
        let (requests, theirs) = UnixStream::pair()?;
        let (control, their_control) = control::pair()?;
        let mut child = spawn(theirs.into(), their_control).await?;
        let printed = child.stderr.take().ok_or_else(|| io::Error::other("it has no standard error"))?;
        let pid = rustix::process::Pid::from_child(&child);
        let watched = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty());
        let ended = match watched.map_err(io::Error::from).and_then(crate::sys::watched) {
            Ok(ended) => ended,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        Ok((Process { child, ended }, Ways { requests, control, printed }))
    }

    /// Its number, for people.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> ExitStatus {
        loop {
            let _ = self.ended.readable().await.map(|mut ready| ready.clear_ready());
            match self.child.try_wait() {
                Ok(Some(status)) => return status,
                Ok(None) => {}
                // Somebody else waited for it: it is gone all the same.
                Err(_) => return ExitStatus::from_raw(0),
            }
        }
    }

    /// Ends it, whatever it does.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It was waited for, or this side is ending in the middle of something: then nobody else will do it.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A process that says that this is its number.
pub(super) fn hold(id: u32) -> Option<HeldProcess> {
    let pid = rustix::process::Pid::from_raw(i32::try_from(id).ok()?)?;
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()?;
    Some(HeldProcess { id, pidfd })
}

/// How a process ended, in words.
pub(crate) fn in_words(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(libc::SIGSEGV), _) => "it was ended by SIGSEGV: it used memory that it does not have".to_owned(),
        (Some(libc::SIGBUS), _) => "it was ended by SIGBUS: it used memory that is not there".to_owned(),
        (Some(libc::SIGABRT), _) => "it was ended by SIGABRT: it aborted".to_owned(),
        (Some(libc::SIGILL), _) => "it was ended by SIGILL: it ran what is no instruction".to_owned(),
        (Some(libc::SIGFPE), _) => "it was ended by SIGFPE: it divided by zero, or the like".to_owned(),
        (Some(libc::SIGSYS), _) => "it was ended by SIGSYS: it made a system call that it may not".to_owned(),
        (Some(libc::SIGKILL), _) => "it was ended by SIGKILL".to_owned(),
        (Some(signal), _) => format!("it was ended by signal {signal}"),
        (None, Some(code)) => format!("it exited with status {code}"),
        (None, None) => "it ended".to_owned(),
    }
}

type Spawning = (OwnedFd, OwnedFd, oneshot::Sender<io::Result<Child>>);

/// Starts the process on a thread that never ends: a runner ends with the thread that started it.
async fn spawn(requests: OwnedFd, control: OwnedFd) -> io::Result<Child> {
    static SPAWNER: OnceLock<Option<mpsc::Sender<Spawning>>> = OnceLock::new();
    let gone = || io::Error::other("no thread could be started that starts processes");
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, asked) = mpsc::channel::<Spawning>();
        let serve = move || {
            for (requests, control, reply) in asked {
                let _ = reply.send(spawn_now(requests, control));
            }
        };
        thread::Builder::new().name("camlock-runners".to_owned()).spawn(serve).ok().map(|_| sender)
    });
    let (reply, spawned) = oneshot::channel();
    spawner.as_ref().ok_or_else(gone)?.send((requests, control, reply)).map_err(|_| gone())?;
    spawned.await.map_err(|_| gone())?
}

fn spawn_now(requests: OwnedFd, control: OwnedFd) -> io::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(RUNNER_NAME)
        .arg(std::process::id().to_string())
        .env_clear()
        // Names are looked up over connections: those the server sees, and answers.
        .env("RES_OPTIONS", "use-vc")
        .stdin(Stdio::from(requests))
        .stdout(Stdio::from(control))
        .stderr(Stdio::piped())
        // The terminal's signals are the server's: it ends its plugins in order.
        .process_group(0)
        .current_dir("/");
    command.spawn()
}
