//! What the host brings to plugins beside requests of clients: the port by which services reach the generation that serves. What
//! must not live here: what is brought.

use crate::{Body, BoxFuture, Fault, Instance};
use http::{Request, Response};
use std::{fmt, sync::Arc};

/// Something for a plugin, to be answered as a request is.
#[derive(Debug)]
pub struct Delivery {
    /// What is brought: a path that begins with what it is and its version (`/execute/1`), and a body.
    pub request: Request<Body>,
    /// The W3C trace id that it belongs to, or zeros.
    pub trace_id: [u8; 16],
}

impl Delivery {
    /// This body, by this path.
    pub fn new(path: &'static str, body: impl Into<Body>, trace_id: [u8; 16]) -> Self {
        let mut request = Request::new(body.into());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = http::Uri::from_static(path);
        Delivery { request, trace_id }
    }
}

/// What a plugin answered.
#[derive(Debug)]
pub struct Delivered {
    /// The generation that did.
    pub generation: u64,
    /// With what.
    pub response: Response<Body>,
}

/// Why something did not reach a plugin, or was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// Nothing of the plugin serves, and why, in one sentence. None of its code ran.
    NotServing(String),
    /// It did not end before its generation had to go: it was cancelled.
    Leaving,
    /// The plugin failed at it.
    Failed {
        /// The generation that did.
        generation: u64,
        /// How.
        fault: Fault,
    },
}

impl fmt::Display for Undelivered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Undelivered::NotServing(why) => formatter.write_str(why),
            Undelivered::Leaving => formatter.write_str("it did not end before its generation had to go"),
            Undelivered::Failed { fault, .. } => fault.fmt(formatter),
        }
    }
}

impl std::error::Error for Undelivered {}

/// Brings something to whatever serves of a plugin.
pub trait Deliver: Send + Sync {
    /// Brings it, on threads that are that generation's own: it may block them as it likes. Dropping the future cancels it. The
    /// answer's body, as long as it is read, holds the generation as that of a request does.
    fn deliver(&self, plugin: &str, delivery: Delivery) -> BoxFuture<Result<Delivered, Undelivered>>;
}

/// The same, and what they are that serve.
pub trait ServedPlugins: Deliver {
    /// What serves of a plugin, and its generation, to be looked at and let go of; none if nothing does, or not now.
    fn serving(&self, plugin: &str) -> Option<(u64, Arc<dyn Instance>)>;
}
