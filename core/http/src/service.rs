//! The way of a request into a plugin's instance: its limits, what is known of it, and on which threads it runs.

use crate::{
    authority::unsound_host,
    connection_state::Caller,
    dedicated_threads::{DedicatedThreads, Entrance},
    deliveries::Recipient,
    generation::ServedGeneration,
    limited::limit,
    mounted::X_FORWARDED_PREFIX,
    page_cookie::remove_page_cookie,
    plugin_call::{PluginCall, RequestExtras, too_large},
    problem::{self, Problem},
    relay::RequestedUpgrade,
    request_id::request_id,
    responding::{IncomingBody, Responding},
    server_headers::ServerHeaders,
    thread_activity::RequestLine,
    trace_context::{Ids, hex, trace_id},
};
use camlock_policy::{
    Answer, Body, BoxFuture, Call, Fault, Instance, Isolation, Lease, RequestId, RequestLimits, Use, routes,
};
use http::{Method, Request, StatusCode};
use http_body::Body as _;
use std::{sync::Arc, time::Duration};
use tracing::Instrument;

/// So long at most a request waits for what takes the place of a process that is gone. Whoever looks after plugins says sooner that there
/// is none.
pub(crate) const AFTER_A_PROCESS: Duration = Duration::from_secs(60);

/// The target of all that plugins say, and of the spans that a plugin's code runs in.
pub const PLUGIN_TARGET: &str = "camlock::plugin";

/// A generation as a table holds it: what answers, and the table's lease.
pub(crate) struct PluginService {
    generation: Arc<ServedGeneration>,
    instance: Arc<dyn Instance>,
    limits: RequestLimits,
    lease: Lease,
    /// It has a process of its own.
    has_process: bool,
}

impl PluginService {
    pub(crate) fn new(serving: routes::Serving, generation: Arc<ServedGeneration>) -> Self {
        let routes::Serving { instance, lease, limits, .. } = serving;
        let has_process = instance.isolation() == Isolation::Process;
        PluginService { generation, instance, limits, lease, has_process }
    }

    /// The plugin's name.
    pub(crate) fn plugin(&self) -> &str {
        &self.generation.name
    }

    /// Whether its process is gone: what comes now is for whatever takes its place.
    #[inline]
    pub(crate) fn is_gone(&self) -> bool {
        self.has_process && self.instance.is_gone()
    }

    /// What takes what the host brings.
    pub(crate) fn recipient(&self) -> Recipient {
        if self.is_gone() {
            return Recipient::Held(AFTER_A_PROCESS);
        }
        Recipient::Generation(self.generation.clone(), self.instance.clone(), self.lease.share(Use::Request))
    }

    /// Counts the panics that there were until now.
    pub(crate) fn see_panics(&self) {
        self.generation.see_panics(self.instance.panics());
    }

    /// Answers a request of a client, unless the plugin's limits forbid it.
    pub(crate) fn answer(&self, mut request: Request<impl IncomingBody>, caller: &Caller, mount: usize) -> Responding {
        let RequestLimits { timeout, body: largest, concurrency } = self.limits;
        if let Some(largest) = largest.filter(|largest| request.body().size_hint().lower() > *largest) {
            self.generation.meter.answered(StatusCode::PAYLOAD_TOO_LARGE, Duration::ZERO);
            return too_large(&self.generation.name, largest).into();
        }
        let headers = request.headers();
        let observed = ServerHeaders::of(headers);
        // Whoever serves in our place has checked that.
        if caller.connection.is_some()
            && let Some(why) = unsound_host(&request, &observed)
        {
            return problem::unsound_host(why).into();
        }
        let Some(in_flight) = self.generation.enter(concurrency) else {
            return too_many(&self.generation.name, concurrency).into();
        };
        let upgrade = observed.asks_for_upgrade(headers) && request.method() != Method::CONNECT;
        let (trace_id, request_id) = (trace_id(observed.trace_parent), request_id(observed.request_id));
        let (tells_prefix, brings_cookies) = (observed.tells_prefix, observed.brings_cookies);
        let ids = Ids::new(&request_id, trace_id);
        let mounted = self.generation.rewrites && mount > 0;
        if mounted && tells_prefix {
            // What a client says of it counts for nothing.
            request.headers_mut().remove(X_FORWARDED_PREFIX);
        }
        if brings_cookies {
            remove_page_cookie(request.headers_mut());
        }
        let (plugin, generation) = (&*self.generation.name, self.generation.number);
        let span = tracing::debug_span!(
            target: PLUGIN_TARGET, "request", plugin, generation, request_id = request_id.as_str(), trace_id = hex(trace_id)
        );
        // From here on the request stays where it is: it is large.
        let mut call = Call {
            mount,
            tells_mount: mounted,
            peer: caller.peer,
            request_id,
            trace_id,
            upgrade,
            request: request.map(Body::stream),
        };
        let extras = self.extras(&mut call, caller);
        let line = RequestLine::of(&call.request);
        let call = match self.generation.dedicated_threads() {
            // The author's code runs when it is polled.
            None => self.instance.call(call),
            Some(threads) => self.call_dedicated(threads, &line, call),
        };
        let call = if span.is_disabled() { call } else { Box::pin(call.instrument(span)) };
        Responding::Plugin(PluginCall { call: Some(call), in_flight, line, ids, timeout, mounted, timer: None, extras })
    }
}

impl PluginService {
    #[cold]
    fn call_dedicated(
        &self,
        threads: &DedicatedThreads,
        line: &RequestLine,
        call: Call,
    ) -> BoxFuture<Result<Answer, Fault>> {
        let owned = (&self.instance, self.lease.share(Use::Request));
        threads.call(Entrance::Request, owned, self.generation.key, line.clone(), call)
    }

    /// What this request needs that few do.
    #[inline(never)]
    fn extras(&self, call: &mut Call, caller: &Caller) -> Option<Box<RequestExtras>> {
        // A body that is known to be small enough is not watched.
        let upper = call.request.body().size_hint().upper();
        let largest = self.limits.body.filter(|largest| upper.is_none_or(|upper| upper > *largest));
        if !call.upgrade && largest.is_none() && !matches!(call.request_id, RequestId::Sent(_)) {
            return None;
        }
        let mut extras = Box::new(RequestExtras::default());
        if call.upgrade {
            let upgrade = hyper::upgrade::on(&mut call.request);
            extras.upgrade = Some(RequestedUpgrade { upgrade, connection: caller.connection.clone() });
        }
        if let RequestId::Sent(id) = &call.request_id {
            extras.echo = Some(id.clone());
        }
        if let Some(largest) = largest {
            let (body, watched) = limit(std::mem::take(call.request.body_mut()), largest);
            *call.request.body_mut() = body;
            extras.exceeded = watched.map(|watched| (watched, largest));
        }
        Some(extras)
    }
}

impl Drop for PluginService {
    fn drop(&mut self) {
        self.see_panics();
    }
}

#[cold]
fn too_many(plugin: &str, concurrency: usize) -> Problem {
    let detail = format!("the plugin has {concurrency} requests to answer and takes no more at once: try again soon");
    Problem::of(plugin, StatusCode::SERVICE_UNAVAILABLE, detail).passing()
}
