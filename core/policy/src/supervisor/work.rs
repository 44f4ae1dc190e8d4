//! The work that runs beside the supervisor: how it reports, and how plugin code is run.
//!
//! Each piece reports and decides nothing. What must not live here: the supervisor's own state.

use super::{Ports, acts::Reply};
use crate::{
    BoxFuture, BuildProgress, Candidate, Failure, Fault, FaultKind, Fingerprint, Kept, Loaded, Order, Stage,
    registry::{NotDecided, Proposed, Record, RolloutState, Served, Snapshot, Unavailable},
};
use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::timeout,
};

/// What work tells.
pub(crate) enum Report {
    /// The directory was looked at.
    Scanned(crate::Scan),
    /// A build goes on.
    Progress(BuildProgress),
    /// What the library was built from is this: its build taught what it is made of.
    Learned(Fingerprint),
    /// There is a library.
    Built,
    /// It may be loaded, or failed.
    Prepared(Result<Arc<dyn Candidate>, Failure>),
    /// There is an instance.
    Loaded,
    /// Requests for the plugin are to be held until it was published.
    Hold(oneshot::Sender<()>),
    /// It is ready for requests, or failed, in which case an instance may have to leave.
    Up(Result<Loaded, (Failure, Option<Loaded>)>),
    /// How the generation that serves is.
    Health(Result<(), Fault>),
    /// A generation that leaves cannot, for now.
    Stuck(String),
    /// The artifacts that are kept, for who wants to go back to one.
    History(Vec<Kept>, Box<Order>, Reply),
    /// The record of these plugins, or of all, was read; `began` says what was known before.
    Read { names: Option<BTreeSet<String>>, began: u64, outcome: Result<Snapshot, Unavailable> },
    /// Newcomers are on record.
    Registered(Result<Vec<Record>, Unavailable>),
    /// What an operator decided is on record.
    Decided(Box<Order>, Result<Record, NotDecided>, Reply),
    /// What the supervisor decided itself is.
    DecidedHere(Result<Record, NotDecided>),
    /// It is ready, and waits for the word to take over.
    Ready(oneshot::Sender<Result<(), Failure>>),
    /// The others were asked about it.
    Proposed(Result<Proposed, Unavailable>),
    /// Another's proposal was answered, or ended.
    Answered(Result<RolloutState, Unavailable>),
    /// What serves was offered this configuration.
    Configured(Arc<str>, Result<bool, Fault>),
    /// The registry heard what this node serves.
    Reported(Vec<Served>, Result<(), Unavailable>),
    /// The entry of what was removed lies elsewhere now.
    Moved(Result<PathBuf, Failure>),
    /// Artifacts that nobody needs were removed.
    Swept,
    /// A generation has left, and so many bytes with it have not, if it counts them.
    Left(Option<u64>),
}

/// Which generation of which plugin a report is about. The directory's has no plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) plugin: String,
    pub(crate) generation: u64,
}

/// Where work reports to.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) about: About,
    pub(crate) reports: mpsc::UnboundedSender<(About, Report)>,
}

impl Desk {
    pub(crate) fn tell(&self, report: Report) {
        let _ = self.reports.send((self.about.clone(), report));
    }
}

/// Runs work beside the supervisor. Should it panic, `lost` is its report: nothing waits for it for ever.
pub(crate) fn begin(
    desk: Desk,
    lost: impl FnOnce() -> Report + Send + 'static,
    work: impl Future<Output = ()> + Send + 'static,
) -> AbortHandle {
    let task = tokio::spawn(work);
    let abort = task.abort_handle();
    tokio::spawn(async move {
        if task.await.is_err_and(|error| error.is_panic()) {
            desk.tell(lost());
        }
    });
    abort
}

/// What a piece of work that panicked is told as.
pub(crate) fn lost(stage: Stage) -> Failure {
    Failure::transient(stage, "the server's own work on it panicked, which is a mistake of this server: see its log")
}

/// Runs code of a plugin where it may block without harm, for so long at most. What only waits is dropped then, there; what
/// blocks its thread cannot be helped.
pub(crate) async fn aside<T: Send + 'static>(
    ports: &Ports,
    limit: Duration,
    work: BoxFuture<Result<T, Fault>>,
) -> Result<T, Fault> {
    let (mut reply, outcome) = oneshot::channel();
    (ports.aside)(Box::pin(async move {
        let outcome = async {
            let mut work = work;
            tokio::select! {
                biased;
                outcome = &mut work => Some(outcome),
                () = reply.closed() => None,
            }
        };
        if let Some(outcome) = outcome.await {
            let _ = reply.send(outcome);
        }
    }));
    match timeout(limit, outcome).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(Fault::new(FaultKind::Contract, "it was not run to its end")),
        Err(_) => {
            Err(Fault::new(FaultKind::TimedOut, format!("it did not come to an end within {} s", limit.as_secs_f64())))
        }
    }
}
