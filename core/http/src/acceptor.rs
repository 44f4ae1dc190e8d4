//! Connections: accepted on a thread that never runs plugin code, served on threads that do.
//!
//! That first thread also looks after the others. When all threads of a serving runtime are stuck in plugins' code, who blocks
//! them loses the right to, and there is another runtime for new connections; those that wait on the stuck one are closed. What
//! must not live here: what is answered.

use crate::{
    Dispatch, FrontOptions,
    coarse_clock::CoarseClock,
    connection::{Accepted, ConnectionRules, ConnectionTracker, serve_connection},
    connection_limits::ConnectionLimits,
    once_per_minute::OncePerMinute,
    serving_runtime::ServingRuntime,
    stuck_connections::ServedConnections,
    tls::TlsCertificate,
    watchdog::{LOOK, Watchdog},
};
use std::{
    collections::VecDeque,
    io,
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval, sleep_until},
};

/// How long connections wait behind threads that are stuck, before they are closed.
const WAITING: Duration = Duration::from_secs(1);

/// What the accepting thread is asked to do.
pub(crate) enum FrontCommand {
    /// Close the listening socket.
    StopAccepting(oneshot::Sender<()>),
    /// Let connections finish until then; how many had to be cut.
    End(Instant, oneshot::Sender<usize>),
}

/// A connection that was handed over, until a serving thread takes it.
type Handed = Arc<Mutex<Option<Accepted>>>;

