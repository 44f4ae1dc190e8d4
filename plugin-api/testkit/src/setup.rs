//! What a plugin finds in its tests: a configuration, and services that a host's program would bring. What must not live here:
//! the plugin.

use crate::Running;
use axum::body::Body;
use camlock_plugin::{Answering, Config, Host, HostError, Plugin, Result};
use http::{Request, Response};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, future::Future, sync::Arc};

/// What a plugin finds around it.
///
/// ```
/// use axum::{body::Body, http::{Request, Response}};
/// use camlock_plugin::{HostError, HostErrorCode, prelude::*};
/// use camlock_testkit::Setup;
///
/// struct Counting(Host);
///
/// impl Plugin for Counting {
///     async fn create(host: Host) -> Result<Self> {
///         Ok(Counting(host))
///     }
///     fn routes(self: Arc<Self>) -> impl Into<Routes> {
///         let count = async |State(plugin): State<Arc<Counting>>| {
///             let question = Request::get("/sessions/1/count").body(Body::empty()).expect("a request");
///             match plugin.0.ask(question).await {
///                 Ok(answer) => answer,
///                 Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
///             }
///         };
///         Router::new().route("/count", get(count)).with_state(self)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let three = async |_: Request<Body>| Ok(Response::new(Body::from("3")));
/// let counting = Setup::new().service("sessions/1", three).start::<Counting>().await?;
/// assert_eq!(counting.get("/count").await.text(), "3");
///
/// let denied = async |_: Request<Body>| Err(HostError::new(HostErrorCode::Denied, "not granted"));
/// let counting = Setup::new().service("sessions/1", denied).start::<Counting>().await?;
/// assert_eq!(counting.get("/count").await.text(), "not granted");
///
/// let nobody = Setup::new().start::<Counting>().await?;
/// assert_eq!(nobody.get("/count").await.text(), "not here: this host has no service `sessions/1`");
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct Setup {
    config: Option<Config>,
    services: BTreeMap<String, TestService>,
    #[cfg(feature = "services")]
    granted: Option<Vec<String>>,
}

type TestService = Box<dyn Fn(Request<Body>) -> Answering + Send + Sync>;

impl fmt::Debug for Setup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services: Vec<_> = self.services.keys().collect();
        let mut shown = formatter.debug_struct("Setup");
        shown.field("config", &self.config).field("services", &services).finish_non_exhaustive()
    }
}

impl Setup {
    /// Nothing.
    pub fn new() -> Self {
        Setup::default()
    }

    /// A configuration: what becomes a JSON object, such as `json!({"rows": 3})`.
    pub fn config(mut self, config: impl Serialize) -> Result<Self> {
        self.config = Some(Config::new(config)?);
        Ok(self)
    }

    /// A service by its name and version, `sessions/1`: it answers what the plugin asks by paths that begin so.
    pub fn service<F, Answer>(mut self, name: &str, service: F) -> Self
    where
        F: Fn(Request<Body>) -> Answer + Send + Sync + 'static,
        Answer: Future<Output = Result<Response<Body>, HostError>> + Send + 'static,
    {
        self.services.insert(name.to_owned(), Box::new(move |request| Box::pin(service(request))));
        self
    }

    /// What is granted, of all that the manifest asks for: as if an operator had decided that. Without this it is all of it.
    #[cfg(feature = "services")]
    pub fn granted<'a>(mut self, permissions: impl IntoIterator<Item = &'a str>) -> Self {
        self.granted = Some(permissions.into_iter().map(str::to_owned).collect());
        self
    }

    /// Creates and starts the plugin, as a server would.
    #[cfg(not(feature = "services"))]
    pub async fn start<P: Plugin>(self) -> Result<Running<P>> {
        let Setup { config, services } = self;
        let services = Arc::new(move |request: Request<Body>| match of_test(&services, &request) {
            Some(service) => service(request),
            None => Box::pin(std::future::ready(Err(nobody(&request)))),
        });
        Running::start_in(Host::in_program_asking(config.unwrap_or_else(Config::empty), Some(services))).await
    }

    /// Creates and starts the plugin, as a server would: with its migrations run, and what a server keeps for it at hand.
    #[cfg(feature = "services")]
    pub async fn start<P: Plugin>(self) -> Result<Running<P>> {
        let Setup { config, services, granted } = self;
        let hosted = Arc::new(crate::hosted::HostedServices::open(granted.as_deref()).await?);
        let theirs = hosted.clone();
        let services = Arc::new(move |request: Request<Body>| match of_test(&services, &request) {
            Some(service) => service(request),
            None => {
                let hosted = theirs.clone();
                Box::pin(async move { hosted.ask(request).await })
            }
        });
        let host = Host::in_program_asking(config.unwrap_or_else(Config::empty), Some(services));
        Ok(Running::start_in(host).await?.with_services(hosted))
    }
}

fn service_name(request: &Request<Body>) -> &str {
    let path = request.uri().path().trim_start_matches('/');
    let end = path.match_indices('/').nth(1).map_or(path.len(), |(end, _)| end);
    &path[..end]
}

/// What the test answers itself.
fn of_test<'a>(services: &'a BTreeMap<String, TestService>, request: &Request<Body>) -> Option<&'a TestService> {
    services.get(service_name(request))
}

#[cfg(not(feature = "services"))]
fn nobody(request: &Request<Body>) -> HostError {
    let told = format!("not here: this host has no service `{}`", service_name(request));
    HostError::new(camlock_plugin::HostErrorCode::Unavailable, told)
}
