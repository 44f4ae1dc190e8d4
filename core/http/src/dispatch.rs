//! From a path to what answers it: a plugin, a refusal, or the host's own router.

use crate::{
    authority::{host_name, unsound_host},
    blocked::{Blocked, BlockedList},
    connection_state::{Caller, ConnectionState},
    deliveries::{Deliveries, Recipient},
    generation::{self, ServedGeneration},
    meters::{Meter, Meters},
    mounted::to_the_slash,
    problem::{self, Problem, seconds},
    responding::{Dispatched, IncomingBody, Responding},
    server_headers::ServerHeaders,
    service::{AFTER_A_PROCESS, PluginService},
};
use arc_swap::ArcSwap;
use axum::{Router, extract::ConnectInfo};
use bytes::Bytes;
use camlock_policy::{
    Body, Headline, Publish,
    routes::{RouteMatch, RouteTable, Routed, Target},
};
use http::{Request, Response, StatusCode};
use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::{Notify, futures::Notified},
    time::Instant,
};
use tower_service::Service as _;

/// Where requests go. One immutable table of the plugins behind an atomic pointer, ahead of the host's own router.
///
/// Connections hold this, not the table, so an idle one keeps no plugin.
#[derive(Clone, Default)]
pub struct Dispatch {
    state: Arc<DispatchState>,
    caller: Caller,
    /// Plugins are refused: this thread must not run their code.
    host_only: bool,
}

/// The same, without keeping it: for what is itself kept by it.
#[derive(Clone, Debug)]
pub struct WeakDispatch(Weak<DispatchState>);

impl WeakDispatch {
    /// What it leads to, if that is still there.
    pub fn upgrade(&self) -> Option<Dispatch> {
        let state = self.0.upgrade()?;
        Some(Dispatch { state, caller: Caller::default(), host_only: false })
    }
}

#[derive(Default)]
pub(crate) struct DispatchState {
    table: ArcSwap<RouteTable<RouteEntry>>,
    /// Tells those who wait that there is another table.
    published: Notify,
    host: OnceLock<Router>,
    /// Those that are in the table, or that somebody still has: a table that has them again counts on. By where their
    /// instances lie, or lay.
    generations: Mutex<HashMap<usize, Vec<Weak<ServedGeneration>>>>,
    blocked: BlockedList,
    meters: Meters,
}

/// What a name leads to, prepared so that a request needs no more than to be handed on.
enum RouteEntry {
    Plugin(PluginService),
    Held { name: String, bound: Duration },
    Refusal(Refusal),
}

/// A refusal, written once for all requests.
struct Refusal {
    /// In one sentence.
    reason: String,
    meter: Arc<Meter>,
    status: StatusCode,
    headers: http::HeaderMap,
    document: Bytes,
}

impl Dispatch {
    /// What answers paths that no plugin has. Only the first call counts; without one they are 404.
    pub fn fall_through_to(&self, host: Router) {
        let _ = self.state.host.set(host);
    }

    /// The same, without keeping it.
    pub fn downgrade(&self) -> WeakDispatch {
        WeakDispatch(Arc::downgrade(&self.state))
    }

    /// The same, for a client.
    #[must_use]
    pub fn for_peer(&self, peer: SocketAddr) -> Self {
        Dispatch { caller: Caller { peer: Some(peer), connection: None }, ..self.clone() }
    }

    /// The same, for one connection.
    pub(crate) fn for_connection(&self, peer: SocketAddr, connection: Arc<ConnectionState>) -> Self {
        Dispatch { caller: Caller { peer: Some(peer), connection: Some(connection) }, ..self.clone() }
    }

    /// The same for a thread that must not run plugins' code: the host's own paths answer, plugins do not.
    pub(crate) fn host_only(&self) -> Self {
        Dispatch { host_only: true, ..self.clone() }
    }

    /// Handlers that block their threads, as a `Front` last saw them.
    pub fn blocked(&self) -> Vec<Blocked> {
        self.state.blocked.all()
    }

    /// A handle on the same, which keeps nothing else.
    pub fn blocked_list(&self) -> BlockedList {
        self.state.blocked.clone()
    }

