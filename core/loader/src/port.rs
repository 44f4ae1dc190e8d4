//! Core's ports to artifacts (stage, verify, and later load) and to plugins that are compiled in. What must not live here: how any of these is done.

use crate::{
    Artifact, BuiltIn, LoadError, Loader, Sections, StageError, Staging, Unfit, Verdict, Verifier, VerifyError,
    inspect_built_in,
};
use camlock_config::{Schema, UnusableSchema};
use camlock_policy::{
    BoxFuture, Candidate, ConfigSchema, Digest, Failure, GenerationStart, Loaded, Loading, Manifest, MigrationFile,
    Stage,
};
use std::{fmt, path::Path, sync::Arc};
use tokio::task::spawn_blocking;

/// What artifacts are staged, verified and loaded with.
#[derive(Clone)]
pub struct Workbench {
    staging: Staging,
    verifier: Arc<Verifier>,
    loader: Arc<Loader>,
}

impl fmt::Debug for Workbench {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Workbench").field("staging", &self.staging).finish_non_exhaustive()
    }
}

impl Workbench {
    /// Puts these together. Used within a tokio runtime.
    pub fn new(staging: Staging, verifier: Verifier, loader: Arc<Loader>) -> Self {
        Workbench { staging, verifier: Arc::new(verifier), loader }
    }

    /// Files are read and hashed where that may take its time; then the verdict is had.
    fn ready(
        &self,
        stage: impl FnOnce(&Staging) -> Result<Artifact, StageError> + Send + 'static,
    ) -> BoxFuture<Result<Arc<dyn Candidate>, Failure>> {
        let bench = self.clone();
        Box::pin(async move {
            let staging = bench.staging.clone();
            let staged = spawn_blocking(move || stage(&staging)).await;
            let artifact = staged.map_err(|error| Failure::transient(Stage::Verify, error.to_string()))?;
            let artifact = artifact.map_err(|error| staging_failed(&error))?;
            match bench.verifier.verify(&artifact).await.map_err(|error| verifying_failed(&error))? {
                Verdict::Bad(reason) => Err(Failure::new(Stage::Verify, reason)),
                Verdict::Good(report) => {
                    if let Some(unseen) = &report.unseen {
                        let (plugin, digest) = (artifact.sections.manifest.name.as_str(), artifact.digest);
                        tracing::info!(
                            plugin,
                            %digest,
                            "with a configuration made of its schema alone, {unseen}; its real configuration decides"
                        );
                    }
                    let schema = schema_of(report.config_schema.as_deref())
                        .map_err(|unusable| Failure::new(Stage::Verify, unusable.to_string()))?;
                    schemas_of_work(&artifact.sections.manifest).map_err(|why| Failure::new(Stage::Verify, why))?;
                    let (stays, loader) = (report.stays, bench.loader);
                    Ok(Arc::new(Verified { artifact, schema, stays, loader }) as Arc<dyn Candidate>)
                }
            }
        })
    }
}

impl Loading for Workbench {
    fn prepare(&self, candidate: &Path) -> BoxFuture<Result<Arc<dyn Candidate>, Failure>> {
        let candidate = candidate.to_owned();
        self.ready(move |staging| staging.stage(&candidate))
    }

    fn recall(&self, digest: Digest) -> BoxFuture<Result<Arc<dyn Candidate>, Failure>> {
        let loader = self.loader.clone();
        self.ready(move |staging| staging.recall(digest, loader.copies()))
    }
}

/// A staged artifact with a good verdict.
struct Verified {
    artifact: Artifact,
    schema: Option<Arc<dyn ConfigSchema>>,
    stays: Option<String>,
    loader: Arc<Loader>,
}

/// What judges by a schema's document; else why nothing can, in one sentence.
pub fn read_schema(text: &str) -> Result<Arc<dyn ConfigSchema>, String> {
    let read = Schema::read(text).map_err(|unusable| unusable.reason().to_owned())?;
    Ok(Arc::new(read))
}

