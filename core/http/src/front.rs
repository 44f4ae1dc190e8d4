//! Connections: accepted on a thread that never runs plugin code, served on threads that do.
//!
//! That first thread also looks after the others. When all threads of a serving runtime are stuck in plugins' code, there is
//! another one for new connections; those that are on the stuck one have to wait. What must not live here: what is answered.

use crate::{
    Dispatch,
    connection::{Accepted, Finish, serve_connection},
    lookout::{LOOK, Lookout},
    marks::belong_to,
    patience::Patience,
};
use std::{
    collections::VecDeque,
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{
    net::TcpListener as Listener,
    runtime::{Builder, Runtime},
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval, sleep_until},
};

/// How connections are served.
#[derive(Clone, Debug)]
pub struct FrontOptions {
    /// Threads that serve.
    pub threads: usize,
    /// Further runtimes of as many threads, each for new connections when all threads of those before it are stuck.
    pub further: usize,
    /// Threads of its own that a plugin gets when it goes on blocking those that serve.
    pub away: usize,
    /// A handler that blocks its thread for so long is reported.
    pub blocked: Duration,
    /// One that blocks it for so long makes its plugin lose the right to: it gets threads of its own.
    pub moved_off: Duration,
    /// Connections at once, but for those that went over to another protocol. Further ones wait until one of them ends.
    pub connections: usize,
    /// How long a client may take until the head of its next request is there: then its connection is closed.
    pub head: Duration,
    /// What threads that run plugins' code do before they sleep.
    pub on_thread_park: Option<fn()>,
}

impl Default for FrontOptions {
    fn default() -> Self {
        FrontOptions {
            threads: thread::available_parallelism().map_or(1, usize::from),
            further: 3,
            away: 8,
            blocked: Duration::from_secs(1),
            moved_off: Duration::from_secs(5),
            connections: 10_000,
            head: Duration::from_secs(60),
            on_thread_park: None,
        }
    }
}

/// A server on an address. Dropping it cuts all connections; `end` lets them finish.
pub struct Front {
    address: SocketAddr,
    orders: mpsc::UnboundedSender<Order>,
}

enum Order {
    /// Close the listening socket.
    StopAccepting(oneshot::Sender<()>),
    /// Let connections finish until then; how many had to be cut.
    End(Instant, oneshot::Sender<usize>),
}

impl Front {
    /// Accepts connections from now on. The listener is given up by `stop_accepting`, `end`, or dropping this.
    pub fn start(listener: TcpListener, dispatch: Dispatch, options: FrontOptions) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let first = Serving::start(&options)?;
        let control = Builder::new_current_thread().enable_all().build()?;
        let (orders, received) = mpsc::unbounded_channel();
        thread::Builder::new().name("camlock-front".to_owned()).spawn(move || {
            control.block_on(async move {
                match Listener::from_std(listener) {
                    Ok(listener) => Acceptor::new(listener, dispatch, options, first).run(received).await,
                    Err(error) => tracing::error!(%error, "nothing can be accepted"),
                }
            });
        })?;
        Ok(Front { address, orders })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listening socket: new connections are refused by the system once this returns. Others go on.
    pub async fn stop_accepting(&self) {
        let (reply, done) = oneshot::channel();
        let _ = self.orders.send(Order::StopAccepting(reply));
        let _ = done.await;
    }

