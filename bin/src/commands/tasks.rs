//! `camlock tasks`: the queue of what plugins have done later.

use crate::{
    Failed,
    client::{Client, Reach, encoded, read_all, run},
    print::{self, Paint, Table, Tone, ago},
};
use camlock_api::{ScheduleView, TaskView};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

#[derive(Args)]
pub(crate) struct TasksOptions {
    #[command(subcommand)]
    act: Option<TaskAct>,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Subcommand)]
enum TaskAct {
    /// List tasks, the newest first (what is done if nothing is said)
    List {
        /// Only of this plugin
        #[arg(long)]
        plugin: Option<String>,
        /// Only of this type
        #[arg(long = "type")]
        kind: Option<String>,
        /// Only in this state: waiting, running, done, dead, cancelled
        #[arg(long)]
        state: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show all that is known of a task
    Show {
        /// Its id
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Give a task up
    Cancel {
        /// Its id
        id: String,
    },
    /// Have a task tried again that is dead or cancelled
    Retry {
        /// Its id
        id: String,
    },
}

pub(crate) fn run_it(options: &TasksOptions) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let usual = TaskAct::List { plugin: None, kind: None, state: None, json: false };
    let one = |id: &str| format!("/api/v1/tasks/{}", encoded(id));
    let outcome = match options.act.as_ref().unwrap_or(&usual) {
        TaskAct::List { plugin, kind, state, json } => {
            let filters = [("plugin", plugin), ("type", kind), ("state", state)];
            let filters = filters.iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
            let query: String = filters.map(|(name, value)| format!("&{name}={}", encoded(value))).collect();
            let path = format!("/api/v1/tasks?limit=500{query}");
            run(async { Ok(client.list(&path).await) })?.map(|items| list(&items, *json))
        }
        TaskAct::Show { id, json } => {
            run(async { Ok(client.ask(Method::GET, &one(id), None).await) })?.map(|task| show(task, *json))
        }
        TaskAct::Cancel { id } => act(&client, &format!("{}/cancel", one(id)))?,
        TaskAct::Retry { id } => act(&client, &format!("{}/retry", one(id)))?,
    };
    outcome.unwrap_or_else(|problem| Err(problem.into()))
}

type Answered = Result<Result<(), Failed>, crate::client::Problem>;

fn act(client: &Client, path: &str) -> Result<Answered, Failed> {
    let done = run(async { Ok(client.ask(Method::POST, path, None).await) })?;
    Ok(done.map(|task| {
        let task = read(task)?;
        let asked = if task.cancel && task.state == "running" { ", and is told to end" } else { "" };
        print::line(format_args!("task {} is {}{asked}", task.id, task.state));
        Ok(())
    }))
}

fn read(task: Value) -> Result<TaskView, Failed> {
    read_all(&[task])?.pop().ok_or_else(|| Failed::from("the server told of no task".to_owned()))
}

fn list(items: &[Value], as_data: bool) -> Result<(), Failed> {
    if as_data {
        print::json(&json!({ "items": items, "next": null }));
        return Ok(());
    }
    let tasks: Vec<TaskView> = read_all(items)?;
    if tasks.is_empty() {
        print::line(format_args!("there are no tasks like that"));
        return Ok(());
    }
    let mut table = Table::new(&["ID", "PLUGIN", "TYPE", "STATE", "ATTEMPT", "ENQUEUED", "ERROR"]);
    for task in &tasks {
        let tone = if task.state == "dead" { Tone::Bad } else { Tone::Plain };
        table.row([
            (&task.id, Tone::Strong),
            (&print::plain(&task.plugin), Tone::Plain),
            (&print::plain(&task.kind), Tone::Plain),
            (&task.state, tone),
            (&task.attempt.to_string(), Tone::Plain),
            (&ago(task.enqueued), Tone::Plain),
            (&print::plain(task.error.as_deref().unwrap_or_default()), Tone::Plain),
        ]);
    }
    print::line(table.text(Paint::stdout()));
    Ok(())
}

fn show(task: Value, as_data: bool) -> Result<(), Failed> {
    if as_data {
        print::json(&task);
        return Ok(());
    }
    let task = read(task)?;
    let line = |name: &str, value: &str| print::line(format_args!("{name:9} {}", print::plain(value)));
    line("task", &task.id);
    line("plugin", &task.plugin);
    line("type", &task.kind);
    line("state", &task.state);
    let of = task.attempts.map(|attempts| format!(" of {attempts}")).unwrap_or_default();
    line("attempt", &format!("{}, {}{of} failed", task.attempt, task.failures));
    line("enqueued", &ago(task.enqueued));
    for (name, at) in [("begun", task.begun), ("ended", task.ended)] {
        if let Some(at) = at {
            line(name, &ago(at));
        }
    }
    if let Some(error) = &task.error {
        line("error", error);
    }
    for (name, value) in [("input", &task.input), ("progress", &task.progress), ("result", &task.result)] {
        if !value.is_null() {
            line(name, &value.to_string());
        }
    }
    Ok(())
}

/// The schedules of a plugin, below what else is shown of it.
pub(super) fn show_schedules(schedules: &[ScheduleView]) {
    if schedules.is_empty() {
        return;
    }
    let mut table = Table::new(&["SCHEDULE", "TIMES", "NEXT", "LAST", "TASK"]);
    for schedule in schedules {
        let time = |at: Option<camlock_api::UtcTime>| at.map(|at| at.to_string()).unwrap_or_default();
        table.row([
            (&schedule.name, Tone::Strong),
            (&print::plain(&schedule.times), Tone::Plain),
            (&time(schedule.next), Tone::Plain),
            (&time(schedule.last), Tone::Plain),
            (schedule.last_task.as_deref().unwrap_or_default(), Tone::Plain),
        ]);
    }
    print::line(format_args!("\n{}", table.text(Paint::stdout())));
}
