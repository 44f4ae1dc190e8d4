//! A server on an address: the handle on the thread that accepts connections. What must not live here: what that
//! thread does.

use crate::{
    Dispatch, FrontOptions,
    acceptor::{Acceptor, FrontCommand},
    serving_runtime::ServingRuntime,
    tls::TlsFiles,
};
use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    thread,
    time::Instant,
};
use tokio::{
    net::TcpListener as Listener,
    runtime::Builder,
    sync::{mpsc, oneshot},
};

/// A server on an address. Dropping it cuts all connections; `end` lets them finish.
pub struct Front {
    address: SocketAddr,
    commands: mpsc::UnboundedSender<FrontCommand>,
}

impl Front {
    /// Accepts connections from now on. The listener is given up by `stop_accepting`, `end`, or dropping this.
    pub fn start(listener: TcpListener, dispatch: Dispatch, options: FrontOptions) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let first = ServingRuntime::start(&options)?;
        let tls = options.tls.clone().map(TlsFiles::load).transpose().map_err(io::Error::other)?;
        let control = Builder::new_current_thread().enable_all().build()?;
        let (commands, received) = mpsc::unbounded_channel();
        thread::Builder::new().name("camlock-front".to_owned()).spawn(move || {
            control.block_on(async move {
                match Listener::from_std(listener) {
                    Ok(listener) => Acceptor::new(listener, dispatch, options, tls, first).run(received).await,
                    Err(error) => tracing::error!(%error, "nothing can be accepted"),
                }
            });
        })?;
        Ok(Front { address, commands })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listening socket: new connections are refused by the system once this returns. Others go on.
    pub async fn stop_accepting(&self) {
        let (reply, done) = oneshot::channel();
        let _ = self.commands.send(FrontCommand::StopAccepting(reply));
        let _ = done.await;
    }

    /// Closes the listening socket and lets connections finish: HTTP/1 after the answer that is under way, HTTP/2 after those
    /// that are. At the deadline the rest is cut; how many connections that were. Upgraded ones are not waited for: they end
    /// with their plugin.
    pub async fn end(&self, deadline: Instant) -> usize {
        let (reply, cut) = oneshot::channel();
        let _ = self.commands.send(FrontCommand::End(deadline, reply));
        cut.await.unwrap_or(0)
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Front").field("address", &self.address).finish_non_exhaustive()
    }
}
