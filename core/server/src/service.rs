//! The way of a request into a plugin's instance, and of its answer back.

use crate::{problem, relay::relay, trace_context::trace_id};
use camlock_core::{Body, Call, Fault, Instance};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use std::{future::Future, net::SocketAddr, sync::Arc};

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
    pub fn answer(
        &self,
        mut request: Request<Incoming>,
        peer: Option<SocketAddr>,
    ) -> impl Future<Output = Response<Body>> + Send + use<> {
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
        answer(self.instance.clone(), call, client)
    }
}

async fn answer(instance: Arc<dyn Instance>, call: Call, client: Option<OnUpgrade>) -> Response<Body> {
    match instance.call(call).await {
        Ok(mut answer) => {
            if let (StatusCode::SWITCHING_PROTOCOLS, Some(plugin)) =
                (answer.response.status(), answer.connection.take())
            {
                match client {
                    Some(client) => relay(client, plugin),
                    None => tracing::warn!("a plugin switched protocols although nobody asked it to"),
                }
            }
            answer.response
        }
        Err(fault) => {
            let plugin = &instance.description().manifest.name;
            tell(plugin, &fault);
            problem::of_fault(plugin, &fault)
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
