//! From an entry, or an artifact that was agreed on, to something that may be loaded: found, fetched or built.
//!
//! What must not live here: the decision what to make, and loading.

use super::{
    Ports,
    plan::GenerationSource,
    work::{GenerationReport, GenerationReporter},
};
use crate::{
    BuildPriority, BuildProgress, Candidate, Digest, Entry, Failure, Fingerprint, Kept, Kind, Stage,
    registry::{Agreed, Claim, RightToBuild},
};
use std::{path::PathBuf, sync::Arc, time::SystemTime};

/// What is to be made.
pub(crate) struct Preparation {
    pub(crate) source: GenerationSource,
    pub(crate) entry: Option<Entry>,
    /// What the artifact is, if that is what is wanted.
    pub(crate) agreed: Option<Agreed>,
    /// Which builds come before it, if it has to be built.
    pub(crate) priority: BuildPriority,
}

type Prepared = Result<Arc<dyn Candidate>, Failure>;

/// Makes it, and reports.
pub(crate) async fn prepare(ports: Ports, wish: Preparation, reporter: GenerationReporter) {
    let prepared = make(&ports, wish, &reporter).await;
    reporter.report(GenerationReport::Prepared(prepared));
}

async fn make(ports: &Ports, wish: Preparation, reporter: &GenerationReporter) -> Prepared {
    match (wish.source, wish.entry) {
        (GenerationSource::Kept(digest), entry) => {
            have(ports, digest, wish.agreed.and_then(|agreed| agreed.fingerprint), entry, wish.priority, reporter).await
        }
        (GenerationSource::Entry(fingerprint), Some(entry)) => {
            of_entry(ports, &entry, &fingerprint, wish.priority, reporter).await
        }
        (GenerationSource::Entry(_), None) => Err(Failure::new(Stage::Manifest, "its entry is gone")),
    }
}

/// An artifact that was agreed on: from here, from others, or, if nobody has it, from the sources it came of.
async fn have(
    ports: &Ports,
    digest: Digest,
    fingerprint: Option<Fingerprint>,
    entry: Option<Entry>,
    priority: BuildPriority,
    reporter: &GenerationReporter,
) -> Prepared {
    let failure = match recall(ports, digest).await {
        Ok(candidate) => {
            reporter.report(GenerationReport::Built);
            if let Some(fingerprint) = &fingerprint {
                record_if_missing(ports, &candidate, fingerprint, reporter).await;
            }
            return Ok(candidate);
        }
        Err(failure) => failure,
    };
    if let Some(candidate) = fetch(ports, digest, fingerprint.as_ref(), reporter).await? {
        reporter.report(GenerationReport::Built);
        return Ok(candidate);
    }
    match (fingerprint, entry) {
        (Some(fingerprint), Some(entry)) if entry.fingerprint == fingerprint => {
            tracing::warn!(plugin = reporter.id.plugin, %digest, "the artifact is not to be had, and is built again: {failure}");
            build(ports, &entry, priority, None, reporter).await
        }
        _ => {
            let reason = format!("{digest} is not to be had: {}, and no other server shares it", failure.reason);
            Err(Failure { reason, ..failure })
        }
    }
}

/// An entry: what was built of it before, here or elsewhere, or a build.
async fn of_entry(
    ports: &Ports,
    entry: &Entry,
    fingerprint: &Fingerprint,
    priority: BuildPriority,
    reporter: &GenerationReporter,
) -> Prepared {
    let name = &reporter.id.plugin;
    if entry.kind == Kind::BuiltIn {
        reporter.report(GenerationReport::Built);
        let built_in = ports.built_in.iter().find(|built_in| built_in.manifest().name == *name);
        return built_in.cloned().ok_or_else(|| Failure::new(Stage::Load, "it is not compiled into this server"));
    }
    let (shelf, asked) = (ports.shelf.clone(), (name.clone(), fingerprint.clone()));
    let kept = tokio::task::spawn_blocking(move || shelf.find(&asked.0, &asked.1)).await.unwrap_or_default();
    if let Some(digest) = kept {
        match recall(ports, digest).await {
            Ok(candidate) => {
                reporter.report(GenerationReport::Built);
                return Ok(candidate);
            }
            Err(failure) if failure.transient => return Err(failure),
            // Rotten, say, or verified by another version of this server: the sources are there.
            Err(failure) => tracing::warn!(plugin = name, %digest, "the kept artifact is of no use: {failure}"),
        }
    }
    if entry.kind == Kind::Prebuilt {
        return build(ports, entry, priority, None, reporter).await;
    }
    let doing = "asking whether another server builds it, and waiting for that".to_owned();
    let waiting = BuildProgress { doing, is_queued: true, ..BuildProgress::default() };
    reporter.report(GenerationReport::Progress(waiting));
    match ports.exchange.claim(name, fingerprint).await {
        Ok(Claim::Built(digest)) => match fetch(ports, digest, Some(fingerprint), reporter).await {
            Ok(Some(candidate)) => {
                reporter.report(GenerationReport::Built);
                Ok(candidate)
            }
            Ok(None) => build(ports, entry, priority, None, reporter).await,
            Err(failure) => {
                tracing::warn!(plugin = name, %digest, "what another server built is of no use: {failure}");
                build(ports, entry, priority, None, reporter).await
            }
        },
        Ok(Claim::Build(right)) => build(ports, entry, priority, Some(right), reporter).await,
        Err(why) => {
            tracing::warn!(plugin = name, "whether another server builds it is not known: {why}");
            build(ports, entry, priority, None, reporter).await
        }
    }
}