fn take(handed: &Handed) -> Option<Accepted> {
    handed.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn is_taken(handed: &Handed) -> bool {
    handed.lock().unwrap_or_else(PoisonError::into_inner).is_none()
}

/// What the accepting thread has.
pub(crate) struct Acceptor {
    listener: Option<TcpListener>,
    dispatch: Dispatch,
    options: FrontOptions,
    runtimes: Vec<ServingRuntime>,
    /// No serving thread has taken these yet.
    handed: VecDeque<Handed>,
    connections: ConnectionTracker,
    limits: ConnectionLimits,
    rules: ConnectionRules,
    tls: Option<Arc<TlsCertificate>>,
    watchdog: Watchdog,
    warnings: Warnings,
}

/// What is said once a minute at most.
#[derive(Default)]
struct Warnings {
    full: OncePerMinute,
    address: OncePerMinute,
    not_accepted: OncePerMinute,
    all_stuck: OncePerMinute,
}

impl Acceptor {
    pub(crate) fn new(
        listener: TcpListener,
        dispatch: Dispatch,
        options: FrontOptions,
        tls: Option<TlsCertificate>,
        first: ServingRuntime,
    ) -> Self {
        Acceptor {
            listener: Some(listener),
            watchdog: Watchdog::new(dispatch.clone(), options.clone()),
            limits: ConnectionLimits::new(options.connections, options.connections_per_address),
            rules: ConnectionRules { clock: CoarseClock::new(), head: options.head, write: options.write },
            tls: tls.map(Arc::new),
            dispatch,
            options,
            runtimes: vec![first],
            handed: VecDeque::new(),
            connections: ConnectionTracker::new(),
            warnings: Warnings::default(),
        }
    }

    pub(crate) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<FrontCommand>) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if let Some(tls) = &self.tls {
            tokio::spawn(tls.clone().follow());
        }
        let mut ending: Option<(Instant, oneshot::Sender<usize>)> = None;
        loop {
            tokio::select! {
                accepted = accept(self.listener.as_ref()), if !self.limits.is_full() => self.accepted(accepted).await,
                _ = looks.tick() => self.look(),
                command = commands.recv(), if ending.is_none() => match command {
                    None => return,
                    Some(FrontCommand::StopAccepting(done)) => {
                        self.listener = None;
                        let _ = done.send(());
                    }
                    Some(FrontCommand::End(deadline, reply)) => {
                        self.listener = None;
                        self.connections.finish();
                        ending = Some((deadline, reply));
                    }
                },
                () = ended(&self.connections, ending.as_ref().map(|(deadline, _)| *deadline)) => break,
            }
        }
        // The connections that are left go with their runtimes.
        if let Some((_, reply)) = ending {
            let cut = self.connections.open();
            drop(self);
            let _ = reply.send(cut);
        }
    }

    async fn accepted(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((stream, peer)) => match self.limits.admit(peer.ip()) {
                Some(permit) => self.hand_over(Accepted { stream, peer, permit, tls: self.tls.clone() }),
                None if self.warnings.address.may_say() => tracing::warn!(
                    "there are {} connections from {}: further ones from there are closed (`limits.connections_per_address`)",
                    self.options.connections_per_address,
                    peer.ip()
                ),
                None => {}
            },
            Err(error) => {
                // Out of descriptors, say: others have to end first.
                if self.warnings.not_accepted.may_say() {
                    tracing::warn!(%error, "no connection could be accepted");
                }
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    fn hand_over(&mut self, accepted: Accepted) {
        while self.handed.front().is_some_and(is_taken) {
            self.handed.pop_front();
        }
        let handed = Arc::new(Mutex::new(Some(accepted)));
        self.handed.push_back(handed.clone());
        self.offer(handed);
    }

    /// Offers a connection to the first runtime that has a thread for it, or else to the last one: it may be free again sooner
    /// than that is seen.
    fn offer(&self, handed: Handed) {
        let free = self.runtimes.iter().find(|runtime| !runtime.stuck);
        if let Some(runtime) = free.or(self.runtimes.last()) {
            runtime.spawn(self.serve(handed, self.dispatch.clone(), runtime.served.clone()));
        }
    }

    /// Serves a connection, unless somebody else does.
    fn serve(
        &self,
        handed: Handed,
        dispatch: Dispatch,
        served: ServedConnections,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (finish, rules) = (self.connections.connection(), self.rules.clone());
        async move {
            if let Some(accepted) = take(&handed) {
                serve_connection(accepted, dispatch, finish, rules, served).await;
            }
        }
    }

    /// Looks at all threads: who blocks them is reported and moved off, and new connections find a free one.
    fn look(&mut self) {
        self.rules.clock.advance();
        if self.limits.is_full() && self.warnings.full.may_say() {
            tracing::warn!("there are {} connections: further ones wait until one ends", self.options.connections);
        }
        let stuck = self.watchdog.look();
        for runtime in &mut self.runtimes {
            let count = stuck.get(&runtime.group).copied().unwrap_or(0);
            runtime.stuck = count >= self.options.threads.max(1);
            if !runtime.stuck {
                runtime.stuck_since = None;
            } else if runtime.stuck_since.get_or_insert_with(Instant::now).elapsed() >= WAITING {
                // They would wait until a handler returns, which it may never do.
                let closed = runtime.served.close_waiting();
                if closed > 0 {
                    tracing::warn!(
                        "{closed} connections waited behind threads that are stuck in plugins: they were closed"
                    );
                }
            }
            if count > 0 && !runtime.stuck {
                // A thread that blocks may have been the one that waits for the sockets; any other does so when it has been woken.
                runtime.spawn(async {});
            }
        }
        if self.is_stuck() {
            self.start_further();
        }
        self.dispatch.blocked_list().set_all_stuck(self.is_stuck());
        if self.runtimes.iter().any(|runtime| runtime.stuck) {
            self.offer_again();
        }
    }

    /// No runtime has a thread left.
    fn is_stuck(&self) -> bool {
        self.runtimes.iter().all(|runtime| runtime.stuck)
    }

    /// No more runtimes may be started.
    fn has_all_runtimes(&self) -> bool {
        self.runtimes.len() > self.options.further
    }

    fn start_further(&mut self) {
        if self.has_all_runtimes() {
            if self.warnings.all_stuck.may_say() {
                let started = self.runtimes.len();
                tracing::error!(
                    "all threads of all {started} serving runtimes are stuck in plugins: no plugin is served"
                );
            }
            return;
        }
        match ServingRuntime::start(&self.options) {
            Ok(runtime) => {
                tracing::warn!(
                    "all serving threads are stuck in plugins: new connections get {} others",
                    self.options.threads
                );
                self.runtimes.push(runtime);
            }
            Err(error) => {
                if self.warnings.all_stuck.may_say() {
                    tracing::error!(%error, "all serving threads are stuck, and no others can be started");
                }
            }
        }
    }

    /// Connections that nobody has taken are offered to a runtime that has threads. If there is none, and none can be started,
    /// this thread answers, but for plugins.
    fn offer_again(&mut self) {
        self.handed.retain(|handed| !is_taken(handed));
        let nobody_else = self.is_stuck();
        for handed in self.handed.clone() {
            if nobody_else {
                tokio::spawn(self.serve(handed, self.dispatch.host_only(), ServedConnections::default()));
            } else {
                self.offer(handed);
            }
        }
    }
}

/// Waits for the next connection; for ever if there is no listener.
async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        // What a thread serves has to be known to that thread's runtime, not to this one.
        match listener.accept().await.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
            Err(error) if is_the_connections_own(&error) => {}
            accepted => return accepted,
        }
    }
}

/// Waits until all connections have ended, or until the deadline; for ever if they are not to end.
async fn ended(connections: &ConnectionTracker, deadline: Option<Instant>) {
    let Some(deadline) = deadline else { return std::future::pending().await };
    tokio::select! {
        () = connections.none_open() => {}
        () = sleep_until(deadline.into()) => {}
    }
}

fn is_the_connections_own(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
