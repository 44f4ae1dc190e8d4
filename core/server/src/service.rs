//! The way of a request into a plugin's instance, and of its answer back.

use crate::{problem, relay::relay, trace_context::trace_id};
use camlock_core::{Answer, Body, BoxFuture, Call, Fault, Instance};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// Serves one plugin under a mount.
#[derive(Clone)]
pub struct PluginService {
    instance: Arc<dyn Instance>,
    mount: Arc<str>,
}

impl PluginService {
    /// Serves `instance` under `mount` (`""`: everywhere), which the plugin does not see.
    pub fn new(instance: Arc<dyn Instance>, mount: &str) -> Self {
        PluginService { instance, mount: mount.into() }
    }

    /// Answers a request of a client.
    pub fn answer(&self, mut request: Request<Incoming>, peer: Option<SocketAddr>) -> Answering {
        let asks = asks_for_upgrade(&request);
        let client = asks.then(|| hyper::upgrade::on(&mut request));
        let call = Call {
            mount: if request.uri().path().starts_with(&*self.mount) { self.mount.len() } else { 0 },
            peer,
            request_id: String::new(),
            trace_id: trace_id(request.headers()),
            upgrade: asks,
            request: request.map(Body::stream),
        };
        Answering { call: self.instance.call(call), instance: self.instance.clone(), client }
    }
}

/// The future of a plugin's response.
pub struct Answering {
    // First: it is dropped before the instance it came from.
    call: BoxFuture<Result<Answer, Fault>>,
    instance: Arc<dyn Instance>,
    client: Option<OnUpgrade>,
}

impl Future for Answering {
    type Output = Response<Body>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response<Body>> {
        match ready!(self.call.as_mut().poll(context)) {
            Ok(Answer { response, connection }) => {
                if let (StatusCode::SWITCHING_PROTOCOLS, Some(plugin)) = (response.status(), connection) {
                    match self.client.take() {
                        Some(client) => relay(client, plugin),
                        None => tracing::warn!("a plugin switched protocols although nobody asked it to"),
                    }
                }
                Poll::Ready(response)
            }
            Err(fault) => {
                let plugin = &self.instance.description().manifest.name;
                tell(plugin, &fault);
                Poll::Ready(problem::of_fault(plugin, &fault))
            }
        }
    }
}

fn tell(plugin: &str, fault: &Fault) {
    let backtrace = fault.backtrace.join("\n");
    tracing::error!(plugin, location = fault.location, backtrace, "{:?}: {}", fault.kind, fault.message);
}

/// Whether the request asks for another protocol, in the way HTTP/1.1 does.
fn asks_for_upgrade(request: &Request<Incoming>) -> bool {
    let headers: &HeaderMap = request.headers();
    headers.contains_key(header::UPGRADE)
        && request.method() != Method::CONNECT
        && headers.get_all(header::CONNECTION).iter().any(|value| {
            value.to_str().is_ok_and(|text| text.split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade")))
        })
}
