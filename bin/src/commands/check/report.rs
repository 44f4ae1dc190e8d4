//! What a check found, for people and for programs.

use super::{super::workshop::Workshop, conflicts::Conflict};
use crate::{
    Failed,
    print::{self, Paint, Table, Tone},
};
use camlock_loader::{Artifact, VerificationReport};
use camlock_policy::{Entry, Failure, Manifest, Stage, routes::MOUNTS};
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};

/// What was found.
pub(super) struct Checked {
    path: PathBuf,
    entry: Entry,
    pub(super) stages: Vec<(&'static str, Duration)>,
    pub(super) outcome: CheckOutcome,
    pub(super) conflicts: Vec<Conflict>,
    /// What compilers said, if it was not printed.
    pub(super) said: Vec<String>,
}

/// How far it came.
pub(super) enum CheckOutcome {
    /// A server can load it.
    Good { artifact: Box<Artifact>, report: VerificationReport },
    /// It cannot.
    Failed(Failure),
}

impl Checked {
    pub(super) fn new(workshop: &Workshop, path: PathBuf) -> Self {
        let unknown = Failure::new(Stage::Build, "it was not built");
        Checked {
            path,
            entry: workshop.entry.clone(),
            stages: Vec::new(),
            outcome: CheckOutcome::Failed(unknown),
            conflicts: Vec::new(),
            said: Vec::new(),
        }
    }

    /// Whether a server would serve it.
    pub(super) fn verdict(&self) -> Result<(), Failed> {
        let name = &self.entry.name;
        if let CheckOutcome::Failed(failure) = &self.outcome {
            return Err(format!("{name}: {} failed: {}", failure.stage, failure.reason).into());
        }
        let hard: Vec<_> = self.conflicts.iter().filter(|conflict| !conflict.passing).collect();
        match hard.first() {
            None => Ok(()),
            Some(first) if hard.len() == 1 => {
                Err(format!("{name} is good, but it would not be served: {}", first.what).into())
            }
            Some(_) => {
                let count = print::counted(hard.len(), "conflict");
                Err(format!("{name} is good, but it would not be served: {count} with others").into())
            }
        }
    }

    pub(super) fn text(&self) -> String {
        let paint = Paint::stdout();
        let mut table = Table::new(&[]);
        let mut row = |name: &str, value: &str, tone| table.row([(name, Tone::Quiet), (value, tone)]);
        row("plugin", &self.path.display().to_string(), Tone::Strong);
        let failed_at = match &self.outcome {
            CheckOutcome::Failed(failure) => Some(failure.stage),
            CheckOutcome::Good { .. } => None,
        };
        let manifest = if failed_at == Some(Stage::Manifest) { ("failed", Tone::Bad) } else { ("good", Tone::Good) };
        row("manifest", manifest.0, manifest.1);
        for (stage, took) in &self.stages {
            let took = print::milliseconds(took.as_secs_f64() * 1e3);
            let failed = failed_at.is_some_and(|at| at.to_string() == *stage);
            let (word, tone) = if failed { ("failed", Tone::Bad) } else { ("good", Tone::Good) };
            row(stage, &format!("{word} ({took})"), tone);
        }
        if failed_at == Some(Stage::Build) {
            row("build", "failed", Tone::Bad);
        }
        if let CheckOutcome::Good { artifact, report } = &self.outcome {
            let manifest = &artifact.sections.manifest;
            row("registers", &format!("{} {}", manifest.name, manifest.version), Tone::Plain);
            row("urls", &urls(manifest).join("  "), Tone::Plain);
            for (method, path) in endpoints(manifest, report) {
                row("endpoint", &format!("{method:<6} {path}"), Tone::Plain);
            }
            for (needed, versions) in &manifest.camlock.dependencies {
                row("depends on", &format!("{needed} {versions}"), Tone::Plain);
            }
            for permission in &manifest.camlock.permissions {
                row("asks for", permission, Tone::Plain);
            }
            for file in &artifact.sections.migrations {
                let when = if file.contracts() { " (once a version that ends with it stays)" } else { "" };
                row("migration", &format!("{}{when}", file.file_name()), Tone::Plain);
            }
            if report.config_schema.is_some() {
                row("config", "has a schema", Tone::Plain);
            }
            if let Some(unseen) = &report.unseen {
                let words =
                    format!("with a configuration made of its schema alone, {unseen}; its real configuration decides");
                row("unseen", &words, Tone::Careful);
            }
            for lint in lints(manifest, report) {
                row("lint", &lint, Tone::Careful);
            }
        }
        for conflict in &self.conflicts {
            row(
                if conflict.passing { "waits" } else { "conflict" },
                &conflict.what,
                if conflict.passing { Tone::Careful } else { Tone::Bad },
            );
        }
        table.text(paint)
    }

