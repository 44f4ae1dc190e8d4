//! What `camlock serve` prints about its plugins: one line whenever one begins to serve, fails, or goes.

use camlock_core::{Headline, Kind, Manager, Overview, PluginView};
use std::{collections::BTreeMap, fmt::Write as _};

/// What was last said of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    serving: Option<u64>,
    failed: Option<u64>,
    state: Option<Headline>,
    building: Option<u64>,
}

/// Prints until the server ends.
pub(crate) async fn announce(manager: Manager, base: String, mut print: impl FnMut(&str)) {
    let mut overview = manager.watch();
    let mut said: BTreeMap<String, Said> = BTreeMap::new();
    let mut empty_told = false;
    let mut trouble: Option<String> = None;
    loop {
        let now = overview.borrow_and_update().clone();
        if trouble != now.trouble {
            print(now.trouble.as_deref().unwrap_or("the plugins directory can be read again"));
            trouble.clone_from(&now.trouble);
        }
        for plugin in &now.plugins {
            let before = said.entry(plugin.name.clone()).or_default();
            for line in lines(plugin, before, &base) {
                print(&line);
            }
        }
        if !empty_told && nothing_there(&now) {
            print("there are no plugins yet: put one into the plugins directory (docs/plugin-authors.md shows how)");
            empty_told = true;
        }
        if overview.changed().await.is_err() {
            return;
        }
    }
}

fn nothing_there(overview: &Overview) -> bool {
    overview.ready
        && overview.trouble.is_none()
        && overview.plugins.iter().all(|plugin| plugin.kind == Some(Kind::BuiltIn))
}

/// What is new about a plugin, in lines.
fn lines(plugin: &PluginView, said: &mut Said, base: &str) -> Vec<String> {
    let now = Said {
        serving: plugin.serving.as_ref().map(|serving| serving.generation),
        failed: plugin.failed.as_ref().map(|failed| failed.generation),
        state: Some(plugin.state),
        // Not until the build tells of itself: what was built before takes no time.
        building: plugin.candidate.as_ref().filter(|it| !it.doing.is_empty()).map(|it| it.generation).or(said.building),
    };
    let before = std::mem::replace(said, now.clone());
    let mut lines = Vec::new();
    if now.building != before.building {
        lines.push(format!("{} is being built", plugin.name));
    }
    if let Some(serving) = plugin.serving.as_ref().filter(|_| now.serving != before.serving) {
        let urls: Vec<_> = plugin.urls.iter().map(|url| format!("{base}{url}")).collect();
        let mut line = format!("{:<28} {}", format!("{} {}", plugin.name, plugin.version), urls.join("  "));
        if serving.generation > 1 {
            let _ = write!(line, "  (generation {})", serving.generation);
        }
        lines.push(line);
    }
    if let Some(failed) = plugin.failed.as_ref().filter(|_| now.failed != before.failed) {
        let mut line = format!("{}: {} failed: {}", plugin.name, failed.failure.stage, failed.failure.reason);
        // Some are no more than the reason once more.
        let told = &failed.failure.reason;
        for diagnostic in failed.failure.diagnostics.iter().filter(|it| !told.contains(it.rendered.trim_end())) {
            let _ = write!(line, "\n{}", diagnostic.rendered.trim_end());
        }
        // One that serves and is not well is what the reason is about.
        if let Some(serving) = plugin.serving.as_ref().filter(|serving| serving.generation != failed.generation) {
            let _ = write!(line, "\n{}: generation {} serves on", plugin.name, serving.generation);
        }
        lines.push(line);
    }
    let quiet = matches!(plugin.state, Headline::Serving | Headline::Starting | Headline::Failed);
    if now.state != before.state && !quiet {
        let reason = plugin.reason.as_deref().unwrap_or_default();
        lines.push(format!("{} is {}: {reason}", plugin.name, plugin.state.word()));
    }
    lines
}
