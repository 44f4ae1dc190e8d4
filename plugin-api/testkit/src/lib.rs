//! Runs a plugin inside its own tests: no server, no library, the author's type as it is.
//!
//! ```
//! use camlock_plugin::prelude::*;
//! use camlock_testkit::Running;
//!
//! struct Hello;
//!
//! impl Plugin for Hello {
//!     async fn create(_host: Host) -> Result<Self> {
//!         Ok(Hello)
//!     }
//!     fn routes(self: Arc<Self>) -> impl Into<Routes> {
//!         Router::new().route("/hello", get(|| async { "Hello!" }))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let hello = Running::<Hello>::start().await?;
//! assert_eq!(hello.get("/hello").await.text(), "Hello!");
//! hello.stop().await;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

#[cfg(feature = "services")]
mod hosted;
#[cfg(feature = "services")]
mod queued;
mod setup;

#[cfg(feature = "services")]
pub use crate::queued::QueuedTask;
pub use crate::setup::Setup;
use axum::{Router, body::Body};
use bytes::Bytes;
use camlock_plugin::{Config, Due, Event, Execution, Host, Plugin, Result, Routes, Taken, Task, Value};
use http::{Request, Response};
use http_body_util::BodyExt;
use serde::Serialize;
use std::{ops::Deref, sync::Arc};
use tower::ServiceExt;

/// A plugin that was created and started.
pub struct Running<P> {
    plugin: Arc<P>,
    host: Host,
    router: Router,
    openapi: Option<String>,
    #[cfg(feature = "services")]
    services: Option<Arc<hosted::HostedServices>>,
}

impl<P: Plugin> Running<P> {
    /// Creates and starts the plugin, as a server would.
    pub async fn start() -> Result<Self> {
        Setup::new().start().await
    }

    /// The same, with a configuration: what becomes a JSON object, such as `json!({"rows": 3})`.
    pub async fn with_config(config: impl Serialize) -> Result<Self> {
        Setup::new().config(config)?.start().await
    }

    pub(crate) async fn start_in(host: Host) -> Result<Self> {
        let plugin = Arc::new(P::create(host.clone()).await?);
        let routes: Routes = plugin.clone().routes().into();
        let openapi = routes.openapi().map(str::to_owned);
        plugin.start().await?;
        Ok(Running {
            plugin,
            host,
            router: routes.into_router(),
            openapi,
            #[cfg(feature = "services")]
            services: None,
        })
    }

    #[cfg(feature = "services")]
    pub(crate) fn with_services(self, services: Arc<hosted::HostedServices>) -> Self {
        let (plugin, host) = (self.plugin.clone(), self.host.clone());
        services.work().serve(camlock_plugin::__private::deliveries_in_program(plugin, host));
        Running { services: Some(services), ..self }
    }

    #[cfg(feature = "services")]
    fn hosted(&self) -> &hosted::HostedServices {
        self.services.as_deref().expect("they are there once it was started")
    }

    /// What it has emitted so far, in order: by `host.events()`, and in transactions that were committed.
    #[cfg(feature = "services")]
    pub async fn emitted(&self) -> Result<Vec<Event>> {
        self.hosted().work().emitted().await
    }

    /// What it has enqueued so far, in order: by `host.tasks()`, and in transactions that were committed.
    #[cfg(feature = "services")]
    pub async fn enqueued(&self) -> Result<Vec<QueuedTask>> {
        self.hosted().work().enqueued().await
    }

    /// Has the plugin do what it has enqueued and what is due, and what that enqueues, until nothing of that waits any more: as a server
    /// would, with attempts, time limits and retries. What waits for its time begins once it is late enough: see `advance`.
    #[cfg(feature = "services")]
    pub async fn run_tasks(&self) -> Result<()> {
        self.hosted().work().run_tasks().await
    }

    /// It is later from now on, for what the host keeps: values expire, and tasks are due.
    #[cfg(feature = "services")]
    pub fn advance(&self, by: std::time::Duration) {
        if let Some(services) = &self.services {
            services.advance(by);
        }
    }

    /// The author's value.
    pub fn plugin(&self) -> &Arc<P> {
        &self.plugin
    }

    /// The OpenAPI document, as JSON.
    pub fn openapi(&self) -> Option<&str> {
        self.openapi.as_deref()
    }

    /// Hands it another configuration while it runs, as a server would.
    pub async fn configure(&self, config: impl Serialize) -> Result<Taken> {
        let config = Config::new(config)?;
        let taken = self.plugin.configure(config.clone()).await?;
        if taken == Taken::Live {
            self.host.take_over(config);
        }
        Ok(taken)
    }

    /// Has it work something out, as a host would.
    pub async fn execute(&self, input: impl Into<Value>) -> Result<Value> {
        self.plugin.execute(Execution::new(input)).await
    }

    /// Has it hear of an event, as a host would: with the feature `services` by the manifest's subscription that names the topic, or not
    /// at all.
    pub async fn hear(&self, event: Event) -> Result<()> {
        #[cfg(feature = "services")]
        let event = self.hosted().subscribed(event)?;
        self.plugin.event(event).await
    }

    /// Has it do a task that nobody enqueued: one attempt, with what runs before and after it.
    pub async fn task(&self, task: Task) -> Result<Value> {
        self.plugin.before_task(&task).await?;
        let outcome = self.plugin.task(task.clone()).await;
        self.plugin.after_task(&task, &outcome).await;
        outcome
    }

    /// Has it do what a schedule says, at that time.
    pub async fn schedule(&self, due: Due) -> Result<()> {
        self.plugin.schedule(due).await
    }

    /// Sends a request, with the path as the plugin's router sees it.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("the plugin's body does not break off").to_bytes();
        Answer(Response::from_parts(parts, bytes))
    }

    /// Sends a GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).expect("a good path")).await
    }

    /// Sends a POST with a JSON document.
    pub async fn post_json(&self, path: &str, document: impl Into<Bytes>) -> Answer {
        let request = Request::post(path).header("content-type", "application/json");
        self.send(request.body(Body::from(document.into())).expect("a good path")).await
    }

    /// Shuts the plugin down.
    pub async fn stop(self) {
        self.plugin.shutdown().await;
    }
}

impl<P> std::fmt::Debug for Running<P> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Running").finish_non_exhaustive()
    }
}

/// A response that was read whole.
#[derive(Debug)]
pub struct Answer(Response<Bytes>);

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.0.body()).into_owned()
    }
}

impl Deref for Answer {
    type Target = Response<Bytes>;
    fn deref(&self) -> &Response<Bytes> {
        &self.0
    }
}

/// The guide's code blocks are compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/plugin-authors.md")]
struct AuthorsGuide;