/// Whether all schemas of its executions and its tasks can be used: else a sentence.
fn schemas_of_work(manifest: &Manifest) -> Result<(), String> {
    let executed = &manifest.camlock.execute;
    let mut schemas =
        vec![("`execute.input`".to_owned(), &executed.input), ("`execute.output`".to_owned(), &executed.output)];
    for kind in &manifest.camlock.task_types {
        schemas.push((format!("`input` of the task type `{}`", kind.name), &kind.input));
        schemas.push((format!("`output` of the task type `{}`", kind.name), &kind.output));
    }
    for (place, schema) in schemas {
        if let Some(schema) = schema {
            read_schema(&schema.to_string()).map_err(|why| format!("{place}: {why}"))?;
        }
    }
    Ok(())
}

fn schema_of(text: Option<&str>) -> Result<Option<Arc<dyn ConfigSchema>>, UnusableSchema> {
    text.map(|text| Ok(Arc::new(Schema::read(text)?) as Arc<dyn ConfigSchema>)).transpose()
}

impl Candidate for Verified {
    fn manifest(&self) -> &Manifest {
        &self.artifact.sections.manifest
    }

    fn digest(&self) -> Option<Digest> {
        Some(self.artifact.digest)
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.artifact.path)
    }

    fn schema(&self) -> Option<Arc<dyn ConfigSchema>> {
        self.schema.clone()
    }

    fn migrations(&self) -> &[MigrationFile] {
        &self.artifact.sections.migrations
    }

    fn stays(&self) -> Option<&str> {
        self.stays.as_deref()
    }

    fn load(&self, start: GenerationStart) -> BoxFuture<Result<Loaded, Failure>> {
        let (loader, artifact) = (self.loader.clone(), self.artifact.clone());
        Box::pin(async move {
            let (copier, original) = (loader.clone(), artifact.clone());
            let copied = spawn_blocking(move || copier.private_copy(&original)).await;
            let copied = copied.map_err(|error| Failure::transient(Stage::Load, error.to_string()))?;
            // Not on that thread: it gives way to others, and the threads that are started here are to be like all.
            let loaded = loader.load_copy(copied.map_err(|error| loading_failed(&error))?, &artifact, start);
            loaded.await.map_err(|error| loading_failed(&error))
        })
    }
}

/// A plugin that is compiled into the program. It needs no verification: it is the program's own code.
pub fn compiled_in(plugin: BuiltIn, loader: Arc<Loader>) -> Result<Arc<dyn Candidate>, Unfit> {
    let Sections { manifest, migrations, .. } = inspect_built_in(&plugin)?;
    let schema = schema_of(plugin.config_schema().as_deref()).map_err(|unusable| Unfit(unusable.to_string()))?;
    schemas_of_work(&manifest).map_err(Unfit)?;
    Ok(Arc::new(CompiledIn { plugin, manifest, migrations, schema, loader }))
}

struct CompiledIn {
    plugin: BuiltIn,
    manifest: Manifest,
    migrations: Vec<MigrationFile>,
    schema: Option<Arc<dyn ConfigSchema>>,
    loader: Arc<Loader>,
}

impl Candidate for CompiledIn {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn digest(&self) -> Option<Digest> {
        None
    }

    fn schema(&self) -> Option<Arc<dyn ConfigSchema>> {
        self.schema.clone()
    }

    fn migrations(&self) -> &[MigrationFile] {
        &self.migrations
    }

    fn stays(&self) -> Option<&str> {
        None
    }

    fn load(&self, start: GenerationStart) -> BoxFuture<Result<Loaded, Failure>> {
        let (loader, plugin) = (self.loader.clone(), self.plugin);
        Box::pin(async move { loader.load_built_in(&plugin, start).await.map_err(|error| loading_failed(&error)) })
    }
}

fn staging_failed(error: &StageError) -> Failure {
    let transient = match error {
        StageError::Unfit(_) | StageError::Rotten(_) => false,
        StageError::Unreadable { .. } | StageError::Changing(_) | StageError::NoCopy { .. } => true,
    };
    Failure { transient, ..Failure::new(Stage::Verify, error.to_string()) }
}

fn verifying_failed(error: &VerifyError) -> Failure {
    let transient = !matches!(error, VerifyError::NotArmed);
    Failure { transient, ..Failure::new(Stage::Verify, error.to_string()) }
}

fn loading_failed(error: &LoadError) -> Failure {
    Failure { transient: error.is_transient(), ..Failure::new(Stage::Load, error.to_string()) }
}
