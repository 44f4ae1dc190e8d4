//! Everything that is counted, as Prometheus reads it (text, 0.0.4). The only labels are plugins, classes of statuses, codes of
//! errors and what came of executions.

use crate::{
    state::{Control, ControlState},
    tally::Tally,
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use camlock_http::{BOUNDS, CLASSES, Meter};
use camlock_policy::{
    AskCounts, AskErrorCode, EventCounts, ExecutionCounts, ExecutionStatus, LivePlugin, ProcessView, QueuedCounts,
};
use http::header::CONTENT_TYPE;
use std::{
    collections::{BTreeMap, HashMap},
    fmt::{Display, Write as _},
    fs,
    sync::{Arc, PoisonError, atomic::Ordering},
};

/// What is counted of the server and of its plugins.
#[utoipa::path(get, path = "/metrics", tag = "probes", responses(
    (status = 200, description = "Prometheus' text format 0.0.4", body = String, content_type = "text/plain; version=0.0.4"),
))]
pub(super) async fn metrics(State(control): ControlState) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], render(&control)).into_response()
}

fn render(control: &Control) -> String {
    let mut tally = control.tally.lock().unwrap_or_else(PoisonError::into_inner);
    tally.look(&control.manager.overview());
    let meters = control.options.meters.all();
    let mut text = Text::default();
    of_requests(&mut text, &meters);
    of_asks(&mut text, &(control.options.asks)());
    if let Some(executions) = &control.options.executions {
        of_executions(&mut text, &executions.counts());
    }
    if let Some(events) = &control.options.events {
        of_events(&mut text, &events.counts());
    }
    of_tasks(&mut text, &control.options.tasks.as_ref().map(|tasks| tasks.counts()).unwrap_or_default());
    of_plugins(&mut text, &tally);
    let mut blocked: HashMap<Arc<str>, u64> = HashMap::new();
    for handler in control.options.blocked.all() {
        *blocked.entry(handler.plugin).or_default() += 1;
    }
    text.family("camlock_plugin_blocked_threads", "gauge", "Threads that a plugin's handlers block now.");
    for (plugin, _) in tally.all() {
        let blocked = blocked.get(&*plugin.name).copied().unwrap_or(0);
        text.plugin("camlock_plugin_blocked_threads", &plugin.name, blocked);
    }
    drop(tally);
    text.family("camlock_database_reconnects_total", "counter", "Times the registry's database was connected to anew.");
    text.line("camlock_database_reconnects_total", control.options.reconnects.load(Ordering::Relaxed));
    of_process(&mut text);
    text.0
}

