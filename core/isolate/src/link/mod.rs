//! One socket, many requests: both ways at once, each with a body that streams and is held up by its reader alone.
//!
//! The two ends are alike. Whoever asks opens a stream (`asking`); the other end's [`Serve`] answers it (`serving`). `state` keeps
//! what is known of all streams behind one lock, `driver` moves bytes between the socket and that, `body`, `pump` and `connection`
//! are the ends of a stream as bodies and connections. What must not live here: what is asked, and by whom.

mod asking;
mod body;
mod connection;
mod driver;
mod outgoing;
mod pump;
mod serving;
mod state;
mod stream;
mod user;
mod window;
mod writing;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use self::{asking::Asking, state::LinkState};
use crate::frames::RequestKind;
use camlock_policy::{Answer, BoxFuture, Call, Fault, FaultKind};
use parking_lot::Mutex;
use std::{io, os::unix::net::UnixStream, sync::Arc};
use tokio::{runtime::Handle, sync::watch};

/// Answers what the other end asks.
pub(crate) trait Serve: Send + Sync + 'static {
    /// Whether this end takes requests of this kind.
    fn takes(&self, kind: RequestKind) -> bool;
    /// Answers one. Dropping the future cancels it.
    fn serve(&self, kind: RequestKind, call: Call) -> BoxFuture<Result<Answer, Fault>>;
    /// Where that runs, if not where the connection does.
    fn elsewhere(&self, _: RequestKind) -> Option<Handle> {
        None
    }
}

/// Which end this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its streams are odd.
    Host,
    /// Its streams are even.
    Runner,
}

/// One end of a link. All clones are one.
#[derive(Clone)]
pub(crate) struct Link(Arc<LinkShared>);

struct LinkShared {
    state: Mutex<LinkState>,
    socket: tokio::net::UnixStream,
    serve: Arc<dyn Serve>,
    runtime: Handle,
    /// Why it was closed, once it is.
    closed: watch::Sender<Option<String>>,
}

impl Link {
    /// Begins to speak over a socket. It goes on until the other end is gone, speaks nonsense, or this one closes it.
    pub(crate) fn begin(socket: UnixStream, end: End, serve: Arc<dyn Serve>, runtime: &Handle) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = {
            let _entered = runtime.enter();
            tokio::net::UnixStream::from_std(socket)?
        };
        let (closed, _) = watch::channel(None);
        let state = Mutex::new(LinkState::new(end));
        let link = Link(Arc::new(LinkShared { state, socket, serve, runtime: runtime.clone(), closed }));
        runtime.spawn(driver::drive(link.clone()));
        Ok(link)
    }

    /// Asks the other end. Dropping the future takes it back.
    pub(crate) fn ask(&self, kind: RequestKind, call: Call) -> Asking {
        Asking::new(self.clone(), kind, call)
    }

    /// Why it was closed, once it is.
    pub(crate) fn closed(&self) -> watch::Receiver<Option<String>> {
        self.0.closed.subscribe()
    }

    /// Whether it was closed: nothing is sent any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.borrow().is_some()
    }

    /// Ends it, with all that is under way.
    pub(crate) fn close(&self, why: &str) {
        let woken = self.0.state.lock().close();
        self.0.closed.send_if_modified(|closed| {
            let news = closed.is_none();
            if news {
                *closed = Some(why.to_owned());
            }
            news
        });
        woken.into_iter().for_each(|waker| waker.wake());
    }
}

/// What whoever waited hears when the other end is gone.
fn ended() -> Fault {
    Fault::new(FaultKind::Ended, "the plugin's process ended while it was at work")
}