    /// What is counted of requests, which keeps nothing else either.
    pub fn meters(&self) -> Meters {
        let state = Arc::downgrade(&self.state);
        self.state.meters.looking(move || {
            let Some(state) = state.upgrade() else { return };
            for entry in state.table.load().targets() {
                if let RouteEntry::Plugin(service) = entry {
                    service.see_panics();
                }
            }
        })
    }

    /// The generation with this key, if it is one of those here.
    pub(crate) fn generation(&self, key: u64) -> Option<Arc<ServedGeneration>> {
        let generations = locked(&self.state.generations);
        generations.values().flatten().filter_map(Weak::upgrade).find(|generation| generation.key == key)
    }

    /// What brings plugins things that no client asked for, and keeps nothing else. `on_thread_park` is what threads that run
    /// plugins' code do before they sleep.
    pub fn deliveries(&self, on_thread_park: Option<fn()>) -> Deliveries {
        Deliveries { state: Arc::downgrade(&self.state), on_thread_park }
    }

    fn entry(&self, name: &str, target: Target) -> RouteEntry {
        match target {
            Target::Serving(serving) => {
                let mut generations = locked(&self.state.generations);
                let there = generations.entry(generation::address(&serving)).or_default();
                let known = there.iter().filter_map(Weak::upgrade).find(|known| known.is(&serving));
                let generation = known.unwrap_or_else(|| {
                    let new = Arc::new(ServedGeneration::new(&serving, self.state.meters.of(&serving.name)));
                    there.push(Arc::downgrade(&new));
                    new
                });
                RouteEntry::Plugin(PluginService::new(serving, generation))
            }
            Target::Held(bound) => RouteEntry::Held { name: name.to_owned(), bound },
            Target::Unavailable { name, state, reason } => {
                RouteEntry::Refusal(Refusal::new(self.state.meters.of(&name), &name, state, reason))
            }
        }
    }

    #[inline(never)]
    fn host(&self, request: Request<impl IncomingBody>) -> Responding {
        if self.caller.connection.is_some()
            && let Some(why) = unsound_host(&request, &ServerHeaders::of(request.headers()))
        {
            return problem::unsound_host(why).into();
        }
        let Some(host) = self.state.host.get() else {
            return problem::nothing_there(request.uri().path()).into();
        };
        let mut request = request.map(axum::body::Body::new);
        if let Some(peer) = self.caller.peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        let answer = host.clone().call(request);
        Responding::Later(Box::pin(async move {
            let Ok(response) = answer.await;
            response.map(Body::stream)
        }))
    }

    #[cold]
    fn no_thread_left(&self) -> Responding {
        if let Some(connection) = &self.caller.connection {
            connection.refuse();
        }
        problem::all_stuck().into()
    }

    #[cold]
    fn held(&self, request: Request<impl IncomingBody>, name: &str, bound: Duration) -> Responding {
        Responding::Later(Box::pin(self.clone().hold(request, name.to_owned(), bound)))
    }

    /// Waits for the next table, so long at most.
    async fn hold(self, request: Request<impl IncomingBody>, name: String, bound: Duration) -> Response<Body> {
        let until = Instant::now() + bound;
        loop {
            let published = self.state.published.notified();
            let mut published = std::pin::pin!(published);
            // Heard of from now on; then look whether it has happened already.
            published.as_mut().enable();
            if !self.holds(&request) {
                let Ok(response) = self.answer(request).await;
                return response;
            }
            if tokio::time::timeout_at(until, published).await.is_err() {
                let detail = format!("the plugin did not serve again within {}: try again", seconds(bound));
                let problem = Problem::of(&name, StatusCode::SERVICE_UNAVAILABLE, detail);
                return problem.with("state", Headline::Starting.word()).passing().response();
            }
        }
    }

    fn holds<B>(&self, request: &Request<B>) -> bool {
        let table = self.state.table.load();
        find(&table, request).is_some_and(|found| match found.target {
            RouteEntry::Held { .. } => true,
            RouteEntry::Plugin(service) => service.is_gone(),
            RouteEntry::Refusal(_) => false,
        })
    }
}