/// A name, what it is, what it means, and how it is read.
type Family<S> = (&'static str, &'static str, &'static str, fn(&S) -> u64);

fn of_requests(text: &mut Text, meters: &[(Arc<str>, Arc<Meter>)]) {
    const REQUESTS: &str = "camlock_plugin_requests_total";
    const DURATION: &str = "camlock_plugin_request_duration_seconds";
    let counted: Vec<_> = meters
        .iter()
        .flat_map(|(plugin, meter)| (0..CLASSES).map(move |class| (plugin, class, meter.class(class))))
        .map(|(plugin, class, counted)| (plugin, class, counted, counted.buckets.iter().sum::<u64>()))
        .filter(|(_, _, _, all)| *all > 0)
        .collect();
    text.family(REQUESTS, "counter", "Requests to a plugin that were answered, by the class of the status.");
    for (plugin, class, _, all) in &counted {
        text.begin(REQUESTS, plugin, Some(*class));
        text.end(all);
    }
    text.family(DURATION, "histogram", "How long it took until the answer began.");
    let bounds = BOUNDS.map(|bound| format!("{}", bound as f64 / 1e6));
    let bounds = bounds.iter().map(String::as_str).chain(["+Inf"]);
    for (plugin, class, counted, all) in &counted {
        let mut below = 0;
        let mut head = Text::default();
        head.begin("camlock_plugin_request_duration_seconds_bucket", plugin, Some(*class));
        for (bucket, bound) in counted.buckets.iter().zip(bounds.clone()) {
            below += bucket;
            text.0.push_str(&head.0);
            text.0.push_str(",le=\"");
            text.0.push_str(bound);
            text.0.push('"');
            text.end(below);
        }
        text.begin("camlock_plugin_request_duration_seconds_sum", plugin, Some(*class));
        text.end(counted.seconds);
        text.begin("camlock_plugin_request_duration_seconds_count", plugin, Some(*class));
        text.end(all);
    }
    let families: [Family<Meter>; 3] = [
        (
            "camlock_plugin_requests_abandoned_total",
            "counter",
            "Requests to a plugin whose clients left before there was an answer.",
            Meter::all_left,
        ),
        ("camlock_plugin_panics_total", "counter", "Panics that were caught in a plugin.", Meter::panics),
        (
            "camlock_plugin_requests_lost_total",
            "counter",
            "Requests to a plugin that were under way in a process that died: the one before this one, or its own.",
            Meter::all_lost,
        ),
    ];
    for (name, sort, help, read) in families {
        text.family(name, sort, help);
        for (plugin, meter) in meters {
            text.plugin(name, plugin, read(meter));
        }
    }
}

fn of_asks(text: &mut Text, asks: &BTreeMap<String, AskCounts>) {
    const ASKS: &str = "camlock_plugin_asks_total";
    const ERRORS: &str = "camlock_plugin_ask_errors_total";
    const SLOWED: &str = "camlock_plugin_asks_slowed_total";
    const WAITED: &str = "camlock_plugin_asks_slowed_seconds_total";
    text.family(ASKS, "counter", "What a plugin asked of its host.");
    for (plugin, counts) in asks {
        text.plugin(ASKS, plugin, counts.asks);
    }
    text.family(
        ERRORS,
        "counter",
        "What a plugin asked and was refused, or could not be done, by the code of the error.",
    );
    for (plugin, counts) in asks {
        let coded = AskErrorCode::ALL.iter().zip(counts.errors).filter(|(_, count)| *count > 0);
        for (code, count) in coded {
            text.begin(ERRORS, plugin, None);
            let _ = write!(text.0, ",code=\"{}\"", code.word());
            text.end(count);
        }
    }
    text.family(
        SLOWED,
        "counter",
        "What a plugin asked and was held back: it had used up its share of a service's time.",
    );
    for (plugin, counts) in asks {
        text.plugin(SLOWED, plugin, counts.slowed);
    }
    text.family(WAITED, "counter", "How long that was held back, all together.");
    for (plugin, counts) in asks {
        text.plugin(WAITED, plugin, counts.slowed_for.as_secs_f64());
    }
}

fn of_executions(text: &mut Text, counts: &BTreeMap<String, ExecutionCounts>) {
    const ENDED: &str = "camlock_plugin_executions_total";
    const TOOK: &str = "camlock_plugin_execution_duration_seconds";
    text.family(ENDED, "counter", "What a plugin was to work out, by what came of it.");
    for (plugin, counts) in counts {
        let by_status = ExecutionStatus::ALL.iter().zip(counts.ended).filter(|(_, count)| *count > 0);
        for (status, count) in by_status {
            text.begin(ENDED, plugin, None);
            let _ = write!(text.0, ",status=\"{}\"", status.word());
            text.end(count);
        }
    }
    text.family(TOOK, "summary", "How long that took, whatever came of it.");
    for (plugin, counts) in counts {
        text.plugin("camlock_plugin_execution_duration_seconds_sum", plugin, counts.seconds);
        text.plugin("camlock_plugin_execution_duration_seconds_count", plugin, counts.ended.iter().sum::<u64>());
    }
    text.family("camlock_plugin_executions_running", "gauge", "What a plugin works out now.");
    for (plugin, counts) in counts {
        text.plugin("camlock_plugin_executions_running", plugin, counts.running);
    }
    text.family("camlock_plugin_executions_unlogged_total", "counter", "What ended and could not be logged.");
    for (plugin, counts) in counts {
        text.plugin("camlock_plugin_executions_unlogged_total", plugin, counts.unlogged);
    }
}

fn of_events(text: &mut Text, events: &BTreeMap<String, EventCounts>) {
    let families: [Family<EventCounts>; 7] = [
        ("camlock_plugin_events_emitted_total", "counter", "Events that a plugin emitted.", |counts| counts.emitted),
        (
            "camlock_plugin_events_loops_total",
            "counter",
            "Events that a plugin may not emit because too many others led to them.",
            |counts| counts.loops,
        ),
        ("camlock_plugin_events_delivered_total", "counter", "Events that a plugin's handlers took.", |counts| {
            counts.delivered
        }),
        ("camlock_plugin_events_failed_total", "counter", "Attempts at which a plugin's handlers failed.", |counts| {
            counts.failed
        }),
        (
            "camlock_plugin_events_dropped_total",
            "counter",
            "Events that a plugin never heard of, for too many waited.",
            |counts| counts.dropped,
        ),
        ("camlock_plugin_events_waiting", "gauge", "Events that wait for a plugin.", |counts| counts.waiting),
        ("camlock_plugin_events_dead", "gauge", "Events that were given up for a plugin.", |counts| counts.dead),
    ];
    for (name, sort, help, read) in families {
        text.family(name, sort, help);
        for (plugin, counts) in events {
            text.plugin(name, plugin, read(counts));
        }
    }
}

fn of_tasks(text: &mut Text, tasks: &BTreeMap<String, QueuedCounts>) {
    let families: [Family<QueuedCounts>; 5] = [
        ("camlock_plugin_tasks_waiting", "gauge", "Tasks of a plugin that wait, on all servers.", |counts| {
            counts.waiting
        }),
        ("camlock_plugin_tasks_running", "gauge", "Tasks of a plugin that run, on all servers.", |counts| {
            counts.running
        }),
        ("camlock_plugin_tasks_dead", "gauge", "Tasks of a plugin that failed as often as they may.", |counts| {
            counts.dead
        }),
        ("camlock_plugin_tasks_done_total", "counter", "Tasks that this server has done.", |counts| counts.done),
        ("camlock_plugin_task_failures_total", "counter", "Attempts that failed on this server.", |counts| {
            counts.failed
        }),
    ];
    for (name, sort, help, read) in families {
        text.family(name, sort, help);
        for (plugin, counts) in tasks {
            text.plugin(name, plugin, read(counts));
        }
    }
}

fn of_plugins(text: &mut Text, tally: &Tally) {
    let views: [Family<LivePlugin>; 7] = [
        ("camlock_plugin_serving", "gauge", "Whether a generation of the plugin serves.", |plugin| {
            u64::from(plugin.serving.is_some())
        }),
        (
            "camlock_plugin_in_flight",
            "gauge",
            "Requests without an answer, answers that are being read, and upgraded connections.",
            |plugin| plugin.in_flight() as u64,
        ),
        ("camlock_plugin_draining_generations", "gauge", "Replaced generations that end what they began.", |plugin| {
            plugin.draining.len() as u64
        }),
        ("camlock_plugin_pinned_generations", "gauge", "Generations that cannot leave the process.", |plugin| {
            plugin.pinned.len() as u64
        }),
        (
            "camlock_plugin_left_behind_bytes",
            "gauge",
            "Memory that generations left behind, of plugins that count theirs.",
            |plugin| plugin.serving.as_ref().and_then(|serving| serving.left_behind_bytes).unwrap_or(0),
        ),
        (
            "camlock_plugin_memory_bytes",
            "gauge",
            "Memory that what serves holds, of plugins that count theirs.",
            |plugin| plugin.now().serving.and_then(|serving| serving.memory_bytes).unwrap_or(0),
        ),
        ("camlock_plugin_descriptors", "gauge", "Descriptors that what serves has open.", |plugin| {
            plugin.now().serving.and_then(|serving| serving.descriptors).unwrap_or(0)
        }),
    ];
    for (name, sort, help, read) in views {
        text.family(name, sort, help);
        for (plugin, _) in tally.all() {
            text.plugin(name, &plugin.name, read(plugin));
        }
    }
    of_processes(text, tally);
    text.family("camlock_plugin_build_duration_seconds", "summary", "How long builds took, also those that failed.");
    for (plugin, counts) in tally.all() {
        text.plugin("camlock_plugin_build_duration_seconds_sum", &plugin.name, counts.building.as_secs_f64());
        text.plugin("camlock_plugin_build_duration_seconds_count", &plugin.name, counts.builds);
    }
    let counts: [Family<super::tally::Counts>; 6] = [
        ("camlock_plugin_builds_total", "counter", "Builds.", |counts| counts.builds),
        ("camlock_plugin_build_failures_total", "counter", "Builds that failed.", |counts| counts.failed_builds),
        ("camlock_plugin_loads_total", "counter", "Libraries that were to be loaded.", |counts| counts.loads),
        ("camlock_plugin_load_failures_total", "counter", "Those that could not be.", |counts| counts.failed_loads),
        ("camlock_plugin_swaps_total", "counter", "Generations that came to serve.", |counts| counts.swaps),
        ("camlock_plugin_drains_total", "counter", "Generations that were drained and left.", |counts| counts.drains),
    ];
    for (name, sort, help, read) in counts {
        text.family(name, sort, help);
        for (plugin, counts) in tally.all() {
            text.plugin(name, &plugin.name, read(counts));
        }
    }
}

/// Of plugins that have processes of their own.
fn of_processes(text: &mut Text, tally: &Tally) {
    let processes: Vec<(String, ProcessView)> =
        tally.all().filter_map(|(plugin, _)| Some((plugin.name.clone(), plugin.now().serving?.process?))).collect();
    let families: [Family<ProcessView>; 6] = [
        ("camlock_plugin_process_memory_bytes", "gauge", "Memory of a plugin's own process in RAM.", |process| {
            process.memory_bytes
        }),
        (
            "camlock_plugin_process_cpu_milliseconds",
            "gauge",
            "Processor time of a plugin's own process since it began.",
            |process| process.cpu_milliseconds,
        ),
        (
            "camlock_plugin_process_waited_milliseconds",
            "gauge",
            "How long a plugin's own process had to wait because it had used its share of the processor.",
            |process| process.waited_milliseconds,
        ),
        ("camlock_plugin_processes", "gauge", "Processes and threads of a plugin that has its own.", |process| {
            process.processes
        }),
        (
            "camlock_plugin_process_disk_bytes",
            "gauge",
            "What lies in the directories of a plugin with a process of its own.",
            |process| process.disk_bytes,
        ),
        ("camlock_plugin_refused", "gauge", "Acts that a plugin's own process was refused.", |process| {
            process.refused.values().sum()
        }),
    ];
    for (name, sort, help, read) in families {
        text.family(name, sort, help);
        for (plugin, process) in &processes {
            text.plugin(name, plugin, read(process));
        }
    }
}

/// What the system says of this process. What it does not say is left out.
fn of_process(text: &mut Text) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let read = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    for (name, help, value) in [
        ("process_resident_memory_bytes", "Memory of the process in RAM.", read("VmRSS").map(|kib| kib * 1024)),
        (
            "process_virtual_memory_bytes",
            "Addresses that the process has mapped.",
            read("VmSize").map(|kib| kib * 1024),
        ),
        ("process_threads", "Threads of the process.", read("Threads")),
    ] {
        if let Some(value) = value {
            text.family(name, "gauge", help);
            text.line(name, value);
        }
    }
}

