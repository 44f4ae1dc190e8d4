//! Connecting a plugin's socket in its place: as its own call would, and without that anything it does meanwhile holds up a worker.
//!
//! What must not live here: whether it may connect there (`rules`).

use super::{BrokerAnswer, REFUSED};
use crate::sys;
use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
    net::{Shutdown, connect, shutdown, sockopt},
};
use std::{
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Semaphore;

/// What connects without a wait takes so long at most, however busy the machine is.
const AT_ONCE: Duration = Duration::from_secs(5);
/// So many are at that at once, for one plugin: each has a thread.
const PLACES: usize = 8;
/// Longer than the kernel tries to connect, unless it was told otherwise.
const CONNECTING: Duration = Duration::from_secs(130);

/// Connects the sockets of one plugin.
pub(super) struct SocketConnector {
    places: Arc<Semaphore>,
}

impl Default for SocketConnector {
    fn default() -> Self {
        SocketConnector { places: Arc::new(Semaphore::new(PLACES)) }
    }
}

impl SocketConnector {
    /// Connects as the plugin's own call would: at once, or after a wait that holds up nobody else.
    pub(super) async fn connect(&self, socket: HeldSocket, address: SocketAddr) -> Result<(), BrokerAnswer> {
        let socket = Arc::new(socket);
        let outcome = self.connect_held(&socket, address).await;
        // Before the plugin goes on: its own close is the last one then, and the other side hears of it at once.
        if let Some(socket) = Arc::into_inner(socket) {
            socket.close().await;
        }
        outcome
    }

    async fn connect_held(&self, socket: &Arc<HeldSocket>, address: SocketAddr) -> Result<(), BrokerAnswer> {
        if fcntl_getfl(socket)?.contains(OFlags::NONBLOCK) {
            return self.begin(socket.clone(), address, AT_ONCE).await;
        }
        fcntl_setfl(socket, fcntl_getfl(socket)? | OFlags::NONBLOCK)?;
        let outcome = match self.begin(socket.clone(), address, AT_ONCE).await {
            Err(BrokerAnswer::Error(libc::EINPROGRESS)) => connected(socket).await,
            begun => begun,
        };
        // Nothing else of what was set meanwhile is set back.
        fcntl_setfl(socket, fcntl_getfl(socket)? - OFlags::NONBLOCK)?;
        outcome
    }

    /// Connects without a wait: on another thread, for the plugin may have it wait after all, by what it sets meanwhile. Then it is
    /// refused.
    async fn begin(&self, socket: Arc<HeldSocket>, address: SocketAddr, within: Duration) -> Result<(), BrokerAnswer> {
        let Ok(place) = self.places.clone().acquire_owned().await else { return Err(REFUSED) };
        let connecting = tokio::task::spawn_blocking({
            let socket = socket.clone();
            move || {
                let _place = place;
                connect(&socket, &address)
            }
        });
        match tokio::time::timeout(within, connecting).await {
            Ok(Ok(outcome)) => Ok(outcome?),
            Ok(Err(_)) => Err(REFUSED),
            Err(_) => {
                // Wakes the one that waits.
                let _ = shutdown(&socket, Shutdown::Both);
                Err(REFUSED)
            }
        }
    }
}

/// Waits until it is, or cannot be.
async fn connected(socket: &HeldSocket) -> Result<(), BrokerAnswer> {
    let watched = socket.as_fd().try_clone_to_owned().and_then(sys::watched);
    let watched = watched.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::NOBUFS))?;
    if tokio::time::timeout(CONNECTING, watched.writable()).await.is_err() {
        let _ = shutdown(socket, Shutdown::Both);
        return Err(Errno::TIMEDOUT.into());
    }
    Ok(sockopt::socket_error(socket)??)
}

/// A duplicate of a plugin's socket, or of whatever it is. Where it is the last one, its close can wait for as long as the plugin
/// likes: so that is done on a thread that may wait.
pub(super) struct HeldSocket(Option<OwnedFd>);

impl HeldSocket {
    pub(super) fn new(socket: OwnedFd) -> Self {
        HeldSocket(Some(socket))
    }

    async fn close(mut self) {
        let socket = self.0.take();
        let _ = tokio::task::spawn_blocking(move || drop(socket)).await;
    }
}

impl AsFd for HeldSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Some(socket) => socket.as_fd(),
            None => unreachable!("it is taken when this is dropped"),
        }
    }
}

impl Drop for HeldSocket {
    fn drop(&mut self) {
        if let (Some(socket), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn_blocking(move || drop(socket));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

    fn socket(flags: SocketFlags) -> HeldSocket {
        HeldSocket::new(
            socket_with(AddressFamily::INET, SocketType::STREAM, flags | SocketFlags::CLOEXEC, None).unwrap(),
        )
    }

    #[tokio::test]
    async fn it_is_connected_as_the_plugin_would_and_waits_for_no_longer_than_it_may() {
        let connector = SocketConnector::default();
        let listener = socket(SocketFlags::empty());
        rustix::net::bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let address: SocketAddr = rustix::net::getsockname(&listener).unwrap().try_into().unwrap();

        let first = socket(SocketFlags::empty());
        let plugins = first.as_fd().try_clone_to_owned().unwrap();
        assert!(connector.connect(first, address).await.is_ok());
        assert!(
            rustix::net::getpeername(&plugins).is_ok() && !fcntl_getfl(&plugins).unwrap().contains(OFlags::NONBLOCK)
        );

        // Whoever comes now is not answered: nobody accepts, and one is waiting already.
        let mut others = Vec::new();
        for _ in 0..3 {
            let other = socket(SocketFlags::NONBLOCK);
            others.push(other.as_fd().try_clone_to_owned().unwrap());
            let _ = connector.connect(other, address).await;
        }
        let begun = connector.connect(socket(SocketFlags::NONBLOCK), address).await;
        assert!(matches!(begun, Err(BrokerAnswer::Error(libc::EINPROGRESS))));

        // One that was made to wait after all.
        let waits = Arc::new(socket(SocketFlags::empty()));
        let begun = connector.begin(waits, address, Duration::from_millis(100)).await;
        assert!(matches!(begun, Err(BrokerAnswer::Error(libc::EPERM))));
    }
}
