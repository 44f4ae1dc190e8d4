//! Plugins that are closures.

use camlock_policy::{
    Answer, Body, BoxFuture, Call, Description, Fault, FaultKind, Instance, Lease, RequestLimits, Saved, Use, manifest,
    routes::{Routed, Serving, Target},
};
use http::Response;
use std::sync::Arc;
use tokio::sync::watch;

type Handler = Box<dyn Fn(Call, Lease) -> BoxFuture<Result<Answer, Fault>> + Send + Sync>;

/// An instance that answers with a closure's future, which has a lease.
pub struct Fake {
    description: Description,
    lease: Lease,
    handler: Handler,
}

/// A generation of a fake, for a table.
pub struct Generation {
    pub serving: Serving,
    pub farewell: watch::Sender<bool>,
}

impl Fake {
    pub fn generation<F>(
        name: &str,
        number: u64,
        handler: impl Fn(Call, Lease) -> F + Send + Sync + 'static,
    ) -> Generation
    where
        F: Future<Output = Result<Answer, Fault>> + Send + 'static,
    {
        let lease = Lease::first(|| {});
        let package = [("name", name), ("version", "0.1.0")];
        let package = package.map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec())).into();
        let manifest = manifest::read(&package, b"").expect("a manifest");
        let instance = Fake {
            description: Description { manifest, openapi: None },
            lease: lease.share(Use::Owner),
            handler: Box::new(move |call, lease| Box::pin(handler(call, lease))),
        };
        let (farewell, told) = watch::channel(false);
        let serving = Serving {
            name: name.into(),
            generation: number,
            instance: Arc::new(instance),
            lease,
            limits: RequestLimits::default(),
            farewell: told,
        };
        Generation { serving, farewell }
    }

    /// One that answers every request with this.
    pub fn saying(name: &str, number: u64, text: &'static str) -> Generation {
        Fake::generation(name, number, move |_, _| async move { Ok(text_answer(text)) })
    }
}

impl Generation {
    pub fn limited(mut self, limits: RequestLimits) -> Self {
        self.serving.limits = limits;
        self
    }

    pub fn routed(&self, claims: &[&str]) -> Routed<Target> {
        self.serving.clone().routed(claims.iter().map(|claim| (*claim).to_owned()).collect())
    }
}

pub fn text_answer(text: impl Into<String>) -> Answer {
    Answer { response: Response::new(Body::from(text.into())), connection: None }
}

impl Instance for Fake {
    fn description(&self) -> &Description {
        &self.description
    }
    fn call(&self, call: Call) -> BoxFuture<Result<Answer, Fault>> {
        (self.handler)(call, self.lease.share(Use::Request))
    }
    fn deliver(&self, _: Call) -> BoxFuture<Result<Answer, Fault>> {
        Box::pin(async { Err(Fault::new(FaultKind::Error, "nothing is delivered")) })
    }
    fn start(&self) -> BoxFuture<Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }
    fn health(&self) -> BoxFuture<Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }
    fn save(&self) -> BoxFuture<Result<Option<Vec<u8>>, Fault>> {
        Box::pin(async { Ok(None) })
    }
    fn restore(&self, _saved: Saved) -> BoxFuture<Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }
    fn panics(&self) -> u64 {
        0
    }
    fn shutdown(&self) -> BoxFuture<Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }
}