    pub(super) fn json(&self) -> Value {
        let mut document = json!({
            "name": self.entry.name, "path": self.path, "good": self.verdict().is_ok(), "failed": null, "registers": null,
            "artifact": null, "lints": [], "compiler": self.said,
            "conflicts": self.conflicts.iter().map(|conflict| json!({
                "with": conflict.with, "path": conflict.path, "what": conflict.what, "passing": conflict.passing,
            })).collect::<Vec<_>>(),
            "stages": {},
        });
        for (stage, took) in &self.stages {
            document["stages"][*stage] = ((took.as_secs_f64() * 1e6).round() / 1e3).into();
        }
        match &self.outcome {
            CheckOutcome::Failed(failure) => {
                document["failed"] =
                    json!({ "stage": failure.stage, "reason": failure.reason, "diagnostics": failure.diagnostics });
            }
            CheckOutcome::Good { artifact, report } => {
                let manifest = &artifact.sections.manifest;
                let endpoints = endpoints(manifest, report).into_iter();
                document["registers"] = json!({
                    "name": manifest.name, "version": manifest.version, "description": manifest.description,
                    "category": manifest.camlock.category.map(|category| category.word()), "routes": manifest.camlock.routes,
                    "urls": urls(manifest), "dependencies": manifest.camlock.dependencies,
                    "permissions": manifest.camlock.permissions,
                    "endpoints": endpoints.map(|(method, path)| json!({ "method": method, "path": path })).collect::<Vec<_>>(),
                });
                document["migrations"] = artifact
                    .sections
                    .migrations
                    .iter()
                    .map(|file| json!({ "file": file.file_name(), "contracts": file.contracts() }))
                    .collect();
                document["config_schema"] = report.config_schema.is_some().into();
                document["unseen"] = report.unseen.clone().into();
                document["artifact"] = artifact.digest.to_string().into();
                document["lints"] = lints(manifest, report).into();
            }
        }
        document
    }
}

/// Where it would be reached.
fn urls(manifest: &Manifest) -> Vec<String> {
    let mut urls = vec![format!("{MOUNTS}{}/", manifest.name)];
    urls.extend(manifest.camlock.routes.iter().cloned());
    urls
}

/// What its document says that it answers.
fn endpoints(manifest: &Manifest, report: &VerificationReport) -> Vec<(String, String)> {
    let document = report.openapi.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let paths = document.as_ref().and_then(|document| document["paths"].as_object());
    let mut endpoints = Vec::new();
    for (path, methods) in paths.into_iter().flatten() {
        for method in
            methods.as_object().into_iter().flatten().map(|(method, _)| method).filter(|method| is_method(method))
        {
            endpoints.push((method.to_uppercase(), format!("{MOUNTS}{}{path}", manifest.name)));
        }
    }
    endpoints
}

fn is_method(key: &str) -> bool {
    matches!(key, "get" | "put" | "post" | "delete" | "options" | "head" | "patch" | "trace")
}

/// What is not wrong, and could be better.
fn lints(manifest: &Manifest, report: &VerificationReport) -> Vec<String> {
    let mut lints = Vec::new();
    if manifest.description.trim().is_empty() {
        lints.push("it has no `description`: lists show one".to_owned());
    }
    if manifest.camlock.category.is_none() {
        lints.push("it has no `category` under [package.metadata.camlock]: lists are filtered by it".to_owned());
    }
    if let Some(why) = &report.stays {
        lints.push(format!("its library would stay in the process when it is replaced: {why}"));
    }
    lints
}
