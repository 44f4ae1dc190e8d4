//! `camlock execute` and `camlock executions`: what plugins work out, and the log of it.

use super::named::explained;
use crate::{
    Failed,
    client::{Client, Reach, encoded, read, read_all, run},
    print::{self, Paint, Table, Tone},
};
use camlock_api::{ExecutionResultView, ExecutionStatus, ExecutionView};
use clap::Args;
use http::Method;
use serde_json::{Value, json};
use std::io::{self, Read};

#[derive(Args)]
pub(crate) struct ExecuteOptions {
    /// The plugin
    name: String,
    /// What it is about, as JSON; `-`: what stdin holds
    #[arg(default_value = "null", value_name = "JSON")]
    input: String,
    /// What the plugin is told of the circumstances, as JSON
    #[arg(long, value_name = "JSON")]
    context: Option<String>,
    /// It may take so many seconds [default: as long as usual]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    time: Option<u32>,
    /// Print all that is known of it as JSON, not the result alone
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args)]
pub(crate) struct ExecutionList {
    /// The plugin
    name: String,
    /// Only those that came to this: success, error, timeout, cancelled, security_violation
    #[arg(long, value_parser = status)]
    status: Option<ExecutionStatus>,
    /// So many of the latest, at most
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=500))]
    lines: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

fn status(word: &str) -> Result<ExecutionStatus, String> {
    let words = || ExecutionStatus::ALL.map(ExecutionStatus::word).join(", ");
    ExecutionStatus::of_word(word).ok_or_else(|| format!("it is one of {}", words()))
}

pub(crate) fn run_it(options: &ExecuteOptions) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let mut order = json!({ "input": document("the input", &options.input)? });
    if let Some(context) = &options.context {
        order["context"] = document("--context", context)?;
    }
    if let Some(seconds) = options.time {
        order["timeout_ms"] = json!(u64::from(seconds) * 1000);
    }
    let path = format!("/api/v1/plugins/{}/execute", encoded(&options.name));
    let answer = run(async {
        match client.ask(Method::POST, &path, Some(&order)).await {
            Ok(answer) => Ok(answer),
            Err(problem) => Err(explained(&client, &options.name, problem).await),
        }
    })?;
    let ended: ExecutionResultView = read(&answer)?;
    match (options.json, ended.status) {
        (true, _) => print::json(&answer),
        (false, ExecutionStatus::Success) => print::json(&ended.result),
        (false, _) => {}
    }
    match ended.status {
        ExecutionStatus::Success => Ok(()),
        status => {
            let why = ended.error.unwrap_or_default();
            Err(Failed::from(format!(
                "{}: {} after {} ms: {}",
                options.name,
                status.word(),
                ended.execution_time_ms,
                print::plain(&why)
            )))
        }
    }
}

/// What somebody wrote as JSON.
fn document(what: &str, text: &str) -> Result<Value, Failed> {
    let text = if text == "-" {
        let mut all = String::new();
        io::stdin().read_to_string(&mut all).map_err(|error| Failed::from(format!("stdin cannot be read: {error}")))?;
        all
    } else {
        text.to_owned()
    };
    serde_json::from_str(&text).map_err(|error| Failed::usage(format!("{what} is no JSON: {error}")))
}

pub(crate) fn list(options: &ExecutionList) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let status = options.status.map(|status| format!("&status={}", status.word())).unwrap_or_default();
    let path = format!("/api/v1/plugins/{}/executions?limit={}{status}", encoded(&options.name), options.lines);
    let page = run(async {
        match client.get(&path).await {
            Ok(page) => Ok(page),
            Err(problem) => Err(explained(&client, &options.name, problem).await),
        }
    })?;
    if options.json {
        print::json(&page);
        return Ok(());
    }
    let executions: Vec<ExecutionView> = read_all(page["items"].as_array().map_or(&[], Vec::as_slice))?;
    if executions.is_empty() {
        print::line(format_args!("{} has worked out nothing like that", options.name));
        return Ok(());
    }
    print::line(table(&executions).text(Paint::stdout()));
    Ok(())
}

fn table(executions: &[ExecutionView]) -> Table {
    let mut table = Table::new(&["BEGUN", "STATUS", "TOOK", "IN", "OUT", "BY", "WHY"]);
    for one in executions {
        let tone = if one.status == ExecutionStatus::Success { Tone::Good } else { Tone::Bad };
        let why = print::short(one.error.as_deref().unwrap_or_default()).replace('\n', " ");
        table.row([
            (&one.begun.to_string(), Tone::Plain),
            (one.status.word(), tone),
            (&format!("{} ms", one.execution_time_ms), Tone::Plain),
            (&one.input_bytes.to_string(), Tone::Plain),
            (&one.output_bytes.to_string(), Tone::Plain),
            (&print::plain(&one.by), Tone::Quiet),
            (&why, Tone::Plain),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_execution_is_a_line() {
        let logged = json!([{
            "id": "018bcfe5-6800-7000-8000-000000000001", "status": "error", "begun": "2026-01-02T03:04:05Z",
            "execution_time_ms": 12, "generation": 3, "input_bytes": 40, "output_bytes": 0, "error": "the disk\nis full",
            "by": "admin",
        }]);
        let logged: Vec<ExecutionView> = read_all(logged.as_array().unwrap()).unwrap();
        let told = table(&logged).text(Paint::off());
        let lines: Vec<_> = told.lines().map(str::trim_end).collect();
        let expected = [
            "BEGUN                 STATUS  TOOK   IN  OUT  BY     WHY",
            "2026-01-02T03:04:05Z  error   12 ms  40  0    admin  the disk is full",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_is_no_json_is_said() {
        let refused = document("the input", "{a").unwrap_err();
        assert_eq!((refused.code, refused.reason.starts_with("the input is no JSON: ")), (2, true));
        assert_eq!(status("done").unwrap_err(), "it is one of success, error, timeout, cancelled, security_violation");
    }
}
