//! Plugins for people: what each is, why it is so, what was tried, what to do.

use super::{Paint, Table, Tone, advice, ago, plain};
use crate::client::plugin::{Build, Plugin};
use std::fmt::Write as _;

fn tone(state: &str) -> Tone {
    match state {
        "serving" => Tone::Good,
        "failed" | "quarantined" => Tone::Bad,
        "starting" | "waiting" => Tone::Careful,
        _ => Tone::Quiet,
    }
}

/// One line each, and beneath it what is not as it should be.
pub(crate) fn list(plugins: &[Plugin], paint: Paint) -> String {
    let mut table = Table::new(&["NAME", "VERSION", "STATE", "URLS"]);
    for plugin in plugins {
        table.row([
            (&plugin.name, Tone::Strong),
            (&plugin.version, Tone::Plain),
            (&plugin.state, tone(&plugin.state)),
            (&plugin.urls.join(" "), Tone::Plain),
        ]);
        for why in whys(plugin) {
            table.note(&why);
        }
        if let Some(advice) = advice(plugin) {
            table.note(&format!("→ {advice}"));
        }
    }
    table.text(paint)
}

/// Why it is as it is, and what was tried, a line each.
fn whys(plugin: &Plugin) -> Vec<String> {
    let mut whys = Vec::new();
    if let Some(candidate) = &plugin.candidate {
        whys.push(format!("generation {} is at this: {}", candidate.generation, candidate.told()));
    }
    if let Some(failed) = &plugin.failed {
        let at = failed.at.as_deref().map(|at| format!(", {}", ago(at))).unwrap_or_default();
        whys.push(format!("generation {} failed ({}{at}): {}", failed.generation, failed.stage, failed.reason));
        if let Some(serving) = plugin.serving.as_ref().filter(|serving| serving.generation != failed.generation) {
            whys.push(format!("generation {} serves on", serving.generation));
        }
    }
    let is_told = plugin.candidate.is_some() && plugin.state == "starting";
    let reason = plugin.reason.as_deref().filter(|reason| !reason.is_empty() && !is_told);
    // It often says no more than the failure did.
    whys.extend(reason.filter(|reason| !whys.iter().any(|why| why.contains(*reason))).map(str::to_owned));
    for pinned in &plugin.pinned {
        whys.push(format!("generation {} is pinned: {}", pinned.generation, pinned.reason));
    }
    whys
}

/// Everything about one.
pub(crate) fn show(plugin: &Plugin, builds: &[Build], paint: Paint) -> String {
    let mut text = String::new();
    let head = format!("{} {}", plugin.name, plugin.version);
    let _ =
        writeln!(text, "{}  {}", paint.text(Tone::Strong, head.trim()), paint.text(tone(&plugin.state), &plugin.state));
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
        plugin.path.as_deref().unwrap_or(if plugin.kind == "static" { "compiled into the server" } else { "" }),
    );
    row("category", plugin.category.as_deref().unwrap_or_default());
    row("wanted", &format!("{} (revision {})", if plugin.enabled { "yes" } else { "no" }, plugin.revision));
    if let Some(serving) = &plugin.serving {
        let since = serving.since.as_deref().map(|since| format!(", since {since} ({})", ago(since)));
        let in_flight = format!(", {} in flight", serving.in_flight);
        let left = serving.left_behind_bytes.filter(|left| *left > 0).map(|left| format!(", {left} bytes left behind"));
        let told = [since, Some(in_flight), left].into_iter().flatten().collect::<String>();
        row("serving", &format!("generation {} ({}){told}", serving.generation, serving.version));
        row("artifact", serving.artifact.as_deref().unwrap_or_default());
    }
    if let Some(candidate) = &plugin.candidate {
        let since = candidate.since.as_deref().map(|since| format!(", begun {}", ago(since))).unwrap_or_default();
        row("candidate", &format!("generation {}: {}{since}", candidate.generation, candidate.told()));
    }
    for draining in &plugin.draining {
        let deadline = draining.deadline.as_deref().map(|at| format!(", deadline {}", ago(at))).unwrap_or_default();
        row("draining", &format!("generation {}: {}{deadline}", draining.generation, draining.why));
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

fn tried(builds: &[Build], paint: Paint) -> String {
    let mut table = Table::new(&[]);
    for build in builds {
        let took: f64 = build.stages.values().sum();
        let (outcome, tone) = match &build.failed {
            Some(failed) => (format!("{} failed: {}", failed.stage, failed.reason), Tone::Bad),
            None => (format!("came to serve {}", build.version.as_deref().unwrap_or_default()), Tone::Good),
        };
        let began = build.began.as_deref().map(ago).unwrap_or_default();
        table.row([
            (&format!("  generation {}", build.generation), Tone::Plain),
            (&began, Tone::Quiet),
            (&milliseconds(took), Tone::Quiet),
            (outcome.trim_end(), tone),
        ]);
    }
    table.text(paint)
}

/// A time that was measured, for people.
pub(crate) fn milliseconds(took: f64) -> String {
    if took < 1000.0 { format!("{took:.0} ms") } else { format!("{:.1} s", took / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn broken() -> Plugin {
        Plugin::read(&json!({
            "name": "hello", "version": "0.1.0", "state": "serving", "enabled": true, "revision": 3,
            "urls": ["/api/v1/p/hello/"], "path": "plugins/hello",
            "serving": { "generation": 3, "version": "0.1.0", "artifact": "sha256:00", "in_flight": 2 },
            "failed": {
                "generation": 4, "stage": "build", "reason": "it does not compile",
                "diagnostics": [{ "rendered": "error: expected `;`\n --> src/lib.rs:7" }],
            },
        }))
    }

    #[test]
    fn a_list_says_why_and_what_to_do() {
        let well =
            Plugin::read(&json!({ "name": "about", "version": "1.0.0", "state": "serving", "urls": ["/about"] }));
        let text = list(&[well, broken()], Paint::off());
        let expected = "NAME   VERSION  STATE    URLS\nabout  1.0.0    serving  /about\nhello  0.1.0    serving  /api/v1/p/hello/\n    \
                        generation 4 failed (build): it does not compile\n    generation 3 serves on\n    → mend it and save";
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn one_is_shown_whole() {
        let build: Build = serde_json::from_value(json!({
            "generation": 4, "stages": { "build": 1500.0 }, "failed": { "stage": "build", "reason": "it does not compile" },
        }))
        .unwrap();
        let text = show(&broken(), &[build], Paint::off());
        for part in [
            "hello 0.1.0  serving\n",
            "from      plugins/hello\n",
            "wanted    yes (revision 3)\n",
            "serving   generation 3 (0.1.0), 2 in flight\n",
            "generation 4 failed (build): it does not compile\n",
            "error: expected `;`\n --> src/lib.rs:7\n",
            "  generation 4    1.5 s  build failed: it does not compile\n",
            "→ mend it and save",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
