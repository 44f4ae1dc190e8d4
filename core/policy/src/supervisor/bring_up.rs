//! From something that may be loaded to an instance that is ready for requests: load, take over state, start.
//!
//! What must not live here: what becomes of it afterwards.

use super::{
    Ports,
    work::{GenerationReport, GenerationReporter, aside},
};
use crate::{
    Candidate, Failure, Fault, FaultKind, GenerationStart, Granted, Instance, Isolation, Limits, Saved, Stage, Use,
    Watch, manifest::Handover, secrets::SecretTexts,
};
use std::sync::Arc;
use tokio::{sync::oneshot, time::timeout};

/// The generation that a candidate is to replace.
pub(crate) struct Predecessor {
    pub(crate) instance: Arc<dyn Instance>,
    pub(crate) leases: Watch,
    pub(crate) version: String,
}

/// What is to be brought up.
pub(crate) struct BringUp {
    pub(crate) candidate: Arc<dyn Candidate>,
    pub(crate) config: Arc<str>,
    /// What must not be told of it.
    pub(crate) secrets: SecretTexts,
    pub(crate) granted: Granted,
    pub(crate) isolation: Isolation,
    pub(crate) predecessor: Option<Predecessor>,
    /// It is something else than what was agreed on: it waits for the word before it takes anything over.
    pub(crate) gated: bool,
}

/// From something that may be loaded to an instance that is ready for requests.
pub(crate) async fn bring_up(ports: Ports, limits: Limits, plan: BringUp, reporter: GenerationReporter) {
    let turn = ports.work.loading.acquire().await;
    let start = GenerationStart {
        generation: reporter.id.generation,
        config: plan.config.clone(),
        granted: plan.granted.clone(),
        isolation: plan.isolation,
        limits: limits.process,
    };
    let loaded = plan.candidate.load(start).await;
    drop(turn);
    let up = match loaded {
        Err(failure) => Err((failure, None)),
        Ok(loaded) => {
            reporter.report(GenerationReport::Loaded);
            match ready(&ports, &limits, &loaded.instance, plan, &reporter).await {
                Ok(()) => Ok(loaded),
                Err(failure) => Err((failure, Some(loaded))),
            }
        }
    };
    reporter.report(GenerationReport::Up(up));
}

async fn ready(
    ports: &Ports,
    limits: &Limits,
    instance: &Arc<dyn Instance>,
    plan: BringUp,
    reporter: &GenerationReporter,
) -> Result<(), Failure> {
    let BringUp { candidate, secrets, predecessor, gated, .. } = plan;
    let quiesce = candidate.manifest().camlock.handover == Some(Handover::Quiesce);
    // Requests are not held while others make up their minds.
    if gated && quiesce {
        pass_the_gate(reporter).await?;
    }
    let failed = |stage, what: &str, fault: Fault| Failure {
        transient: fault.kind == FaultKind::TimedOut,
        ..Failure::new(stage, describe_fault(what, &fault))
    };
    if let Some(predecessor) = predecessor {
        if quiesce {
            hold(&predecessor, limits, reporter).await?;
        }
        let saving = predecessor.instance.save();
        let saved = aside(ports, limits.start, saving).await;
        let saved = match saved {
            // Its state is gone with its process.
            Err(fault) if fault.kind == FaultKind::Ended => Ok(None),
            saved => saved,
        };
        let saved = saved.map_err(|fault| failed(Stage::Start, "`save` of the generation that serves", fault));
        match saved {
            Ok(Some(state)) => {
                let restoring = instance.restore(Saved { version: predecessor.version, state });
                match aside(ports, limits.start, restoring).await {
                    Err(fault) if quiesce => return Err(failed(Stage::Start, "`restore`", fault)),
                    // A snapshot may be refused: it begins without.
                    Err(fault) => {
                        let told = secrets.hide(&describe_fault("`restore`", &fault));
                        tracing::warn!(plugin = reporter.id.plugin, "{told}");
                    }
                    Ok(()) => {}
                }
            }
            Ok(None) => {}
            Err(failure) if quiesce => return Err(failure),
            Err(failure) => tracing::warn!(plugin = reporter.id.plugin, "{}", secrets.hide(&failure.reason)),
        }
    }
    aside(ports, limits.start, instance.start()).await.map_err(|fault| failed(Stage::Start, "`start`", fault))?;
    aside(ports, limits.start, instance.health()).await.map_err(|fault| failed(Stage::Health, "`health`", fault))?;
    if gated && !quiesce { pass_the_gate(reporter).await } else { Ok(()) }
}

/// Says that it is ready, and waits for the word to go on.
async fn pass_the_gate(reporter: &GenerationReporter) -> Result<(), Failure> {
    let (open, word) = oneshot::channel();
    reporter.report(GenerationReport::Ready(open));
    word.await.unwrap_or_else(|_| Err(Failure::new(Stage::Start, "it is not wanted any more")))
}

/// Has new requests wait, and lets those that have begun end.
async fn hold(predecessor: &Predecessor, limits: &Limits, reporter: &GenerationReporter) -> Result<(), Failure> {
    let (held, hear) = oneshot::channel();
    reporter.report(GenerationReport::Hold(held));
    let _ = hear.await;
    timeout(limits.quiesce, predecessor.leases.drained()).await.map_err(|_| {
        let seconds = limits.quiesce.as_secs_f64();
        let who = predecessor.leases.describe_holders_but(Use::Owner);
        Failure::transient(
            Stage::Start,
            format!("its state could not be handed over: requests were held for {seconds} s, and still {who}"),
        )
    })
}

/// A failure of plugin code, in a sentence that says which call it was.
pub(crate) fn describe_fault(what: &str, fault: &Fault) -> String {
    let verb = match fault.kind {
        FaultKind::Panic => "panicked",
        _ => "failed",
    };
    match fault.location.as_str() {
        "" => format!("{what} {verb}: {}", fault.message),
        location => format!("{what} {verb}: {} ({location})", fault.message),
    }
}
