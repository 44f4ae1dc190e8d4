//! A loaded plugin as core's `Instance`.

use crate::{
    call::{CallKind, Calling},
    functions::Functions,
    host::HostSide,
    inside::Inside,
    job::LeasedJob,
    memory::MemoryCounter,
    spanned,
    suspects::{GenerationName, MarkedStep, Suspects},
};
use camlock_abi::{Job, RSlice, RStr, TAKEN_LIVE};
use camlock_policy::{Answer, BoxFuture, Call, Description, Digest, Fault, Instance, Lease, Saved, Use};
use std::sync::Arc;
use tracing::Instrument;

/// The owner's handle. When it and all that it gave out are gone, the generation ends.
pub(crate) struct PluginInstance {
    pub(crate) functions: Functions,
    pub(crate) side: Arc<HostSide>,
    pub(crate) description: Description,
    pub(crate) memory: Option<MemoryCounter>,
    /// Where it is written down that it starts, and which artifact it is.
    pub(crate) watched: Option<(Arc<Suspects>, Digest)>,
    /// The owner's lease. Last, so that it outlives the rest.
    pub(crate) lease: Lease,
}

impl PluginInstance {
    fn run(&self, make: impl FnOnce(Functions) -> Job) -> BoxFuture<Result<Vec<u8>, Fault>> {
        let lease = self.lease.share(Use::Job);
        let made = {
            let _inside = Inside::enter(lease.generation());
            make(self.functions)
        };
        let job = LeasedJob::new(made, lease).instrument(self.side.span.clone());
        let side = self.side.clone();
        Box::pin(async move { job.await.map_err(|failure| side.fault(failure)) })
    }

    fn answer(&self, kind: CallKind, call: Call) -> BoxFuture<Result<Answer, Fault>> {
        let lease = self.lease.share(Use::Request);
        let trace_id = call.trace_id;
        let calling = Box::into_pin(Calling::of(kind, call, self.functions, self.side.clone(), lease));
        match self.side.request_span(trace_id) {
            None => calling,
            Some(span) => {
                let calling = calling.instrument(span.clone());
                Box::pin(async move { calling.await.map(|answer| spanned::within(answer, span)) })
            }
        }
    }

    fn run_quietly(&self, make: impl FnOnce(Functions) -> Job) -> BoxFuture<Result<(), Fault>> {
        let outcome = self.run(make);
        Box::pin(async move { outcome.await.map(drop) })
    }
}

// SAFETY (for every call of a root function in this file): root and object belong together and are valid while a lease is
// held (`Functions`); each call holds the owner's, and its product a shared one.
impl Instance for PluginInstance {
    fn description(&self) -> &Description {
        &self.description
    }

    fn call(&self, call: Call) -> BoxFuture<Result<Answer, Fault>> {
        let kind = if call.upgrade { CallKind::Upgrade } else { CallKind::Request };
        self.answer(kind, call)
    }

    fn deliver(&self, call: Call) -> BoxFuture<Result<Answer, Fault>> {
        self.answer(CallKind::Delivery, call)
    }

    fn start(&self) -> BoxFuture<Result<(), Fault>> {
        let mark = self.watched.as_ref().and_then(|(suspects, digest)| {
            let (plugin, generation) = (self.side.name.to_string(), self.side.generation);
            suspects.announce(MarkedStep::Start, GenerationName { plugin, generation, digest: *digest })
        });
        // SAFETY: see above.
        let started = self.run_quietly(|Functions { root, object }| unsafe { root.start()(object) });
        let watched = self.watched.clone();
        Box::pin(async move {
            let outcome = started.await;
            drop(mark);
            if let Some((suspects, digest)) = watched {
                suspects.started(digest);
            }
            outcome
        })
    }

    fn health(&self) -> BoxFuture<Result<(), Fault>> {
        // SAFETY: see above.
        self.run_quietly(|Functions { root, object }| unsafe { root.health()(object) })
    }

    fn save(&self) -> BoxFuture<Result<Option<Vec<u8>>, Fault>> {
        // SAFETY: see above.
        let saved = self.run(|Functions { root, object }| unsafe { root.save()(object) });
        // The first byte says that there is state, even if it is empty.
        Box::pin(async move { saved.await.map(|mut state| (!state.is_empty()).then(|| state.split_off(1))) })
    }

    fn restore(&self, saved: Saved) -> BoxFuture<Result<(), Fault>> {
        self.run_quietly(|Functions { root, object }| {
            let (version, state) = (RStr::from_str(&saved.version), RSlice::from_slice(&saved.state));
            // SAFETY: see above; the plugin copies what it is lent.
            unsafe { root.restore()(object, version, state) }
        })
    }

    fn configure(&self, config: Arc<str>) -> BoxFuture<Result<bool, Fault>> {
        // SAFETY: see above; the plugin copies what it is lent.
        let taken = self.run(|Functions { root, object }| unsafe { root.configure()(object, RStr::from_str(&config)) });
        let side = self.side.clone();
        Box::pin(async move {
            let live = taken.await? == TAKEN_LIVE;
            if live {
                side.set_config(config);
            }
            Ok(live)
        })
    }

    fn replaced_document(&self) -> Option<Arc<str>> {
        self.side.replaced_document()
    }

    fn panics(&self) -> u64 {
        self.side.panics()
    }

    fn memory(&self) -> Option<u64> {
        self.memory.map(MemoryCounter::held)
    }

    fn descriptors(&self) -> Option<u64> {
        self.side.descriptors().map(|count| count as u64)
    }

    fn shutdown(&self) -> BoxFuture<Result<(), Fault>> {
        // SAFETY: see above.
        let ended = self.run_quietly(|Functions { root, object }| unsafe { root.shutdown()(object) });
        let side = self.side.clone();
        Box::pin(async move {
            let outcome = ended.await;
            side.end_spawned();
            outcome
        })
    }
}

impl Drop for PluginInstance {
    fn drop(&mut self) {
        // What runs on the plugin's behalf holds leases: without its owner it has nobody left to work for.
        self.side.end_spawned();
    }
}
