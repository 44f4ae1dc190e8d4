//! An isolated plugin as core's `Instance`.

use super::{leased::leased, talk::OrderSender};
use crate::{
    bounds::ProcessUse,
    control::words::{LifeAnswer, LifeCall, RunnerCounts},
    frames::RequestKind,
    link::Link,
};
use camlock_policy::{
    Answer, AskError, AskErrorCode, Asker, BoxFuture, Call, Description, Fault, Instance, Isolation, Lease,
    ProcessView, ReplacedDocument, Saved, Services, Use,
};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::watch;

/// The owner's handle. With it, and with what it gave out, the generation ends.
pub(super) struct IsolatedInstance {
    pub(super) description: Description,
    pub(super) link: Link,
    pub(super) orders: OrderSender,
    pub(super) counts: Arc<Mutex<RunnerCounts>>,
    pub(super) document: ReplacedDocument,
    pub(super) uses: ProcessUse,
    /// How its process ended, once it has.
    pub(super) died: watch::Receiver<Option<String>>,
    /// The owner's lease.
    pub(super) lease: Lease,
}

impl IsolatedInstance {
    fn ask(&self, kind: RequestKind, call: Call) -> BoxFuture<Result<Answer, Fault>> {
        let lease = self.lease.share(Use::Request);
        let asking = self.link.ask(kind, call);
        Box::pin(async move {
            let answer = asking.await?;
            Ok(leased(answer, &lease))
        })
    }

    fn live(&self, call: LifeCall, tail: Vec<u8>) -> BoxFuture<Result<(LifeAnswer, Vec<u8>), Fault>> {
        let lease = self.lease.share(Use::Job);
        let calling = self.orders.clone().call(call, tail);
        Box::pin(async move {
            let outcome = calling.await;
            drop(lease);
            outcome
        })
    }

    fn live_quietly(&self, call: LifeCall, tail: Vec<u8>) -> BoxFuture<Result<(), Fault>> {
        let calling = self.live(call, tail);
        Box::pin(async move { calling.await.map(drop) })
    }
}

impl Instance for IsolatedInstance {
    fn description(&self) -> &Description {
        &self.description
    }

    fn call(&self, call: Call) -> BoxFuture<Result<Answer, Fault>> {
        self.ask(RequestKind::Call, call)
    }

    fn deliver(&self, call: Call) -> BoxFuture<Result<Answer, Fault>> {
        self.ask(RequestKind::Delivery, call)
    }

    fn start(&self) -> BoxFuture<Result<(), Fault>> {
        self.live_quietly(LifeCall::Start, Vec::new())
    }

    fn health(&self) -> BoxFuture<Result<(), Fault>> {
        self.live_quietly(LifeCall::Health, Vec::new())
    }

    fn save(&self) -> BoxFuture<Result<Option<Vec<u8>>, Fault>> {
        let saving = self.live(LifeCall::Save, Vec::new());
        Box::pin(async move { saving.await.map(|(answer, state)| (answer == LifeAnswer::State).then_some(state)) })
    }

    fn restore(&self, saved: Saved) -> BoxFuture<Result<(), Fault>> {
        self.live_quietly(LifeCall::Restore { version: saved.version }, saved.state)
    }

    fn configure(&self, config: Arc<str>) -> BoxFuture<Result<bool, Fault>> {
        let taking = self.live(LifeCall::Configure { config: config.as_ref().to_owned() }, Vec::new());
        Box::pin(async move { taking.await.map(|(answer, _)| answer == LifeAnswer::Taken(true)) })
    }

    fn replaced_document(&self) -> Option<Arc<str>> {
        self.document.get()
    }

    fn panics(&self) -> u64 {
        self.counts.lock().panics
    }

    fn memory(&self) -> Option<u64> {
        self.counts.lock().memory
    }

    fn descriptors(&self) -> Option<u64> {
        self.counts.lock().descriptors
    }

    fn process(&self) -> Option<ProcessView> {
        Some(self.uses.lock().clone())
    }

    fn shutdown(&self) -> BoxFuture<Result<(), Fault>> {
        self.live_quietly(LifeCall::Shutdown, Vec::new())
    }

    fn isolation(&self) -> Isolation {
        Isolation::Process
    }

    fn is_gone(&self) -> bool {
        self.link.is_closed()
    }

    fn died(&self) -> BoxFuture<String> {
        let mut died = self.died.clone();
        Box::pin(async move {
            let why = died.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
            match why {
                Some(why) => why,
                // Nobody watches over it any more: it was let go of.
                None => std::future::pending().await,
            }
        })
    }
}

/// Answers what the plugin asks of its host.
pub(super) struct ServeAsks {
    pub(super) asker: Asker,
    pub(super) services: Option<Arc<dyn Services>>,
}

impl crate::link::Serve for ServeAsks {
    fn takes(&self, kind: RequestKind) -> bool {
        kind == RequestKind::Ask
    }

    fn serve(&self, _: RequestKind, call: Call) -> BoxFuture<Result<Answer, Fault>> {
        let Some(services) = &self.services else {
            let error = AskError::new(AskErrorCode::Unavailable, "not here: this host has no services");
            return Box::pin(async { Ok(Answer { response: error.into(), connection: None }) });
        };
        let answering = services.ask(&self.asker, call.request);
        Box::pin(async move { Ok(Answer { response: answering.await, connection: None }) })
    }
}
