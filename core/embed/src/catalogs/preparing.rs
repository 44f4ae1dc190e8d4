//! What is laid ready before anything is placed: every part of a plan, fetched and proved, and copies of what it will replace.
//!
//! What must not live here: placing.

use super::{
    CatalogsInside,
    offers::{OpenCatalogs, missing},
    planning::PlannedStep,
};
use camlock_catalog::{
    CatalogTrouble, TroubleSort,
    package::{ATTESTATIONS, PublisherKey},
};
use camlock_policy::{PluginSource, Source};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

impl PlannedStep {
    /// Where it lies until it is placed.
    pub(super) fn prepared(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.{}", self.plugin, if self.is_source { "tar.gz" } else { "so" }))
    }

    pub(super) fn source(&self, folder: &Path) -> Source {
        let path = self.prepared(folder);
        if self.is_source { Source::TarGz(path) } else { Source::Artifact(path) }
    }
}

impl CatalogsInside {
    /// Fetches what a step needs, and proves it.
    pub(super) fn fetch(
        &self,
        open: &OpenCatalogs<'_>,
        step: &mut PlannedStep,
        folder: &Path,
    ) -> Result<(), CatalogTrouble> {
        let reader = open.reader(&step.catalog)?;
        let mut reader = reader.borrow_mut();
        let document = reader.document(&step.plugin)?;
        let version = document.version(&step.version).ok_or_else(|| missing(&step.plugin))?;
        let part = reader.part(&step.plugin, version, &step.file)?;
        if !step.publisher.is_empty() {
            part.verify(&PublisherKey::read(&step.publisher)?)?;
        }
        let demands = open.demands(&step.catalog)?;
        let listed = version.files.contains_key(ATTESTATIONS).then_some(ATTESTATIONS);
        let attestations = listed.filter(|_| demands.attestations());
        let attestations = attestations.map(|file| reader.part(&step.plugin, version, file)).transpose()?;
        demands.check((&step.plugin, &step.version), &step.catalog, &part, attestations.as_ref())?;
        if step.is_source {
            part.examine_source()?;
        } else {
            part.examine(&self.server.target, &self.read)?;
        }
        step.digest = part.digest();
        // A version does not change: the first one that was installed counts.
        if let Some(first) =
            open.first_digest(&step.plugin, &step.version).filter(|first| !first.is_empty() && *first != step.digest)
        {
            return Err(CatalogTrouble {
                sort: TroubleSort::Denied,
                reason: format!(
                    "`{}` {} was installed before as sha256:{first}, and the catalog `{}` now has sha256:{} under that version: ask its author, \
                     and delete its row of `catalog_installs` in the registry if that is what you want",
                    step.plugin, step.version, step.catalog, step.digest
                ),
            });
        }
        let path = step.prepared(folder);
        fs::write(&path, part.bytes()).map_err(unwritten(&path))
    }

    /// Copies what a step will replace, so that it can be put back; or notes what is gone back to, where that never lay here.
    pub(super) fn put_aside(&self, step: &mut PlannedStep, folder: &Path) -> Result<(), CatalogTrouble> {
        let Some(there) = self.manager.plugin(&step.plugin) else { return Ok(()) };
        let came_by_name = step.came_from.as_ref().and_then(PluginSource::catalog).is_some();
        step.before = there.agreed_elsewhere.filter(|_| came_by_name);
        let Some(path) = there.path.clone().filter(|_| step.before.is_none()) else { return Ok(()) };
        let entry = self.plugins.join(path);
        let Some(name) = entry.file_name() else { return Ok(()) };
        let aside = folder.join("aside").join(&step.plugin);
        copied(&entry, &aside.join(name)).map_err(unwritten(&aside))
    }
}

pub(super) fn unwritten(path: &Path) -> impl Fn(io::Error) -> CatalogTrouble {
    let path = path.display().to_string();
    move |error| CatalogTrouble { sort: TroubleSort::Unavailable, reason: format!("{path} cannot be written: {error}") }
}

/// A copy of an entry, without what a build leaves in it. Links are copied as what they lead to.
fn copied(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        fs::create_dir_all(to.parent().unwrap_or(to))?;
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != "target" {
            copied(&entry.path(), &to.join(name))?;
        }
    }
    Ok(())
}
