//! From a path to the plugin that answers it.

use crate::{
    problem,
    service::{Answering, PluginService},
};
use arc_swap::ArcSwap;
use camlock_core::{Body, Instance};
use http::{Request, Response};
use hyper::body::Incoming;
use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Where every plugin is mounted.
pub const MOUNTS: &str = "/api/v1/p/";

/// The plugins that are served, each under its mount `/api/v1/p/NAME`.
///
/// One immutable table behind an atomic pointer. Connections hold this, not the table, so an idle one keeps no plugin.
#[derive(Clone, Default)]
pub struct Dispatch {
    table: Arc<ArcSwap<Table>>,
    peer: Option<SocketAddr>,
}

type Table = HashMap<String, PluginService>;

impl Dispatch {
    /// Serves these instances.
    pub fn new(instances: impl IntoIterator<Item = Arc<dyn Instance>>) -> Self {
        let dispatch = Dispatch::default();
        dispatch.replace(instances);
        dispatch
    }

    /// Serves these instances from now on, and no others. Requests that have begun are not disturbed.
    pub fn replace(&self, instances: impl IntoIterator<Item = Arc<dyn Instance>>) {
        let services = instances.into_iter().map(|instance| {
            let name = instance.description().manifest.name.clone();
            let mount = format!("{MOUNTS}{name}");
            (name, PluginService::new(instance, &mount))
        });
        self.table.store(Arc::new(services.collect()));
    }

    /// The same, for one connection.
    #[must_use]
    pub fn for_peer(&self, peer: SocketAddr) -> Self {
        Dispatch { table: self.table.clone(), peer: Some(peer) }
    }
}

fn find<'a>(table: &'a Table, path: &str) -> Option<&'a PluginService> {
    let rest = path.strip_prefix(MOUNTS)?;
    table.get(rest.split_once('/').map_or(rest, |(name, _)| name))
}

impl hyper::service::Service<Request<Incoming>> for Dispatch {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Dispatched;

    fn call(&self, request: Request<Incoming>) -> Dispatched {
        let table = self.table.load();
        match find(&table, request.uri().path()) {
            Some(service) => Dispatched::Plugin(service.answer(request, self.peer)),
            None => Dispatched::Nothing(Some(problem::nothing_there(request.uri().path()))),
        }
    }
}

/// The future of a response.
#[allow(clippy::large_enum_variant, reason = "nearly all are plugins' answers")]
pub enum Dispatched {
    /// A plugin answers.
    Plugin(Answering),
    /// Nobody does.
    Nothing(Option<Response<Body>>),
}

impl Future for Dispatched {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Dispatched::Plugin(answering) => Pin::new(answering).poll(context).map(Ok),
            Dispatched::Nothing(response) => Poll::Ready(Ok(response.take().unwrap_or_default())),
        }
    }
}
