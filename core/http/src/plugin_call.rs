//! A request that is inside a plugin, until there is an answer, nobody waits any more, or its time is over.

use crate::{
    farewell::until_farewell,
    generation::InFlight,
    limited::Exceeded,
    mounted::{names_paths, rewrite_paths},
    problem::{self, Problem, seconds},
    relay::{RequestedUpgrade, relay},
    request_id::X_REQUEST_ID,
    thread_activity::{RequestLine, enter},
    trace_context::{Ids, hex},
};
use camlock_policy::{Answer, Body, BoxFuture, Fault, FaultKind, never};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

/// The future of a plugin's response.
pub(crate) struct PluginCall {
    /// Until it has answered.
    pub(crate) call: Option<BoxFuture<Result<Answer, Fault>>>,
    pub(crate) in_flight: InFlight,
    pub(crate) line: RequestLine,
    pub(crate) ids: Ids,
    pub(crate) timeout: Duration,
    /// The request came through the mount, which the plugin's paths are put under.
    pub(crate) mounted: bool,
    /// Only a request that is not answered at once costs a timer.
    pub(crate) timer: Option<Pin<Box<Sleep>>>,
    pub(crate) extras: Option<Box<RequestExtras>>,
}

/// What few requests need. All others are moved about without it.
#[derive(Default)]
pub(crate) struct RequestExtras {
    /// The connection, if the request asks for another protocol on it.
    pub(crate) upgrade: Option<RequestedUpgrade>,
    /// The client's own id of the request is sent back. One that is new would only cost it bytes.
    pub(crate) echo: Option<HeaderValue>,
    /// If the body's length was not known, and what it may be.
    pub(crate) exceeded: Option<(Exceeded, u64)>,
}

impl Future for PluginCall {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(call) = &mut this.call else {
            never!("a call that has answered is polled again");
            return Poll::Ready(Ok(Response::default()));
        };
        let inside = enter(this.in_flight.0.key, &this.line);
        let polled = call.as_mut().poll(context);
        drop(inside);
        match polled {
            Poll::Ready(Ok(Answer { mut response, connection: None })) if this.extras.is_none() => {
                this.call = None;
                this.in_flight.answered(response.status());
                this.send(&mut response);
                Poll::Ready(Ok(response))
            }
            polled => this.poll_unusual(context, polled).map(Ok),
        }
    }
}

impl Drop for PluginCall {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl PluginCall {
    /// Makes an answer what is sent of it.
    #[inline]
    fn send(&self, response: &mut Response<Body>) {
        if self.mounted && names_paths(response.headers()) {
            rewrite_paths(response.headers_mut(), &self.in_flight.0.name);
        }
        until_farewell(response, &self.in_flight.0, &self.line);
    }

    /// Drops what has not answered, which runs the plugin's code too.
    fn cancel(&mut self) {
        if let Some(call) = self.call.take() {
            let _inside = enter(self.in_flight.0.key, &self.line);
            drop(call);
        }
    }

    /// All but an ordinary answer.
    #[inline(never)]
    fn poll_unusual(&mut self, context: &mut Context<'_>, polled: Poll<Result<Answer, Fault>>) -> Poll<Response<Body>> {
        let extras = self.extras.as_deref();
        let exceeded = extras.and_then(|extras| extras.exceeded.as_ref()).filter(|(exceeded, _)| exceeded.is());
        let mut response = match (exceeded, polled) {
            // Whatever the plugin made of it.
            (Some((_, largest)), _) => {
                let problem = too_large(&self.in_flight.0.name, *largest);
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
        self.in_flight.answered(response.status());
        if let Some(id) = self.extras.as_mut().and_then(|extras| extras.echo.take()) {
            response.headers_mut().entry(X_REQUEST_ID).or_insert(id);
        }
        Poll::Ready(response)
    }

    fn answered(&mut self, outcome: Result<Answer, Fault>) -> Response<Body> {
        match outcome {
            Ok(Answer { mut response, connection }) => {
                if let (StatusCode::SWITCHING_PROTOCOLS, Some(plugin)) = (response.status(), connection) {
                    match self.extras.as_mut().and_then(|extras| extras.upgrade.take()) {
                        Some(upgrade) => {
                            let websocket = is_websocket(response.headers());
                            relay(upgrade, plugin, websocket, &self.in_flight.0, &self.line);
                        }
                        None => tracing::warn!("a plugin switched protocols although nobody line it to"),
                    }
                }
                self.send(&mut response);
                response
            }
            Err(fault) => {
                self.report(&fault);
                if fault.kind == FaultKind::Ended {
                    self.in_flight.0.meter.lost(1);
                }
                problem::of_fault(&self.in_flight.0.name, &fault).response()
            }
        }
    }

    fn report(&self, fault: &Fault) {
        let (plugin, generation) = (&*self.in_flight.0.name, self.in_flight.0.number);
        let (method, path) = (&self.line.method, self.line.path());
        let (request_id, trace_id) = (self.request_id(), hex(self.ids.trace));
        let backtrace = fault.backtrace.join("\n");
        let location = &*fault.location;
        tracing::error!(
            plugin, generation, %method, path, request_id, trace_id, location, backtrace, "{:?}: {}", fault.kind, fault.message
        );
    }

    fn too_late(&self) -> Response<Body> {
        let (plugin, generation) = (&*self.in_flight.0.name, self.in_flight.0.number);
        let (method, path) = (&self.line.method, self.line.path());
        let (request_id, trace_id) = (self.request_id(), hex(self.ids.trace));
        let detail = format!("the plugin did not begin to answer within {}", seconds(self.timeout));
        tracing::warn!(plugin, generation, %method, path, request_id, trace_id, "{detail}");
        Problem::of(plugin, StatusCode::GATEWAY_TIMEOUT, detail).response()
    }

    /// For the log. Of a client's own id only the echo is left.
    fn request_id(&self) -> &str {
        let sent = self.extras.as_ref().and_then(|extras| extras.echo.as_ref()?.to_str().ok());
        sent.unwrap_or_else(|| self.ids.made())
    }
}

#[cold]
pub(crate) fn too_large(plugin: &str, largest: u64) -> Problem {
    let detail = format!("the request's body is larger than the {largest} bytes that the plugin takes");
    Problem::of(plugin, StatusCode::PAYLOAD_TOO_LARGE, detail)
}

/// Whether this is the protocol that the plugin switched to.
fn is_websocket(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}
