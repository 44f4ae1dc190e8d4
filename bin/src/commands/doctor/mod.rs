//! `camlock doctor`: what is wrong here, and how to mend it.
//!
//! Each check tries the thing itself: a library is linked, a file is written, the address is listened on. What must not live here:
//! mending.

mod database;
mod fences;
mod places;
mod secrets;
mod server;
mod tools;

use crate::{
    Failed,
    client::run,
    config::{Config, Flags},
    print::{self, Paint, Table, Tone},
};
use clap::Args;
use serde::Serialize;
use serde_json::json;

#[derive(Args)]
pub(crate) struct DoctorOptions {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Good,
    Warning,
    Wrong,
}

/// Something that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// In a word.
    about: &'static str,
    level: Severity,
    /// What was found, in a sentence.
    found: String,
    /// What to do, where there is something to do.
    remedy: Option<String>,
}

impl Finding {
    pub(crate) fn good(about: &'static str, found: impl Into<String>) -> Self {
        Finding { about, level: Severity::Good, found: found.into(), remedy: None }
    }

    pub(crate) fn warning(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { about, level: Severity::Warning, found: found.into(), remedy: Some(remedy.into()) }
    }

    pub(crate) fn wrong(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { about, level: Severity::Wrong, found: found.into(), remedy: Some(remedy.into()) }
    }
}

pub(crate) fn run_it(options: &DoctorOptions) -> Result<(), Failed> {
    let config = Config::read(&options.flags)?;
    let mut findings = tools::look(&config);
    findings.extend(places::look(&config));
    findings.push(fences::look(config.settings.isolation_requires_all));
    run(async {
        findings.push(database::look(&config).await);
        findings.extend(secrets::look(&config).await);
        findings.extend(server::look(&config).await);
        Ok(())
    })?;
    let wrong = findings.iter().filter(|finding| finding.level == Severity::Wrong).count();
    if options.json {
        print::json(&json!({ "good": wrong == 0, "findings": findings }));
    } else {
        print::line(table(&findings).text(Paint::stdout()));
    }
    match wrong {
        0 => Ok(()),
        1 => Err("1 thing is wrong: see the remedy above".into()),
        wrong => Err(format!("{wrong} things are wrong: see the remedies above").into()),
    }
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new(&[]);
    for finding in findings {
        let (word, tone) = match finding.level {
            Severity::Good => ("good", Tone::Good),
            Severity::Warning => ("warning", Tone::Careful),
            Severity::Wrong => ("wrong", Tone::Bad),
        };
        table.row([(word, tone), (finding.about, Tone::Strong), (&finding.found, Tone::Plain)]);
        if let Some(remedy) = &finding.remedy {
            table.note(&format!("→ {remedy}"));
        }
    }
    table
}