impl DispatchState {
    /// Comes when there is another table.
    pub(crate) fn published(&self) -> Notified<'_> {
        self.published.notified()
    }

    /// Who takes what is brought to a plugin.
    pub(crate) fn recipient(&self, plugin: &str) -> Recipient {
        match self.table.load().find_plugin(plugin) {
            Some(RouteEntry::Plugin(service)) => service.recipient(),
            Some(RouteEntry::Held { bound, .. }) => Recipient::Held(*bound),
            Some(RouteEntry::Refusal(refusal)) => Recipient::Nobody(refusal.reason.clone()),
            None => Recipient::Nobody(format!("there is no plugin `{plugin}`")),
        }
    }
}

/// A panic while one of these is held leaves nothing half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Publish for Dispatch {
    fn publish(&self, plugins: Vec<Routed<Target>>) {
        let table = RouteTable::new(plugins.into_iter().map(|Routed { name, claims, target }| {
            let target = self.entry(&name, target);
            Routed { name, claims, target }
        }));
        // What is replaced is dropped here, or by the last request that is being looked up in it.
        self.state.table.store(Arc::new(table));
        let mut generations = locked(&self.state.generations);
        generations.retain(|_, there| {
            there.retain(|generation| generation.strong_count() > 0);
            !there.is_empty()
        });
        drop(generations);
        self.state.meters.forget_gone();
        self.state.published.notify_waiters();
    }
}

impl fmt::Debug for Dispatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plugins = self.state.table.load().targets().len();
        formatter.debug_struct("Dispatch").field("plugins", &plugins).finish_non_exhaustive()
    }
}

impl Refusal {
    fn new(meter: Arc<Meter>, name: &str, state: Headline, reason: String) -> Self {
        // Of one whose entry is gone, nothing is left to wait for.
        let missing = state == Headline::Missing;
        let status = if missing { StatusCode::NOT_FOUND } else { StatusCode::SERVICE_UNAVAILABLE };
        let mut problem = Problem::of(name, status, reason.as_str()).with("state", state.word());
        if matches!(state, Headline::Starting | Headline::Waiting) {
            problem = problem.passing();
        }
        let (parts, document) = problem.response::<Bytes>().into_parts();
        Refusal { reason, meter, status, headers: parts.headers, document }
    }

    fn response(&self) -> Response<Body> {
        self.meter.answered(self.status, Duration::ZERO);
        let mut response = Response::new(self.document.clone().into());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }
}

/// What answers a request: under a host of its own, a plugin alone.
#[inline]
fn find<'t, B>(table: &'t RouteTable<RouteEntry>, request: &Request<B>) -> Option<RouteMatch<'t, RouteEntry>> {
    if table.has_hosts()
        && let Some(found) = host_name(request).and_then(|host| table.find_host(&host))
    {
        return Some(found);
    }
    table.find(request.uri().path())
}

impl Dispatch {
    #[inline]
    fn answer(&self, request: Request<impl IncomingBody>) -> Dispatched {
        let table = self.state.table.load();
        Dispatched(match find(&table, &request) {
            None => self.host(request),
            Some(RouteMatch { target, mount }) => match target {
                RouteEntry::Plugin(_) if self.host_only => self.no_thread_left(),
                RouteEntry::Plugin(service) if mount == request.uri().path().len() => {
                    Responding::Now(Some(to_the_slash(service.plugin(), request.uri())))
                }
                RouteEntry::Plugin(service) if service.is_gone() => {
                    self.held(request, service.plugin(), AFTER_A_PROCESS)
                }
                RouteEntry::Plugin(service) => service.answer(request, &self.caller, mount),
                RouteEntry::Refusal(refusal) => Responding::Now(Some(refusal.response())),
                RouteEntry::Held { name, bound } => self.held(request, name, *bound),
            },
        })
    }
}

impl<B: IncomingBody> hyper::service::Service<Request<B>> for Dispatch {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Dispatched;

    fn call(&self, request: Request<B>) -> Dispatched {
        if let Some(connection) = &self.caller.connection {
            connection.announce_body(!request.body().is_end_stream());
        }
        self.answer(request)
    }
}

/// In a program that serves with axum: whoever asks is known if the program says so with `ConnectInfo`.
impl<B: IncomingBody> tower_service::Service<Request<B>> for Dispatch {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Dispatched;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Dispatched {
        match request.extensions().get::<ConnectInfo<SocketAddr>>() {
            Some(ConnectInfo(peer)) => self.for_peer(*peer).answer(request),
            None => self.answer(request),
        }
    }
}
