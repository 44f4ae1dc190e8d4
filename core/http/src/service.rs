//! The way of a request into a plugin's instance, and of its answer back.

use crate::{
    away::Away,
    dispatch::{Responding, Sent},
    ending::until_farewell,
    generation::{Generation, Running},
    limited::{Exceeded, limit},
    marks::{Asked, enter},
    noticed::Noticed,
    problem::{self, Problem, seconds},
    relay::relay,
    request_id::{X_REQUEST_ID, request_id},
    trace_context::{Ids, hex, trace_id},
};
use camlock_policy::{Answer, Body, BoxFuture, Call, Fault, Instance, Lease, RequestId, RequestLimits, Use, routes};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use hyper::upgrade::OnUpgrade;
use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};
use tracing::Instrument;

/// The target of all that plugins say, and of the spans that a plugin's code runs in.
pub const PLUGIN_TARGET: &str = "camlock::plugin";

/// A generation as a table holds it: what answers, and the table's lease.
pub(crate) struct PluginService {
    generation: Arc<Generation>,
    instance: Arc<dyn Instance>,
    limits: RequestLimits,
    lease: Lease,
}

impl PluginService {
    pub(crate) fn new(serving: routes::Serving, generation: Arc<Generation>) -> Self {
        let routes::Serving { instance, lease, limits, .. } = serving;
        PluginService { generation, instance, limits, lease }
    }

    /// Counts the panics that there were until now.
    pub(crate) fn see_panics(&self) {
        self.generation.see_panics(self.instance.panics());
    }

    /// Answers a request of a client, unless the plugin's limits forbid it.
    pub(crate) fn answer(&self, request: Request<impl Sent>, peer: Option<SocketAddr>, mount: usize) -> Responding {
        let RequestLimits { timeout, body: largest, concurrency } = self.limits;
        if let Some(largest) = largest.filter(|largest| request.body().size_hint().lower() > *largest) {
            self.generation.meter.answered(StatusCode::PAYLOAD_TOO_LARGE, Duration::ZERO);
            return too_large(&self.generation.name, largest).into();
        }
        let Some(running) = self.generation.enter(concurrency) else {
            return too_many(&self.generation.name, concurrency).into();
        };
        let headers = request.headers();
        let noticed = Noticed::of(headers);
        let upgrade = noticed.asks_for_upgrade(headers) && request.method() != Method::CONNECT;
        let (trace_id, request_id) = (trace_id(noticed.trace_parent), request_id(noticed.request_id));
        let ids = Ids::new(&request_id, trace_id);
        let (plugin, generation) = (&*self.generation.name, self.generation.number);
        let span = tracing::debug_span!(
            target: PLUGIN_TARGET, "request", plugin, generation, request_id = request_id.as_str(), trace_id = hex(trace_id)
        );
        // From here on the request stays where it is: it is large.
        let mut call = Call { mount, peer, request_id, trace_id, upgrade, request: request.map(Body::stream) };
        let seldom = self.seldom(&mut call);
        let asked = Asked::of(&call.request);
        let call = match self.generation.away() {
            // The author's code runs when it is polled.
            None => self.instance.call(call),
            Some(away) => self.call_away(away, &asked, call),
        };
        let call = if span.is_disabled() { call } else { Box::pin(call.instrument(span)) };
        Responding::Plugin(Answering { call: Some(call), running, asked, ids, timeout, timer: None, seldom })
    }
}

impl PluginService {
    #[cold]
    fn call_away(&self, away: &Away, asked: &Asked, call: Call) -> BoxFuture<Result<Answer, Fault>> {
        away.call(&self.instance, self.lease.share(Use::Request), self.generation.key, asked.clone(), call)
    }

    /// What this request needs that few do.
    #[inline(never)]
    fn seldom(&self, call: &mut Call) -> Option<Box<Seldom>> {
        // A body that is known to be small enough is not watched.
        let upper = call.request.body().size_hint().upper();
        let largest = self.limits.body.filter(|largest| upper.is_none_or(|upper| upper > *largest));
        if !call.upgrade && largest.is_none() && !matches!(call.request_id, RequestId::Sent(_)) {
            return None;
        }
        let mut seldom = Box::new(Seldom::default());
        seldom.client = call.upgrade.then(|| hyper::upgrade::on(&mut call.request));
        if let RequestId::Sent(id) = &call.request_id {
            seldom.echo = Some(id.clone());
        }
        if let Some(largest) = largest {
            let (body, watched) = limit(std::mem::take(call.request.body_mut()), largest);
            *call.request.body_mut() = body;
            seldom.exceeded = watched.map(|watched| (watched, largest));
        }
        Some(seldom)
    }
}

impl Drop for PluginService {
    fn drop(&mut self) {
        self.see_panics();
    }
}

/// The future of a plugin's response.
pub(crate) struct Answering {
    /// Until it has answered.
    call: Option<BoxFuture<Result<Answer, Fault>>>,
    running: Running,
    asked: Asked,
    ids: Ids,
    timeout: Duration,
    /// Only a request that is not answered at once costs a timer.
    timer: Option<Pin<Box<Sleep>>>,
    seldom: Option<Box<Seldom>>,
}