    /// Closes the listening socket and lets connections finish: HTTP/1 after the answer that is under way, HTTP/2 after those
    /// that are. At the deadline the rest is cut; how many connections that were. Upgraded ones are not waited for: they end
    /// with their plugin.
    pub async fn end(&self, deadline: Instant) -> usize {
        let (reply, cut) = oneshot::channel();
        let _ = self.orders.send(Order::End(deadline, reply));
        cut.await.unwrap_or(0)
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Front").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A runtime that serves connections.
struct Serving {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    /// What its threads are marked with.
    group: u64,
    stuck: bool,
}

impl Serving {
    fn start(options: &FrontOptions) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let group = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(options.threads.max(1)).enable_all().thread_name("camlock-serve");
        builder.on_thread_start(move || belong_to(group));
        if let Some(hook) = options.on_thread_park {
            builder.on_thread_park(hook);
        }
        Ok(Serving { runtime: Some(builder.build()?), group, stuck: false })
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(task);
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Threads that are stuck end when they are free again.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A connection that was handed over, until a serving thread takes it.
type Handed = Arc<Mutex<Option<Accepted>>>;

fn take(handed: &Handed) -> Option<Accepted> {
    handed.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn is_taken(handed: &Handed) -> bool {
    handed.lock().unwrap_or_else(PoisonError::into_inner).is_none()
}

/// What the first thread has.
struct Acceptor {
    listener: Option<Listener>,
    dispatch: Dispatch,
    options: FrontOptions,
    serving: Vec<Serving>,
    /// No serving thread has taken these yet.
    handed: VecDeque<Handed>,
    connections: Finish,
    lookout: Lookout,
    /// It was said that there are no more runtimes to be had.
    said_full: bool,
    patience: Patience,
    /// It was said that there are as many connections as there may be.
    said_crowded: bool,
}

impl Acceptor {
    fn new(listener: Listener, dispatch: Dispatch, options: FrontOptions, first: Serving) -> Self {
        Acceptor {
            listener: Some(listener),
            lookout: Lookout::new(dispatch.clone(), options.clone()),
            patience: Patience::new(options.head),
            said_crowded: false,
            dispatch,
            options,
            serving: vec![first],
            handed: VecDeque::new(),
            connections: Finish::new(),
            said_full: false,
        }
    }

    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ending: Option<(Instant, oneshot::Sender<usize>)> = None;
        loop {
            tokio::select! {
                accepted = accept(self.listener.as_ref()), if !self.is_crowded() => self.hand_over(accepted),
                _ = looks.tick() => self.look(),
                order = orders.recv(), if ending.is_none() => match order {
                    None => return,
                    Some(Order::StopAccepting(done)) => {
                        self.listener = None;
                        let _ = done.send(());
                    }
                    Some(Order::End(deadline, reply)) => {
                        self.listener = None;
                        self.connections.say();
                        ending = Some((deadline, reply));
                    }
                },
                () = ended(&self.connections, ending.as_ref().map(|(deadline, _)| *deadline)) => break,
            }
        }
        // The connections that are left go with their runtimes.
        if let Some((_, reply)) = ending {
            let cut = self.connections.left();
            drop(self);
            let _ = reply.send(cut);
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
        let free = self.serving.iter().find(|serving| !serving.stuck);
        if let Some(serving) = free.or(self.serving.last()) {
            serving.spawn(self.serve(handed, self.dispatch.clone()));
        }
    }

    /// Serves a connection, unless somebody else does.
    fn serve(&self, handed: Handed, dispatch: Dispatch) -> impl Future<Output = ()> + Send + 'static {
        let (told, patience) = (self.connections.connection(), self.patience.clone());
        async move {
            if let Some(accepted) = take(&handed) {
                serve_connection(accepted, dispatch, told, patience).await;
            }
        }
    }

    /// Looks at all threads: who blocks them is told and moved off, and new connections find a free one.
    fn look(&mut self) {
        self.patience.wind();
        if !self.is_crowded() {
            self.said_crowded = false;
        } else if !std::mem::replace(&mut self.said_crowded, true) {
            tracing::warn!("there are {} connections: further ones wait until one ends", self.options.connections);
        }
        let stuck = self.lookout.look();
        for serving in &mut self.serving {
            let count = stuck.get(&serving.group).copied().unwrap_or(0);
            serving.stuck = count >= self.options.threads.max(1);
            if count > 0 && !serving.stuck {
                // A thread that blocks may have been the one that waits for the sockets; any other does so when it has been woken.
                serving.spawn(async {});
            }
        }
        if self.serving.iter().all(|serving| serving.stuck) {
            self.start_further();
        } else {
            self.said_full = false;
        }
        if self.serving.iter().any(|serving| serving.stuck) {
            self.offer_again();
        }
    }

    /// There are as many connections as there may be.
    fn is_crowded(&self) -> bool {
        self.connections.left() >= self.options.connections
    }

    /// No more runtimes may be started.
    fn is_full(&self) -> bool {
        self.serving.len() > self.options.further
    }

    fn start_further(&mut self) {
        if self.is_full() {
            if !self.said_full {
                let started = self.serving.len();
                tracing::error!(
                    "all threads of all {started} serving runtimes are stuck in plugins: no plugin is served"
                );
                self.said_full = true;
            }
            return;
        }
        match Serving::start(&self.options) {
            Ok(serving) => {
                tracing::warn!(
                    "all serving threads are stuck in plugins: new connections get {} others",
                    self.options.threads
                );
                self.serving.push(serving);
            }
            Err(error) => tracing::error!(%error, "all serving threads are stuck, and no others can be started"),
        }
    }

    /// Connections that nobody has taken are offered to a runtime that has threads. If there is none, and none can be started,
    /// this thread answers, but for plugins.
    fn offer_again(&mut self) {
        self.handed.retain(|handed| !is_taken(handed));
        let nobody_else = self.is_full() && self.serving.iter().all(|serving| serving.stuck);
        for handed in self.handed.clone() {
            if nobody_else {
                tokio::spawn(self.serve(handed, self.dispatch.host_only()));
            } else {
                self.offer(handed);
            }
        }
    }
}

/// Waits for the next connection; for ever if there is no listener.
async fn accept(listener: Option<&Listener>) -> Accepted {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        // What a thread serves has to be known to that thread's runtime, not to this one.
        match listener.accept().await.and_then(|(stream, peer)| Ok(Accepted { stream: stream.into_std()?, peer })) {
            Ok(accepted) => return accepted,
            Err(error) if is_the_connections_own(&error) => {}
            Err(error) => {
                // Out of descriptors, say: others have to end first.
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

/// Waits until all connections have ended, or until the deadline; for ever if they are not to end.
async fn ended(connections: &Finish, deadline: Option<Instant>) {
    let Some(deadline) = deadline else { return std::future::pending().await };
    tokio::select! {
        () = connections.none_left() => {}
        () = sleep_until(deadline.into()) => {}
    }
}

fn is_the_connections_own(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
