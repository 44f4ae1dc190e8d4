//! What comes of a request, wherever it went.

use crate::{plugin_call::PluginCall, problem::Problem};
use bytes::Bytes;
use camlock_policy::{Body, BodyError, never};
use http::Response;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// The future of a response.
pub struct Dispatched(pub(crate) Responding);

#[allow(clippy::large_enum_variant, reason = "nearly all are plugins' answers")]
pub(crate) enum Responding {
    /// A plugin answers.
    Plugin(PluginCall),
    /// It is known already.
    Now(Option<Response<Body>>),
    /// The host answers, or there is something to wait for.
    Later(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
}

impl From<Problem> for Responding {
    fn from(problem: Problem) -> Self {
        Responding::Now(Some(problem.response()))
    }
}

impl Future for Dispatched {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            Responding::Plugin(call) => Pin::new(call).poll(context),
            Responding::Now(response) => Poll::Ready(Ok(response.take().unwrap_or_else(|| {
                never!("an answer that was given is asked for again");
                Response::default()
            }))),
            Responding::Later(later) => later.as_mut().poll(context).map(Ok),
        }
    }
}

/// The bodies of requests: hyper's own, where `Front` serves, or axum's, in somebody else's server.
pub(crate) trait IncomingBody:
    http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + Unpin + 'static
{
}

impl<B> IncomingBody for B where B: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + Unpin + 'static {}
