//! Plugins for people: what each is, why it is so, what was tried, what to do.

use super::{Paint, Table, Tone, advice, ago, counted, plain, short};
use camlock_api::{BuildView, CandidateView, Headline, Isolation, PluginKind, PluginView, ProcessView, ServingView};
use std::fmt::Write as _;

fn tone(state: Headline) -> Tone {
    match state {
        Headline::Serving => Tone::Good,
        Headline::Failed | Headline::Quarantined => Tone::Bad,
        Headline::Starting | Headline::Waiting => Tone::Careful,
        Headline::Disabled | Headline::Missing => Tone::Quiet,
    }
}

/// One line each, and beneath it what is not as it should be.
pub(crate) fn list(plugins: &[PluginView], paint: Paint) -> String {
    let mut table = Table::new(&["NAME", "VERSION", "STATE", "URLS"]);
    for plugin in plugins {
        table.row([
            (&plugin.name, Tone::Strong),
            (&plugin.version, Tone::Plain),
            (plugin.state.word(), tone(plugin.state)),
            (&plugin.urls.join(" "), Tone::Plain),
        ]);
        for why in whys(plugin) {
            table.note(&short(&why));
        }
        if let Some(advice) = advice(plugin) {
            table.note(&format!("→ {advice}"));
        }
    }
    table.text(paint)
}

/// Why it is as it is, and what was tried, a line each.
fn whys(plugin: &PluginView) -> Vec<String> {
    let mut whys = Vec::new();
    if let Some(candidate) = &plugin.candidate {
        whys.push(format!("generation {} is at this: {}", candidate.generation, progress(candidate)));
    }
    if let Some(failed) = &plugin.failed {
        let (stage, at) = (failed.stage, ago(failed.at));
        whys.push(format!("generation {} failed ({stage}, {at}): {}", failed.generation, failed.reason));
        if let Some(serving) = plugin.serving.as_ref().filter(|serving| serving.generation != failed.generation) {
            whys.push(format!("generation {} serves on", serving.generation));
        }
    }
    let is_told = plugin.candidate.is_some() && plugin.state == Headline::Starting;
    let reason = plugin.reason.as_deref().filter(|reason| !reason.is_empty() && !is_told);
    // It often says no more than the failure did.
    whys.extend(reason.filter(|reason| !whys.iter().any(|why| why.contains(*reason))).map(str::to_owned));
    for pinned in &plugin.pinned {
        whys.push(format!("generation {} is pinned: {}", pinned.generation, pinned.reason));
    }
    whys
}

/// Everything about one.
pub(crate) fn show(plugin: &PluginView, builds: &[BuildView], paint: Paint) -> String {
    let mut text = String::new();
    let head = format!("{} {}", plugin.name, plugin.version);
    let _ = writeln!(
        text,
        "{}  {}",
        paint.text(Tone::Strong, head.trim()),
        paint.text(tone(plugin.state), plugin.state.word())
    );
    if !plugin.description.is_empty() {
        let _ = writeln!(text, "{}", plain(&plugin.description));
    }
    let mut table = Table::new(&[]);
    let mut row = |name: &str, value: &str| {
        if !value.is_empty() {
            table.row([(name, Tone::Quiet), (value, Tone::Plain)]);
        }
    };
    row("urls", &plugin.urls.join("  "));
    row(
        "from",
        match (&plugin.path, plugin.kind, plugin.state) {
            (Some(path), ..) => path,
            (None, PluginKind::Static, _) => "compiled into the server",
            (None, PluginKind::Dynamic, Headline::Missing | Headline::Starting) => "",
            (None, PluginKind::Dynamic, _) => {
                "the registry: installed by name, and nothing of it lies in this server's directory"
            }
        },
    );
    row("category", plugin.category.as_deref().unwrap_or_default());
    row("wanted", &format!("{} (revision {})", if plugin.enabled { "yes" } else { "no" }, plugin.revision));
    if let Some(serving) = &plugin.serving {
        let since = format!(", since {} ({})", serving.since, ago(serving.since));
        let in_flight = format!(", {} in flight", serving.in_flight);
        let left = serving.left_behind_bytes.filter(|left| *left > 0).map(|left| format!(", {left} bytes left behind"));
        let left = left.unwrap_or_default();
        row("serving", &format!("generation {} ({}){since}{in_flight}{left}", serving.generation, serving.version));
        if serving.isolation == Isolation::Process {
            row("runs", "in a process of its own");
        }
        if let Some(process) = &serving.process {
            row("process", &process_uses(process));
            for state in &process.states {
                row("bounds", state);
            }
            for (act, times) in &process.refused {
                row("refused", &refused(act, *times));
            }
            for lacking in &process.lacking {
                row("not held", lacking);
            }
        }
        row("uses", &uses(serving));
        row("artifact", &serving.artifact.map(|artifact| artifact.to_string()).unwrap_or_default());
    }
    if let Some(candidate) = &plugin.candidate {
        let since = ago(candidate.since);
        row("candidate", &format!("generation {}: {}, begun {since}", candidate.generation, progress(candidate)));
    }
    for draining in &plugin.draining {
        let deadline = ago(draining.deadline);
        row("draining", &format!("generation {}: {}, deadline {deadline}", draining.generation, draining.why));
    }
    for endpoint in &plugin.endpoints {
        row("endpoint", &format!("{:<6} {}", endpoint.method, endpoint.path));
    }
    let _ = writeln!(text, "{}", table.text(paint));
    for why in whys(plugin) {
        let _ = writeln!(text, "\n{}", plain(&why));
    }
    for diagnostic in plugin.failed.iter().flat_map(|failed| &failed.diagnostics) {
        let _ = writeln!(text, "\n{}", plain(diagnostic.rendered.trim_end()));
    }
    if !builds.is_empty() {
        let _ = writeln!(
            text,
            "\n{}\n{}",
            paint.text(Tone::Quiet, "what was tried, the newest first"),
            tried(builds, paint)
        );
    }
    if let Some(advice) = advice(plugin) {
        let _ = writeln!(text, "\n→ {advice}");
    }
    text.truncate(text.trim_end().len());
    text
}

