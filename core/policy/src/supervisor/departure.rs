//! A loaded generation on its way out of the process: drain, farewell, shutdown, and the wait until it has left.
//!
//! What must not live here: the decision to let it go.

use super::{
    Ports,
    bring_up::describe_fault,
    work::{GenerationReport, GenerationReporter, aside},
};
use crate::{Ending, FaultKind, Limits, Loaded, Watch, secrets::SecretTexts};
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

/// A generation on its way out.
pub(crate) struct Leave {
    pub(crate) loaded: Loaded,
    /// What must not be told of its configuration.
    pub(crate) secrets: SecretTexts,
    /// Tells its streams to end. Kept until it has left.
    pub(crate) farewell: watch::Sender<bool>,
    /// When they are told.
    pub(crate) deadline: Instant,
    /// Generations that depend on it and are shut down first.
    pub(crate) after: Vec<watch::Receiver<bool>>,
    /// Turns true when it was shut down.
    pub(crate) down: watch::Sender<bool>,
}

/// Lets a generation go: drain, farewell, shutdown, and the wait until it has left the process.
pub(crate) async fn leave(leave: Leave, ports: Ports, limits: Limits, reporter: GenerationReporter) {
    let Leave { loaded, secrets, farewell, deadline, after, down } = leave;
    let Loaded { instance, leases, mut ending } = loaded;
    if timeout_at(deadline, leases.drained()).await.is_err() {
        farewell.send_replace(true);
        let _ = timeout(limits.farewell, leases.drained()).await;
    }
    let down_by = Instant::now() + limits.drain + limits.farewell;
    for mut dependent in after {
        // An error means that its task has ended: it is down.
        let _ = timeout_at(down_by, dependent.wait_for(|down| *down)).await;
    }
    if let Err(fault) = aside(&ports, limits.start, instance.shutdown()).await
        // One whose process has ended is down, as was told then.
        && fault.kind != FaultKind::Ended
    {
        tracing::warn!(
            plugin = reporter.id.plugin,
            generation = reporter.id.generation,
            "{}",
            secrets.hide(&describe_fault("`shutdown`", &fault))
        );
    }
    drop(instance);
    down.send_replace(true);
    let _ = timeout(Duration::from_secs(1), ending.wait_for(|ending| *ending != Ending::Alive)).await;
    let left_behind = loop {
        let now = ending.borrow_and_update().clone();
        match now {
            Ending::Unmapped { left_behind, .. } => break left_behind,
            Ending::Pinned { reason } if reason.is_empty() => {
                reporter.report(GenerationReport::Stuck("its library stays in the process".to_owned()));
            }
            Ending::Pinned { reason } => reporter.report(GenerationReport::Stuck(reason)),
            Ending::Alive => reporter.report(GenerationReport::Stuck(holders(&leases))),
        }
        if ending.changed().await.is_err() {
            break None;
        }
    };
    reporter.report(GenerationReport::Left(left_behind));
}

/// Why a generation has not left: who holds it, or that it is being unloaded.
fn holders(leases: &Watch) -> String {
    match leases.describe_holders() {
        holders if holders.is_empty() => {
            "nothing of it is in use any more, and its library is being unloaded".to_owned()
        }
        holders => holders,
    }
}
