//! The server's side: what its parent kept for it, and what the two tell each other. Without a parent the same calls do what is left
//! to do.

use super::{
    systemd, wire,
    words::{Begin, ParentWord, ServerWord, encode},
};
use crate::sys;
use rustix::net::RecvFlags;
use std::{
    fmt,
    io::{self, Write},
    net::TcpListener,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Leads to the parent of this process, if it has one. Cheap to clone. The default leads nowhere.
#[derive(Clone, Default)]
pub struct ParentLink(Arc<LinkCore>);

#[derive(Default)]
struct LinkCore {
    socket: Option<OwnedFd>,
    kept: Mutex<Vec<(String, OwnedFd)>>,
    begin: Begin,
    again: bool,
    /// Another one answers in this one's place.
    gives_way: AtomicBool,
    /// How often another one was to, and could not, and why the last time.
    not_replaced: Mutex<Option<(u64, String)>>,
}

/// What a parent asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParentOrder {
    /// Another process answers in the place of this one: it ends what it began, and leaves files of sockets where they are.
    GiveWay,
    /// Another process was to take this one's place, and could not; why, in a sentence.
    NotReplaced(String),
    /// There is no parent any more: nobody will start another one, so this one ends what it began, with status 1.
    Gone,
}

impl ParentLink {
    /// Of a process without a parent: a service manager may have given it sockets, and may want to hear of it.
    pub fn alone() -> io::Result<Self> {
        let kept = Mutex::new(systemd::sockets()?);
        Ok(ParentLink(Arc::new(LinkCore { kept, ..LinkCore::default() })))
    }

    /// The parent is at the other end of what would be the standard input.
    pub(super) fn of_child() -> io::Result<Self> {
        sys::let_signals_in();
        let socket = io::stdin().as_fd().try_clone_to_owned()?;
        // Nothing that is started from here may speak for this process.
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        let mut kept = Vec::new();
        let begin = loop {
            let heard = wire::take(&socket, RecvFlags::empty())?.ok_or(io::ErrorKind::UnexpectedEof)?;
            match (serde_json::from_slice(&heard.0)?, heard.1) {
                (ParentWord::Have { key }, Some(socket)) => kept.push((key, socket)),
                (ParentWord::Begin(begin), _) => break begin,
                (word, _) => return Err(io::Error::other(format!("{word:?} was not expected"))),
            }
        };
        let again = begin.again;
        let core = LinkCore { socket: Some(socket), kept: Mutex::new(kept), begin, again, ..LinkCore::default() };
        Ok(ParentLink(Arc::new(core)))
    }

    /// A listener for this purpose: one that was passed for it, the one that was kept for this address, or a new one.
    pub fn listener(
        &self,
        purpose: &str,
        address: &str,
        bind: impl FnOnce() -> io::Result<TcpListener>,
    ) -> io::Result<TcpListener> {
        let key = format!("{purpose} {address}");
        if let Some((key, socket)) = self.take(&[purpose, &key]) {
            self.tell(&ServerWord::Keep { key });
            return Ok(socket.into());
        }
        let listener = bind()?;
        self.keep(&key, &listener);
        Ok(listener)
    }

    /// The same for a socket with a file.
    pub fn unix_listener(
        &self,
        path: &Path,
        bind: impl FnOnce() -> io::Result<UnixListener>,
    ) -> io::Result<UnixListener> {
        let key = format!("unix {}", path.display());
        if let Some((key, socket)) = self.take(&[&key]).filter(|_| path.exists()) {
            self.tell(&ServerWord::Keep { key });
            return Ok(socket.into());
        }
        let listener = bind()?;
        self.keep(&key, &listener);
        Ok(listener)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<(String, OwnedFd)>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, keys: &[&str]) -> Option<(String, OwnedFd)> {
        let mut kept = self.kept();
        let at = keys.iter().find_map(|wanted| kept.iter().position(|(key, _)| key == wanted))?;
        Some(kept.swap_remove(at))
    }

    fn keep(&self, key: &str, socket: impl AsFd) {
        let Some(parent) = &self.0.socket else { return };
        let word = encode(&ServerWord::Keep { key: key.to_owned() });
        if let Err(error) = wire::send(parent, &word, Some(socket.as_fd())) {
            tracing::warn!(%error, "{key} is not kept: should this server die, its connections are refused");
        }
    }

    fn tell(&self, word: &ServerWord) {
        if let Some(parent) = &self.0.socket
            && let Err(error) = wire::send(parent, &encode(word), None)
        {
            tracing::warn!(%error, "the parent of this process cannot be told anything");
        }
    }

    /// Requests are answered from now on.
    pub fn serving(&self) {
        match self.0.socket {
            Some(_) => self.tell(&ServerWord::Serving),
            None => systemd::notify("READY=1"),
        }
    }

    /// These plugins serve: whoever comes after this process waits for them.
    pub fn remember(&self, plugins: Vec<String>) {
        self.tell(&ServerWord::Remember { plugins });
    }

    /// It ends in order: nothing is told after this.
    pub(super) fn bye(&self) {
        let _ = io::stdout().flush();
        self.tell(&ServerWord::Bye);
    }

    /// The plugins that served before this process began: none for the first of all.
    pub fn served_before(&self) -> &[String] {
        &self.0.begin.served
    }

    /// Whether this process takes the place of another one.
    pub fn is_successor(&self) -> bool {
        self.0.again
    }

    /// How the process before this one died, if it did.
    pub fn died(&self) -> Option<&str> {
        self.0.begin.died.as_deref()
    }

    /// The same, if nobody ended it from outside.
    pub fn died_by_itself(&self) -> Option<&str> {
        self.died().filter(|_| self.0.begin.by_itself)
    }

    /// The parent's number.
    pub fn parent(&self) -> Option<u32> {
        self.0.socket.as_ref()?;
        rustix::process::getppid().map(|parent| parent.as_raw_nonzero().get().cast_unsigned())
    }

    /// Whether another process answers in the place of this one.
    pub fn gives_way(&self) -> bool {
        self.0.gives_way.load(Ordering::Relaxed)
    }

    /// How many upgrades came to nothing, and why the last one did.
    pub fn not_replaced(&self) -> Option<(u64, String)> {
        self.0.not_replaced.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for what the parent asks for; for ever, without one. Within a runtime.
    pub async fn order(&self) -> ParentOrder {
        let Some(socket) = &self.0.socket else { return std::future::pending().await };
        let Ok(watched) = socket.try_clone().and_then(sys::watched) else { return std::future::pending().await };
        loop {
            let Ok(mut ready) = watched.readable().await else { return ParentOrder::Gone };
            let heard = match wire::take(socket, RecvFlags::DONTWAIT) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    continue;
                }
                Err(_) | Ok(None) => return ParentOrder::Gone,
                Ok(Some((heard, _))) => heard,
            };
            match serde_json::from_slice(&heard) {
                Ok(ParentWord::GiveWay) => {
                    self.0.gives_way.store(true, Ordering::Relaxed);
                    return ParentOrder::GiveWay;
                }
                Ok(ParentWord::NotReplaced { why }) => {
                    let mut known = self.0.not_replaced.lock().unwrap_or_else(PoisonError::into_inner);
                    *known = Some((known.as_ref().map_or(1, |(times, _)| times + 1), why.clone()));
                    return ParentOrder::NotReplaced(why);
                }
                // A parent of another version may know more.
                Ok(_) | Err(_) => {}
            }
        }
    }
}

impl fmt::Debug for ParentLink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ParentLink").field("parent", &self.parent()).finish_non_exhaustive()
    }
}