/// What it holds of the process, as far as that is known.
fn uses(serving: &ServingView) -> String {
    let memory = serving.memory_bytes.map(|bytes| format!("{bytes} bytes of memory"));
    let descriptors = serving.descriptors.map(|count| counted(count as usize, "descriptor"));
    [memory, descriptors].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What its own process uses.
fn process_uses(process: &ProcessView) -> String {
    let mebibytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    format!(
        "{}: {} in RAM, {} of processor time, {}, {} on disk",
        process.id,
        mebibytes(process.memory_bytes),
        milliseconds(process.cpu_milliseconds as f64),
        counted(process.processes as usize, "thread"),
        mebibytes(process.disk_bytes),
    )
}

fn refused(act: &str, times: u64) -> String {
    let times = counted(times as usize, "time");
    format!("to {act}, {times}")
}

fn tried(builds: &[BuildView], paint: Paint) -> String {
    let mut table = Table::new(&[]);
    for build in builds {
        let took = build.stages.sum();
        let (outcome, tone) = match &build.failed {
            Some(failed) => (format!("{} failed: {}", failed.stage, failed.reason), Tone::Bad),
            None => (format!("came to serve {}", build.version.as_deref().unwrap_or_default()), Tone::Good),
        };
        let began = ago(build.began);
        table.row([
            (&format!("  generation {}", build.generation), Tone::Plain),
            (&began, Tone::Quiet),
            (&milliseconds(took), Tone::Quiet),
            (outcome.trim_end(), tone),
        ]);
    }
    table.text(paint)
}

/// What is being done for a candidate, in a few words.
pub(crate) fn progress(candidate: &CandidateView) -> String {
    if candidate.doing.is_empty() {
        candidate.stage.clone().into_owned()
    } else {
        format!("{}: {}", candidate.stage, candidate.doing)
    }
}

/// A time that was measured, for people.
pub(crate) fn milliseconds(took: f64) -> String {
    if took < 1000.0 { format!("{took:.0} ms") } else { format!("{:.1} s", took / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{plugin, read};
    use camlock_api::UtcTime;
    use serde_json::{Value, json};
    use std::time::SystemTime;

    fn broken() -> PluginView {
        plugin(json!({
            "revision": 3, "urls": ["/api/v1/p/hello/"], "path": "plugins/hello",
            "serving": {
                "generation": 3, "version": "0.1.0", "artifact": format!("sha256:{}", "0".repeat(64)), "in_flight": 2,
                "since": UtcTime::from(SystemTime::now()), "left_behind_bytes": null, "memory_bytes": null, "descriptors": null,
            },
            "failed": failed(),
        }))
    }

    fn failed() -> Value {
        json!({
            "generation": 4, "stage": "build", "reason": "it does not compile", "at": UtcTime::from(SystemTime::now()),
            "diagnostics": [{
                "file": "src/lib.rs", "line": 7, "message": "expected", "rendered": "error: expected `;`\n --> src/lib.rs:7",
            }],
        })
    }

    fn build(stages: Value) -> BuildView {
        let build = json!({
            "generation": 4, "began": UtcTime::from(SystemTime::now()), "stages": stages, "artifact": null, "version": null,
            "failed": failed(),
        });
        read(&build).unwrap()
    }

    #[test]
    fn a_list_says_why_and_what_to_do() {
        let well = plugin(json!({ "name": "about", "version": "1.0.0", "urls": ["/about"] }));
        let text = list(&[well, broken()], Paint::off());
        let expected = "NAME   VERSION  STATE    URLS\nabout  1.0.0    serving  /about\nhello  0.1.0    serving  /api/v1/p/hello/\n    \
                        generation 4 failed (build, 0 s ago): it does not compile\n    generation 3 serves on\n    \
                        → mend it and save";
        assert!(text.replace(", 1 s ago", ", 0 s ago").starts_with(expected), "{text}");
    }

    #[test]
    fn one_is_shown_whole() {
        let text = show(&broken(), &[build(json!({ "build": 1500.0 }))], Paint::off());
        for part in [
            "hello 0.1.0  serving\n",
            "from      plugins/hello\n",
            "wanted    yes (revision 3)\n",
            "serving   generation 3 (0.1.0), since ",
            ", 2 in flight\n",
            "): it does not compile\n",
            "error: expected `;`\n --> src/lib.rs:7\n",
            "  1.5 s  build failed: it does not compile\n",
            "→ mend it and save",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn a_build_that_came_to_no_stage_took_no_time() {
        let text = show(&broken(), &[build(json!({}))], Paint::off());
        assert!(text.contains("  0 ms  build failed: ") && !text.contains("-0 ms"), "{text}");
    }
}