/// The text as it grows.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, sort: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {sort}");
    }

    fn line(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn plugin(&mut self, name: &str, plugin: &str, value: impl Display) {
        self.begin(name, plugin, None);
        self.end(value);
    }

    fn begin(&mut self, name: &str, plugin: &str, class: Option<usize>) {
        self.0.push_str(name);
        self.0.push_str("{plugin=\"");
        for character in plugin.chars() {
            match character {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                character => self.0.push(character),
            }
        }
        self.0.push('"');
        if let Some(class) = class {
            let _ = write!(self.0, ",status=\"{}xx\"", class + 1);
        }
    }

    fn end(&mut self, value: impl Display) {
        let _ = writeln!(self.0, "}} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AdminOptions, Token, document::Merged, show::tests::view, state::Control};
    use camlock_http::Meters;
    use camlock_policy::{Kind, Manager, Overview, PluginView};
    use http::StatusCode;
    use std::time::{Duration, Instant};

    fn with(plugins: usize) -> (Control, camlock_policy::Inbox) {
        let (manager, inbox) = Manager::channel();
        let meters = Meters::default();
        let views = (0..plugins).map(|number| {
            let name = format!("plugin-{number:04}");
            let meter = meters.of(&name);
            for (status, microseconds) in [(200, 700), (200, 3_000), (404, 10), (503, 40_000_000)] {
                meter.answered(StatusCode::from_u16(status).unwrap(), Duration::from_micros(microseconds));
            }
            meter.panicked(2);
            Arc::new(LivePlugin::new(PluginView { name, ..view() }, Some(Kind::Crate), BTreeMap::new()))
        });
        let plugins = views.collect();
        inbox.overview.send_replace(Arc::new(Overview { plugins, ..Overview::default() }));
        let counts =
            AskCounts { asks: 9, errors: [2, 0, 0, 0, 1, 0], slowed: 3, slowed_for: Duration::from_millis(1_500) };
        let asks = Arc::new(move || BTreeMap::from([("plugin-0000".to_owned(), counts)]));
        let options = AdminOptions { meters, asks, ..AdminOptions::new(Token::new("x")) };
        (Control::new(manager, options, Merged::default()), inbox)
    }

    #[test]
    fn what_is_counted_is_told() {
        let (control, _inbox) = with(1);
        control.options.reconnects.store(7, Ordering::Relaxed);
        let text = render(&control);
        for line in [
            "# TYPE camlock_plugin_request_duration_seconds histogram",
            "camlock_plugin_requests_total{plugin=\"plugin-0000\",status=\"2xx\"} 2",
            "camlock_plugin_requests_total{plugin=\"plugin-0000\",status=\"4xx\"} 1",
            "camlock_plugin_request_duration_seconds_bucket{plugin=\"plugin-0000\",status=\"2xx\",le=\"0.0005\"} 0",
            "camlock_plugin_request_duration_seconds_bucket{plugin=\"plugin-0000\",status=\"2xx\",le=\"0.001\"} 1",
            "camlock_plugin_request_duration_seconds_bucket{plugin=\"plugin-0000\",status=\"2xx\",le=\"0.005\"} 2",
            "camlock_plugin_request_duration_seconds_bucket{plugin=\"plugin-0000\",status=\"5xx\",le=\"30\"} 0",
            "camlock_plugin_request_duration_seconds_bucket{plugin=\"plugin-0000\",status=\"5xx\",le=\"+Inf\"} 1",
            "camlock_plugin_request_duration_seconds_sum{plugin=\"plugin-0000\",status=\"2xx\"} 0.0037",
            "camlock_plugin_request_duration_seconds_count{plugin=\"plugin-0000\",status=\"2xx\"} 2",
            "camlock_plugin_panics_total{plugin=\"plugin-0000\"} 2",
            "camlock_plugin_asks_total{plugin=\"plugin-0000\"} 9",
            "camlock_plugin_ask_errors_total{plugin=\"plugin-0000\",code=\"denied\"} 2",
            "camlock_plugin_ask_errors_total{plugin=\"plugin-0000\",code=\"unavailable\"} 1",
            "camlock_plugin_asks_slowed_total{plugin=\"plugin-0000\"} 3",
            "camlock_plugin_asks_slowed_seconds_total{plugin=\"plugin-0000\"} 1.5",
            "camlock_plugin_serving{plugin=\"plugin-0000\"} 1",
            "camlock_plugin_pinned_generations{plugin=\"plugin-0000\"} 1",
            "camlock_plugin_swaps_total{plugin=\"plugin-0000\"} 1",
            "camlock_plugin_blocked_threads{plugin=\"plugin-0000\"} 0",
            "camlock_database_reconnects_total 7",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.contains("\nprocess_resident_memory_bytes "));
    }

    /// Each family is said to be what it is, once, before its lines, which stand together.
    #[test]
    fn it_is_well_formed() {
        let text = render(&with(3).0);
        let mut seen = std::collections::HashSet::new();
        let mut family = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                family = rest.split(' ').next().unwrap();
                assert!(seen.insert(family), "{family} twice");
                assert!(rest.ends_with('.'), "{rest}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let sort = rest.strip_prefix(family).unwrap().trim();
                assert!(["counter", "gauge", "histogram", "summary"].contains(&sort), "{rest}");
                assert_eq!(sort == "counter", family.ends_with("_total"), "{rest}");
            } else {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let name = name.split('{').next().unwrap();
                let name =
                    ["_bucket", "_sum", "_count"].iter().fold(name, |name, end| name.strip_suffix(end).unwrap_or(name));
                assert_eq!(name, family, "{line}");
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        let mut labelled = Text::default();
        labelled.plugin("x", "a\"b\\c\nd", 1);
        assert_eq!(labelled.0, "x{plugin=\"a\\\"b\\\\c\\nd\"} 1\n");
    }

    #[test]
    fn a_thousand_plugins_are_soon_told() {
        let (control, _inbox) = with(1_000);
        let length = render(&control).len();
        let quickest = (0..5).map(|_| {
            let begun = Instant::now();
            assert_eq!(
                render(&control).lines().filter(|line| line.starts_with("camlock_plugin_serving{")).count(),
                1_000
            );
            begun.elapsed()
        });
        let quickest = quickest.min().unwrap();
        println!("{length} bytes in {quickest:?}");
        // Unoptimised it takes some ten times as long.
        let bound = if cfg!(debug_assertions) { 1_000 } else { 20 };
        assert!(quickest < Duration::from_millis(bound), "{quickest:?}");
    }
}
