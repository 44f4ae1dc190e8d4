//! `camlock check`: everything that a server would do with a plugin before it serves it, and nothing that would be seen
//! afterwards.

mod conflicts;
mod report;

use super::{builds::BuildDisplay, workshop::Workshop};
use crate::{
    Failed,
    client::run,
    config::{Config, Flags, Profile},
    print,
};
use camlock_loader::{Artifact, Sections, Staging, Verdict, VerificationReport, Verifier, VerifierLimits};
use camlock_policy::{Failure, Stage, migrations};
use camlock_services::database::lint;
use clap::Args;
use report::{CheckOutcome, Checked};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

#[derive(Args)]
pub(crate) struct CheckArguments {
    /// The plugin: its folder, its .rs file or its .so file
    path: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How it is compiled
    #[arg(long, default_value = "quick")]
    profile: Profile,
    /// The plugins among which it would lie [default: plugins]
    #[arg(long, env = "CAMLOCK_PLUGINS", value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// The configuration file [default: the nearest camlock.toml at or above the current directory]
    #[arg(long, env = "CAMLOCK_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) fn run_it(options: &CheckArguments) -> Result<(), Failed> {
    let flags = Flags { config: options.config.clone(), plugins: options.plugins.clone(), ..Flags::default() };
    let config = Config::read(&flags)?;
    let show = BuildDisplay::new();
    let warnings: Arc<Mutex<Vec<String>>> = Arc::default();
    let listener = if options.json { collector(&warnings) } else { show.listener() };
    let workshop = Workshop::open(&options.path, &config, options.profile, Some(listener))?;
    let mut checked = Checked::new(&workshop, options.path.clone());
    run(check(&mut checked, &workshop, &show, &config))?;
    checked.said = std::mem::take(&mut warnings.lock().unwrap_or_else(PoisonError::into_inner));
    if options.json {
        print::json(&checked.json());
    } else {
        if let CheckOutcome::Failed(failure) = &checked.outcome {
            // What compilers said stands above the report; the reason is the command's last line.
            drop(show.failed(failure));
        }
        print::line(checked.text());
    }
    checked.verdict()
}

/// Keeps what compilers say.
fn collector(said: &Arc<Mutex<Vec<String>>>) -> camlock_build::CompilerListener {
    let said = said.clone();
    let hear = move |message: &str| said.lock().unwrap_or_else(PoisonError::into_inner).push(message.to_owned());
    camlock_build::CompilerListener { colours: false, hear: Arc::new(hear) }
}

async fn check(checked: &mut Checked, workshop: &Workshop, show: &BuildDisplay, config: &Config) -> Result<(), Failed> {
    let began = Instant::now();
    let built = show.build(workshop).await?;
    let outcome = match built {
        Ok(built) => {
            checked.stages.push(("build", began.elapsed()));
            let began = Instant::now();
            let verified = verify(&built.candidate, config).await;
            checked.stages.push(("verify", began.elapsed()));
            verified
        }
        Err(failure) => Err(failure),
    };
    let outcome = outcome.and_then(|(artifact, report)| {
        let sections = &artifact.sections;
        if sections.migrations.is_empty() {
            return Ok((artifact, report));
        }
        let began = Instant::now();
        let read = read_migrations(sections);
        checked.stages.push(("migrate", began.elapsed()));
        read.map(|()| (artifact, report))
    });
    checked.outcome = match outcome {
        Ok((artifact, report)) => {
            checked.conflicts = conflicts::find(&artifact.sections.manifest, &workshop.alone.path, config).await?;
            CheckOutcome::Good { artifact: Box::new(artifact), report }
        }
        Err(failure) => CheckOutcome::Failed(failure),
    };
    Ok(())
}

/// Reads the SQL with which it makes its tables, for each database that it is for.
fn read_migrations(sections: &Sections) -> Result<(), Failure> {
    let failed = |why: String| Err(Failure::new(Stage::Migrate, why));
    if let Some(why) = migrations::never_run(&sections.manifest, &sections.migrations) {
        return failed(why.to_owned());
    }
    let findings = lint::lint(&sections.manifest.name, &sections.migrations);
    if findings.is_empty() { Ok(()) } else { failed(lint::in_words(&findings)) }
}

/// Tries the library in a process of its own, as a server does. Nothing of it is kept.
async fn verify(candidate: &std::path::Path, config: &Config) -> Result<(Artifact, VerificationReport), Failure> {
    let failed = |why: String| Failure::new(Stage::Verify, why);
    let scratch = tempfile::tempdir().map_err(|error| failed(format!("no directory can be made: {error}")))?;
    let staging = Staging::at(scratch.path().join("artifacts")).map_err(|error| failed(error.to_string()))?;
    let artifact = staging.stage(candidate).map_err(|error| failed(error.to_string()))?;
    let limits = VerifierLimits { time: config.settings.limits.verify, ..VerifierLimits::default() };
    let verifier = Verifier::new(scratch.path().join("verdicts"), limits).map_err(|error| failed(error.to_string()))?;
    let variables = config.variables.clone();
    let verifier = verifier.with_variables(Arc::new(move |plugin| variables.get(plugin).cloned().unwrap_or_default()));
    match verifier.verify(&artifact).await.map_err(|error| failed(error.to_string()))? {
        Verdict::Good(report) => Ok((artifact, report)),
        Verdict::Bad(reason) => Err(failed(reason).with_hint()),
    }
}
