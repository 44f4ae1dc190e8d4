//! Plugins that are suspected of having ended the process before this one: put under quarantine, on record, and told; so is what was
//! lost with it.
//!
//! What must not live here: who is suspected (the loader knows), and what a quarantine means (policy's).

use camlock_http::{Meter, Meters};
use camlock_loader::{LostRequests, Suspect, Suspects};
use camlock_policy::registry::{Decision, Happened, NotDecided, Registry};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::{sleep, timeout};

/// How long a server that begins waits for the registry. The loader loads no suspect before it is on record.
const AT_ONCE: Duration = Duration::from_secs(2);
/// When it is tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// Tells what was under way in a process that died, by plugin. The meters are kept as long as what this returns.
pub(crate) fn tell_lost(suspects: &Suspects, registry: &Arc<dyn Registry>, meters: &Meters) -> Vec<Arc<Meter>> {
    let tell = |lost: LostRequests| {
        let LostRequests { plugin, generation, requests, how } = lost;
        tracing::error!(plugin, generation, requests, "lost what was under way: the server {how}");
        let meter = meters.of(&plugin);
        meter.lost(requests);
        let detail = serde_json::json!({ "requests": requests, "reason": format!("the server {how}") });
        let (plugin, generation) = (Some(plugin), Some(generation));
        registry.note(Happened {
            plugin,
            generation,
            what: "lost",
            by: "health".into(),
            detail,
            at: SystemTime::now(),
        });
        meter
    };
    suspects.take_lost().into_iter().map(tell).collect()
}

/// Puts all suspects under quarantine: before anything is looked at, if the registry can be used, else as soon as it can.
pub(crate) async fn put_under_quarantine(suspects: Arc<Suspects>, registry: Arc<dyn Registry>) {
    let pending = suspects.pending();
    if pending.is_empty() {
        return;
    }
    for Suspect { plugin, generation, digest, reason } in &pending {
        tracing::error!(plugin, generation, %digest, "suspected: before this start {reason}");
    }
    let recording = tokio::spawn(record(suspects, registry, pending));
    // It goes on by itself.
    let _ = timeout(AT_ONCE, recording).await;
}

async fn record(suspects: Arc<Suspects>, registry: Arc<dyn Registry>, pending: Vec<Suspect>) {
    for suspect in pending {
        while !is_recorded(&*registry, &suspect).await {
            sleep(PAUSE).await;
        }
        suspects.settle(&suspect);
    }
}

/// Whether there is nothing more to do about it.
async fn is_recorded(registry: &dyn Registry, suspect: &Suspect) -> bool {
    let Suspect { plugin, generation, digest, reason } = suspect;
    let reason =
        &format!("{reason} (it could end nobody else in a process of its own: `camlock isolate {plugin} process`)");
    let decision = Decision { quarantine: Some((*digest, reason.clone())), ..Decision::default() };
    match registry.decide(plugin, decision, "health".into(), None).await {
        Ok(_) => {
            let then = format!("{digest} is under quarantine");
            let detail = serde_json::json!({ "reason": reason, "then": then });
            let (plugin, generation, by) = (Some(plugin.clone()), Some(*generation), "health".into());
            registry.note(Happened { plugin, generation, what: "unwell", by, detail, at: SystemTime::now() });
            true
        }
        Err(NotDecided::Unavailable(why)) => {
            tracing::warn!(plugin, "its quarantine cannot be put on record: {why}; it is tried again");
            false
        }
        // Without a record nobody asks for it.
        Err(NotDecided::Unknown(_) | NotDecided::Outdated(_)) => true,
    }
}