async fn recall(ports: &Ports, digest: Digest) -> Prepared {
    let _turn = ports.work.verifying.acquire().await;
    ports.loading.recall(digest).await
}

/// An artifact that another server made.
async fn fetch(
    ports: &Ports,
    digest: Digest,
    fingerprint: Option<&Fingerprint>,
    reporter: &GenerationReporter,
) -> Result<Option<Arc<dyn Candidate>>, Failure> {
    let Some(path) = ports.exchange.fetch(digest).await? else { return Ok(None) };
    let _turn = ports.work.verifying.acquire().await;
    let candidate = ports.loading.prepare(&path).await?;
    if candidate.digest() != Some(digest) {
        let reason = format!("what was fetched is not {digest}, but has other bytes: the shared artifact is damaged");
        return Err(Failure::new(Stage::Verify, reason));
    }
    if let Some(fingerprint) = fingerprint {
        record(ports, &candidate, fingerprint, reporter).await;
    }
    Ok(Some(candidate))
}

/// Builds an entry, keeps what comes of it, and lets others have it.
async fn build(
    ports: &Ports,
    entry: &Entry,
    priority: BuildPriority,
    right: Option<RightToBuild>,
    reporter: &GenerationReporter,
) -> Prepared {
    let builds = reporter.clone();
    let progress = Arc::new(move |progress| builds.report(GenerationReport::Progress(progress)));
    let built = ports.sources.build(entry, priority, progress).await?;
    // The next look at the directory gives this one, and must not be taken for a change.
    reporter.report(GenerationReport::Learned(built.fingerprint.clone()));
    reporter.report(GenerationReport::Built);
    let turn = ports.work.verifying.acquire().await;
    let candidate = ports.loading.prepare(&built.candidate).await?;
    drop(turn);
    let Some(kept) = record(ports, &candidate, &built.fingerprint, reporter).await else { return Ok(candidate) };
    let path: Option<PathBuf> = candidate.path().map(Into::into);
    // It can serve all the same; others build it themselves then.
    let counts = match ports.exchange.offer(&kept, path).await {
        Ok(counts) => counts,
        Err(why) => {
            tracing::warn!(plugin = kept.name, "other servers cannot have what was built: {why}");
            kept.digest
        }
    };
    drop(right);
    if counts == kept.digest {
        return Ok(candidate);
    }
    // Another server was faster, and all serve the same bytes.
    match fetch(ports, counts, Some(&kept.fingerprint), reporter).await {
        Ok(Some(first)) => Ok(first),
        Ok(None) | Err(_) => Ok(candidate),
    }
}

/// The same of bytes that lie here: whoever made them may have been given up before that was remembered, and nobody could go back to
/// them.
async fn record_if_missing(
    ports: &Ports,
    candidate: &Arc<dyn Candidate>,
    fingerprint: &Fingerprint,
    reporter: &GenerationReporter,
) {
    let (shelf, asked) = (ports.shelf.clone(), (reporter.id.plugin.clone(), fingerprint.clone()));
    let known = tokio::task::spawn_blocking(move || shelf.find(&asked.0, &asked.1)).await;
    if known.is_ok_and(|known| known.is_none()) {
        record(ports, candidate, fingerprint, reporter).await;
    }
}

/// Remembers what an artifact came of.
async fn record(
    ports: &Ports,
    candidate: &Arc<dyn Candidate>,
    fingerprint: &Fingerprint,
    reporter: &GenerationReporter,
) -> Option<Kept> {
    let name = reporter.id.plugin.clone();
    let version = candidate.manifest().version.clone();
    let kept =
        Kept { name, version, fingerprint: fingerprint.clone(), digest: candidate.digest()?, at: SystemTime::now() };
    let (shelf, record) = (ports.shelf.clone(), kept.clone());
    let recorded = tokio::task::spawn_blocking(move || shelf.record(&record)).await;
    // It can serve all the same; only the next start will have to build again.
    if let Ok(Err(failure)) = recorded {
        tracing::warn!(plugin = kept.name, "the artifact is not kept: {failure}");
    }
    Some(kept)
}
