//! Camlock's routes in somebody else's router.

use crate::Camlock;
use axum::Router;
use camlock_http::{Dispatch, Dispatched};
use http::Request;
use std::{
    convert::Infallible,
    task::{Context, Poll},
};
use tower_service::Service;

/// What answers there. As long as it is somewhere, Camlock is not dropped.
#[derive(Clone)]
struct CamlockRoutes {
    dispatch: Dispatch,
    _camlock: Camlock,
}

impl Camlock {
    /// A router of plugins and of Camlock's own paths, to be merged into the program's own, or to be nested in it.
    ///
    /// It has no routes but a fallback: paths of the program come first, then plugins, then Camlock's own; the rest is 404. To
    /// know clients by their addresses, serve the program's router with `into_make_service_with_connect_info::<SocketAddr>()`.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        self.look_after();
        Router::new().fallback_service(CamlockRoutes { dispatch: self.dispatch().clone(), _camlock: self.clone() })
    }
}

impl Service<axum::extract::Request> for CamlockRoutes {
    type Response = http::Response<camlock_policy::Body>;
    type Error = Infallible;
    type Future = Dispatched;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<axum::body::Body>) -> Dispatched {
        Service::call(&mut self.dispatch, request)
    }
}
