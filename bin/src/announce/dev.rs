//! The screen of `camlock dev`: where the plugin answers, how its last build went; beneath it what it logs.
//!
//! Each save begins a new screen. Compilers' messages are printed as they come.

use super::Opening;
use crate::{
    print::{Paint, Tone, milliseconds, plain},
    screen::{self, Builds},
};
use camlock_policy::{Kind, LivePlugin, Manager};
use std::{path::Path, sync::Arc};

pub(super) fn open(path: &Path, opening: &Opening) {
    screen::clear();
    screen::line(&head(path, opening));
}

fn head(path: &Path, opening: &Opening) -> String {
    let paint = Paint::stdout();
    let (shown, address) = (path.display().to_string(), opening.url(""));
    format!("{}  at {address}, built again whenever it is saved; Ctrl-C ends it", paint.text(Tone::Strong, &shown))
}

/// What was last told.
#[derive(Default)]
struct DevScreenState {
    serving: Option<u64>,
    failed: Option<u64>,
    candidate: Option<u64>,
    state: &'static str,
}

pub(super) async fn announce(manager: Manager, path: &Path, opening: &Opening) {
    let mut overview = manager.watch();
    let mut said = DevScreenState::default();
    let mut builds = Builds::default();
    loop {
        let now = overview.borrow_and_update().clone();
        builds.show(&now);
        if let Some(plugin) = now.plugins.iter().find(|plugin| plugin.entry != Some(Kind::BuiltIn)) {
            tell(plugin, &mut said, path, opening);
        }
        if overview.changed().await.is_err() {
            return;
        }
    }
}

fn tell(plugin: &Arc<LivePlugin>, said: &mut DevScreenState, path: &Path, opening: &Opening) {
    let paint = Paint::stdout();
    let now = DevScreenState {
        serving: plugin.serving.as_ref().map(|serving| serving.generation),
        failed: plugin.failed.as_ref().map(|failed| failed.generation),
        candidate: plugin.candidate.as_ref().map(|candidate| candidate.generation).or(said.candidate),
        state: plugin.state.word(),
    };
    // A save after the first one.
    if now.candidate != said.candidate && (said.serving.is_some() || said.failed.is_some()) {
        screen::clear();
        screen::line(&head(path, opening));
    }
    if let Some(failed) = plugin.failed.as_ref().filter(|_| now.failed != said.failed) {
        let failure = failed;
        let mut told =
            format!("{} {}", paint.text(Tone::Bad, &format!("✗ {} failed:", failure.stage)), plain(&failure.reason));
        // What compilers said was printed when they said it; what others said was not.
        let compiled = failure.diagnostics.iter().any(|diagnostic| diagnostic.line > 0)
            && failure.stage == camlock_policy::Stage::Build;
        for diagnostic in
            failure.diagnostics.iter().filter(|it| !compiled && !failure.reason.contains(it.rendered.trim_end()))
        {
            told.push('\n');
            told.push_str(&plain(diagnostic.rendered.trim_end()));
        }
        if let Some(serving) = plugin.serving.as_ref().filter(|serving| serving.generation != failed.generation) {
            told.push_str(&format!("\n  generation {} serves on", serving.generation));
        }
        screen::line(&told);
    }
    if let Some(serving) = plugin.serving.as_ref().filter(|_| now.serving != said.serving) {
        let build = plugin.builds.first().filter(|build| build.generation == serving.generation);
        let took = build.map(|build| build.stages.sum());
        let took = took.map(|took| format!(", ready in {}", milliseconds(took))).unwrap_or_default();
        let good = paint.text(Tone::Good, &format!("✓ {} {} serves", plugin.name, serving.version));
        screen::line(&format!("{good} (generation {}{took})", serving.generation));
        for url in &plugin.urls {
            screen::line(&format!("  {}", opening.url(url)));
        }
        for endpoint in plugin.endpoints.iter().filter(|endpoint| endpoint.source == "openapi") {
            screen::line(&format!("  {:<6} {}", endpoint.method, opening.url(&endpoint.path)));
        }
    }
    if let Some(serving) = plugin.serving.as_ref().filter(|_| now.failed.is_none() && said.failed.is_some()) {
        // What was wrong is gone, and what serves was built of just this.
        if now.serving == said.serving {
            let good = paint.text(Tone::Good, &format!("✓ {} {} serves on", plugin.name, serving.version));
            screen::line(&format!("{good} (generation {} is what was saved)", serving.generation));
        }
    }
    let quiet = matches!(now.state, "serving" | "starting" | "failed");
    if now.state != said.state && !quiet {
        let reason = plain(plugin.reason.as_deref().unwrap_or_default());
        screen::line(&format!("{} is {}: {reason}", plugin.name, paint.text(Tone::Careful, now.state)));
    }
    *said = now;
}
