//! `camlock doctor`: what is wrong here, and how to mend it.
//!
//! Each check tries the thing itself: a library is linked, a file is written, the address is listened on. What must not live here:
//! mending.

mod database;
mod fences;
mod places;
mod secrets;
mod served;
mod server;
mod tools;

pub(crate) use served::doctor;

use crate::{
    Failed,
    client::run,
    config::{Config, Flags},
    print::{self, Paint, Table, Tone},
};
use camlock_api::{Finding, FindingLevel};
use clap::Args;
use serde_json::json;

#[derive(Args)]
pub(crate) struct DoctorOptions {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

pub(crate) fn run_it(options: &DoctorOptions) -> Result<(), Failed> {
    let config = Config::read(&options.flags)?;
    let findings = run(async {
        let mut findings = machine(&config).await;
        findings.extend(server::look(&config).await);
        Ok(findings)
    })?;
    let wrong = findings.iter().filter(|finding| finding.level == FindingLevel::Wrong).count();
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

/// What is found without a server: tools, directories, what isolates plugins, the registry.
async fn machine(config: &Config) -> Vec<Finding> {
    let mut findings = tools::look(config);
    findings.extend(places::look(config));
    findings.push(fences::look(config.settings.isolation.requires_all));
    findings.push(database::look(config).await);
    findings.extend(secrets::look(config).await);
    findings
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new(&[]);
    for finding in findings {
        let (word, tone) = match finding.level {
            FindingLevel::Good => ("good", Tone::Good),
            FindingLevel::Warning => ("warning", Tone::Careful),
            FindingLevel::Wrong => ("wrong", Tone::Bad),
        };
        table.row([(word, tone), (&finding.about, Tone::Strong), (&finding.found, Tone::Plain)]);
        if let Some(remedy) = &finding.remedy {
            table.note(&format!("→ {remedy}"));
        }
    }
    table
}
