//! The work that runs beside the supervisor: how it reports, how plugin code is run, and how a candidate is made ready.
//!
//! Each piece reports and decides nothing. What must not live here: the supervisor's own state.

use super::{Ports, acts::Reply, plan::Source};
use crate::{BoxFuture, BuildProgress, Candidate, Digest, Entry, Failure, Fault, FaultKind, Kept, Kind, Loaded, Stage};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
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
    History(Vec<Kept>, Option<Digest>, Reply),
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

/// From an entry, or an artifact that was kept, to something that may be loaded.
pub(crate) async fn prepare(ports: Ports, entry: Option<Entry>, source: Source, desk: Desk) {
    let prepared = make_ready(&ports, entry, source, &desk).await;
    desk.tell(Report::Prepared(prepared));
}

async fn make_ready(
    ports: &Ports,
    entry: Option<Entry>,
    source: Source,
    desk: &Desk,
) -> Result<Arc<dyn Candidate>, Failure> {
    let name = desk.about.plugin.clone();
    let (entry, mark) = match (source, entry) {
        (Source::Kept(digest), _) => {
            desk.tell(Report::Built);
            let _turn = ports.turns.acquire().await;
            return ports.loading.recall(digest).await;
        }
        (Source::Entry(mark), Some(entry)) => (entry, mark),
        (Source::Entry(_), None) => return Err(Failure::new(Stage::Manifest, "its entry is gone")),
    };
    if entry.kind == Kind::BuiltIn {
        desk.tell(Report::Built);
        let built_in = ports.built_in.iter().find(|built_in| built_in.manifest().name == name);
        return built_in.cloned().ok_or_else(|| Failure::new(Stage::Load, "it is not compiled into this server"));
    }
    let shelf = ports.shelf.clone();
    let asked = (name.clone(), mark);
    let kept = tokio::task::spawn_blocking(move || shelf.find(&asked.0, &asked.1)).await.unwrap_or_default();
    if let Some(digest) = kept {
        let _turn = ports.turns.acquire().await;
        match ports.loading.recall(digest).await {
            Ok(candidate) => {
                desk.tell(Report::Built);
                return Ok(candidate);
            }
            Err(failure) if failure.transient => return Err(failure),
            // Rotten, say, or verified by another version of this server: the sources are there.
            Err(failure) => tracing::warn!(plugin = name, %digest, "the kept artifact is of no use: {failure}"),
        }
    }
    let told = desk.clone();
    let progress = Arc::new(move |progress| told.tell(Report::Progress(progress)));
    let built = ports.sources.build(&entry, progress).await?;
    desk.tell(Report::Built);
    let _turn = ports.turns.acquire().await;
    let candidate = ports.loading.prepare(&built.candidate).await?;
    if let Some(digest) = candidate.digest() {
        let version = candidate.manifest().version.clone();
        let kept = Kept { name: name.clone(), version, mark: built.mark, digest, at: SystemTime::now() };
        let shelf = ports.shelf.clone();
        let recorded = tokio::task::spawn_blocking(move || shelf.record(&kept)).await;
        // It can serve all the same; only the next start will have to build again.
        if let Ok(Err(failure)) = recorded {
            tracing::warn!(plugin = name, "the artifact is not kept: {failure}");
        }
    }
    Ok(candidate)
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
