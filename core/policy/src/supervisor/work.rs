//! The work that runs beside the supervisor: how it reports, and how plugin code is run.
//!
//! Each piece reports and decides nothing. What must not live here: the supervisor's own state.

use super::{Ports, ask::Reply, granting::ArrivalTerms, plugin::HandedConfig};
use crate::{
    BoxFuture, BuildProgress, Candidate, Failure, Fault, FaultKind, Fingerprint, Installed, Kept, Loaded, NotInstalled,
    Order, Placement, Scan, Stage, TablesNotReady, TablesReady,
    registry::{Actor, NotDecided, Proposed, Reading, Record, RolloutState, Served, Snapshot, Unavailable},
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::timeout,
};

/// What work reports, by what it is about.
pub(crate) enum WorkReport {
    Directory(DirectoryReport),
    Registry(RegistryReport),
    Generation(GenerationId, GenerationReport),
}

/// About the plugins directory and the artifacts that are kept.
pub(crate) enum DirectoryReport {
    /// The directory was looked at.
    Scanned(Scan),
    /// The entry of a plugin that was removed lies elsewhere now, or could not be moved; and what it kept is gone, if that was
    /// asked for.
    Moved { plugin: String, outcome: Result<Option<PathBuf>, Failure>, purged: Result<(), Failure> },
    /// A plugin of this name is about to lie in the directory, on these terms. Answered with those that held before.
    Arriving { plugin: String, terms: ArrivalTerms, known: oneshot::Sender<Option<ArrivalTerms>> },
    /// Something was put into the directory for somebody, or could not be. `before`: the terms that held, if it was announced.
    Installed {
        by: Actor,
        before: Option<(String, Option<ArrivalTerms>)>,
        outcome: Result<Installed, NotInstalled>,
        reply: oneshot::Sender<Result<Placement, NotInstalled>>,
    },
    /// What a plugin kept that does not lie there was removed, or could not be.
    Purged { plugin: String, outcome: Result<(), Failure> },
    /// What lay there of an older version lies elsewhere now, or could not be moved.
    Cleared { plugin: String, outcome: Result<PathBuf, Failure> },
    /// The artifacts that are kept, for who wants to go back to one.
    History { kept: Vec<Kept>, order: Box<Order>, reply: Reply },
    /// Artifacts that nobody needs were removed.
    Swept,
}

/// About the registry: what was read there, and what could be written.
pub(crate) enum RegistryReport {
    /// What `reading` names was read; `began` is the count of records taken over when the read began.
    Read { reading: Reading, began: u64, outcome: Result<Snapshot, Unavailable> },
    /// Plugins that have an entry and had no record are on record.
    Registered(Result<Vec<Record>, Unavailable>),
    /// What an operator decided is on record.
    Decided { order: Box<Order>, outcome: Result<Record, NotDecided>, reply: Reply },
    /// What the supervisor decided itself is on record.
    DecidedHere(Result<Record, NotDecided>),
    /// A rollout was answered, or concluded.
    Answered(Result<RolloutState, Unavailable>),
    /// Secrets that lay in plain in this plugin's record are sealed, or not.
    Sealed(String, Result<Record, NotDecided>),
    /// The registry knows what this node serves.
    Reported(Vec<Served>, Result<(), Unavailable>),
}

/// About one generation, from its first build to its end.
pub(crate) enum GenerationReport {
    /// Its build goes on.
    Progress(BuildProgress),
    /// What the library was built from is this: its build taught what it is made of.
    Learned(Fingerprint),
    /// There is a library.
    Built,
    /// It may be loaded, or failed.
    Prepared(Result<Arc<dyn Candidate>, Failure>),
    /// Its tables are as it needs them, or are not.
    Tables(Result<TablesReady, TablesNotReady>),
    /// What only versions before it needed was taken away: these files have run; or could not be.
    Contracted(Result<Vec<String>, Failure>),
    /// There is an instance.
    Loaded,
    /// Requests for the plugin are to be held until it was published.
    Hold(oneshot::Sender<()>),
    /// It is ready, and waits for the word to take over.
    Ready(oneshot::Sender<Result<(), Failure>>),
    /// The others were asked about it.
    Proposed(Result<Proposed, Unavailable>),
    /// It is ready for requests, or failed, in which case an instance may have to leave.
    Up(Result<Loaded, (Failure, Option<Loaded>)>),
    /// How it is, while it serves.
    Health(Result<(), Fault>),
    /// Its process has ended, and how.
    Died(String),
    /// It was offered this configuration while it serves.
    Configured(HandedConfig, Result<bool, Fault>),
    /// It is to leave and cannot, for now.
    Stuck(String),
    /// It has left, and so many bytes with it have not, if it counts them.
    Left(Option<u64>),
}

/// Which generation of which plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GenerationId {
    pub(crate) plugin: String,
    pub(crate) generation: u64,
}

/// Where all work sends its reports.
pub(crate) type WorkReports = mpsc::UnboundedSender<WorkReport>;

/// Where work on one generation reports to.
#[derive(Clone)]
pub(crate) struct GenerationReporter {
    pub(crate) id: GenerationId,
    pub(crate) reports: WorkReports,
}

impl GenerationReporter {
    pub(crate) fn report(&self, report: GenerationReport) {
        // Nobody listens when the supervisor has ended, which it does once nothing of a generation is left to be told.
        let _ = self.reports.send(WorkReport::Generation(self.id.clone(), report));
    }
}

/// Runs work beside the supervisor. Should it panic, `lost` is its report: nothing waits for it for ever.
pub(crate) fn begin(
    reports: WorkReports,
    lost: impl FnOnce() -> WorkReport + Send + 'static,
    work: impl Future<Output = ()> + Send + 'static,
) -> AbortHandle {
    let task = tokio::spawn(work);
    let abort = task.abort_handle();
    tokio::spawn(async move {
        if task.await.is_err_and(|error| error.is_panic()) {
            let _ = reports.send(lost());
        }
    });
    abort
}

/// The failure of a generation on which a piece of work panicked.
pub(crate) fn lost(stage: Stage) -> Failure {
    Failure::transient(stage, "the server's own work on it panicked, which is a mistake of this server: see its log")
}

/// The registry's failure when a call of it panicked.
pub(crate) fn lost_call(doing: &str) -> Unavailable {
    Unavailable(format!("{doing} panicked, which is a mistake of this server: see its log"))
}

/// Runs code of a plugin where it may block without harm, for so long at most. What only waits is dropped then, there; what
/// blocks its thread cannot be helped.
pub(crate) async fn aside<T: Send + 'static>(
    ports: &Ports,
    limit: Duration,
    work: BoxFuture<Result<T, Fault>>,
) -> Result<T, Fault> {
    let (mut reply, outcome) = oneshot::channel();
    (ports.work.aside)(Box::pin(async move {
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