/// What few requests need. All others are moved about without it.
#[derive(Default)]
struct Seldom {
    /// The connection, if the request asks for another protocol on it.
    client: Option<OnUpgrade>,
    /// The client's own id of the request is sent back. One that is new would only cost it bytes.
    echo: Option<HeaderValue>,
    /// If the body's length was not known, and what it may be.
    exceeded: Option<(Exceeded, u64)>,
}

impl Future for Answering {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(call) = &mut this.call else { return Poll::Ready(Ok(Response::default())) };
        let inside = enter(this.running.0.key, &this.asked);
        let polled = call.as_mut().poll(context);
        drop(inside);
        match polled {
            Poll::Ready(Ok(Answer { mut response, connection: None })) if this.seldom.is_none() => {
                this.call = None;
                this.running.answered(response.status());
                until_farewell(&mut response, &this.running.0, &this.asked);
                Poll::Ready(Ok(response))
            }
            polled => this.poll_seldom(context, polled).map(Ok),
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Answering {
    /// Drops what has not answered, which runs the plugin's code too.
    fn cancel(&mut self) {
        if let Some(call) = self.call.take() {
            let _inside = enter(self.running.0.key, &self.asked);
            drop(call);
        }
    }

    /// All but an ordinary answer.
    #[inline(never)]
    fn poll_seldom(&mut self, context: &mut Context<'_>, polled: Poll<Result<Answer, Fault>>) -> Poll<Response<Body>> {
        let seldom = self.seldom.as_deref();
        let exceeded = seldom.and_then(|seldom| seldom.exceeded.as_ref()).filter(|(exceeded, _)| exceeded.is());
        let mut response = match (exceeded, polled) {
            // Whatever the plugin made of it.
            (Some((_, largest)), _) => {
                let problem = too_large(&self.running.0.name, *largest);
                self.cancel();
                problem.response()
            }
            (None, Poll::Ready(outcome)) => {
                self.call = None;
                self.answered(outcome)
            }
            (None, Poll::Pending) => {
                let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.timeout)));
                ready!(timer.as_mut().poll(context));
                self.cancel();
                self.too_late()
            }
        };
        self.running.answered(response.status());
        if let Some(id) = self.seldom.as_mut().and_then(|seldom| seldom.echo.take()) {
            response.headers_mut().entry(X_REQUEST_ID).or_insert(id);
        }
        Poll::Ready(response)
    }

    fn answered(&mut self, outcome: Result<Answer, Fault>) -> Response<Body> {
        match outcome {
            Ok(Answer { mut response, connection }) => {
                if let (StatusCode::SWITCHING_PROTOCOLS, Some(plugin)) = (response.status(), connection) {
                    match self.seldom.as_mut().and_then(|seldom| seldom.client.take()) {
                        Some(client) => {
                            let websocket = is_websocket(response.headers());
                            relay(client, plugin, websocket, &self.running.0, &self.asked);
                        }
                        None => tracing::warn!("a plugin switched protocols although nobody asked it to"),
                    }
                }
                until_farewell(&mut response, &self.running.0, &self.asked);
                response
            }
            Err(fault) => {
                self.tell(&fault);
                problem::of_fault(&self.running.0.name, &fault).response()
            }
        }
    }

    fn tell(&self, fault: &Fault) {
        let (plugin, generation) = (&*self.running.0.name, self.running.0.number);
        let (method, path) = (&self.asked.method, self.asked.path());
        let (request_id, trace_id) = (self.request_id(), hex(self.ids.trace));
        let backtrace = fault.backtrace.join("\n");
        let location = &*fault.location;
        tracing::error!(
            plugin, generation, %method, path, request_id, trace_id, location, backtrace, "{:?}: {}", fault.kind, fault.message
        );
    }

    fn too_late(&self) -> Response<Body> {
        let (plugin, generation) = (&*self.running.0.name, self.running.0.number);
        let (method, path) = (&self.asked.method, self.asked.path());
        let (request_id, trace_id) = (self.request_id(), hex(self.ids.trace));
        let detail = format!("the plugin did not begin to answer within {}", seconds(self.timeout));
        tracing::warn!(plugin, generation, %method, path, request_id, trace_id, "{detail}");
        Problem::of(plugin, StatusCode::GATEWAY_TIMEOUT, detail).response()
    }

    /// For the log. Of a client's own id only the echo is left.
    fn request_id(&self) -> &str {
        let sent = self.seldom.as_ref().and_then(|seldom| seldom.echo.as_ref()?.to_str().ok());
        sent.unwrap_or_else(|| self.ids.made())
    }
}

#[cold]
fn too_large(plugin: &str, largest: u64) -> Problem {
    let detail = format!("the request's body is larger than the {largest} bytes that the plugin takes");
    Problem::of(plugin, StatusCode::PAYLOAD_TOO_LARGE, detail)
}

#[cold]
fn too_many(plugin: &str, concurrency: usize) -> Problem {
    let detail = format!("the plugin has {concurrency} requests to answer and takes no more at once: try again soon");
    Problem::of(plugin, StatusCode::SERVICE_UNAVAILABLE, detail).passing()
}

/// Whether this is the protocol that the plugin switched to.
fn is_websocket(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}
