//! The calls of an instance's life, each on a thread of its own: a plugin may block there as long as it likes.

use super::{teller::ReportSender, threads::DeliveryThreads};
use crate::control::words::{LifeAnswer, LifeCall, Report, RunnerCounts, WordedFault};
use crate::{frames::RequestKind, link::Serve};
use camlock_policy::{Answer, BoxFuture, Call, Fault, FaultKind, Instance, Saved};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, thread};
use tokio::{runtime::Handle, sync::oneshot};

/// The instance, as long as the server wants it.
pub(super) struct Life {
    instance: Mutex<Option<Arc<dyn Instance>>>,
    reported: Mutex<RunnerCounts>,
    teller: ReportSender,
    runtime: Handle,
    /// Dropped when a call is forgotten.
    running: Mutex<HashMap<u64, oneshot::Sender<()>>>,
}

impl Life {
    pub(super) fn new(teller: ReportSender, runtime: Handle) -> Arc<Self> {
        Arc::new(Life {
            instance: Mutex::default(),
            reported: Mutex::default(),
            teller,
            runtime,
            running: Mutex::default(),
        })
    }

    pub(super) fn begin(&self, instance: Arc<dyn Instance>) {
        *self.instance.lock() = Some(instance);
    }

    /// Lets go of it.
    pub(super) fn end(&self) {
        let instance = self.instance.lock().take();
        drop(instance);
    }

    fn instance(&self) -> Option<Arc<dyn Instance>> {
        self.instance.lock().clone()
    }

    /// Tells what is counted, if that is news.
    pub(super) fn tell_counts(&self) {
        let Some(instance) = self.instance() else { return };
        let counts =
            RunnerCounts { panics: instance.panics(), memory: instance.memory(), descriptors: instance.descriptors() };
        drop(instance);
        let news = {
            let mut reported = self.reported.lock();
            std::mem::replace(&mut *reported, counts) != counts
        };
        if news {
            self.teller.tell(&Report::RunnerCounts(counts), &[]);
        }
    }

    /// Makes a call, whose outcome is reported when it is there.
    pub(super) fn call(self: &Arc<Self>, id: u64, call: LifeCall, tail: Vec<u8>) {
        let (forget, forgotten) = oneshot::channel();
        self.running.lock().insert(id, forget);
        let life = self.clone();
        let run = move || {
            let outcome = life.runtime.clone().block_on(async {
                tokio::select! {
                    outcome = life.make(call, tail) => Some(outcome),
                    _ = forgotten => None,
                }
            });
            life.running.lock().remove(&id);
            life.tell_counts();
            if let Some(outcome) = outcome {
                life.done(id, outcome);
            }
        };
        if let Err(error) = thread::Builder::new().name("camlock-aside".to_owned()).spawn(run) {
            let why = format!("no thread could be started for it: {error}");
            self.done(id, Err(Fault::new(FaultKind::TimedOut, why)));
        }
    }

    pub(super) fn forget(&self, id: u64) {
        self.running.lock().remove(&id);
    }

    fn done(&self, id: u64, outcome: Result<(LifeAnswer, Vec<u8>), Fault>) {
        let (outcome, tail) = match outcome {
            Ok((answer, tail)) => (Ok(answer), tail),
            Err(fault) => (Err(WordedFault::from(fault)), Vec::new()),
        };
        self.teller.tell(&Report::Done { id, outcome }, &tail);
    }

    async fn make(&self, call: LifeCall, tail: Vec<u8>) -> Result<(LifeAnswer, Vec<u8>), Fault> {
        let instance = self.instance().ok_or_else(over)?;
        let nothing = |()| (LifeAnswer::Nothing, Vec::new());
        // What waits for it keeps a lease; the instance itself is not to be kept beyond its end.
        let made = match call {
            LifeCall::Start => instance.start(),
            LifeCall::Health => instance.health(),
            LifeCall::Restore { version } => instance.restore(Saved { version, state: tail }),
            LifeCall::Shutdown => instance.shutdown(),
            LifeCall::Save => {
                let saving = instance.save();
                drop(instance);
                let saved = saving.await?;
                return Ok(saved.map_or((LifeAnswer::Nothing, Vec::new()), |state| (LifeAnswer::State, state)));
            }
            LifeCall::Configure { config } => {
                let taking = instance.configure(config.into());
                drop(instance);
                return taking.await.map(|taken| (LifeAnswer::Taken(taken), Vec::new()));
            }
        };
        drop(instance);
        made.await.map(nothing)
    }
}

fn over() -> Fault {
    Fault::new(FaultKind::Contract, "the plugin's instance is not there")
}

/// Answers the server's requests.
pub(super) struct ServeInstance {
    life: Arc<Life>,
    deliveries: DeliveryThreads,
}

impl ServeInstance {
    pub(super) fn new(life: Arc<Life>) -> Self {
        ServeInstance { life, deliveries: DeliveryThreads::default() }
    }
}

impl Serve for ServeInstance {
    fn takes(&self, kind: RequestKind) -> bool {
        matches!(kind, RequestKind::Call | RequestKind::Delivery)
    }

    fn serve(&self, kind: RequestKind, call: Call) -> BoxFuture<Result<Answer, Fault>> {
        let Some(instance) = self.life.instance() else { return Box::pin(async { Err(over()) }) };
        let answering = if kind == RequestKind::Delivery { instance.deliver(call) } else { instance.call(call) };
        drop(instance);
        let life = self.life.clone();
        Box::pin(async move {
            let outcome = answering.await;
            if outcome.is_err() {
                life.tell_counts();
            }
            outcome
        })
    }

    fn elsewhere(&self, kind: RequestKind) -> Option<Handle> {
        if kind == RequestKind::Delivery { self.deliveries.handle() } else { None }
    }
}
