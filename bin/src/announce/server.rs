//! What `camlock serve` prints about its plugins: one line whenever one begins to serve, fails, or goes; and once, when all that
//! can serve does, what there is and how to go on. On a terminal the first of these lines come together, in a table.

use super::Opening;
use crate::{
    print::{Paint, Table, Tone, counted, plain},
    screen::{self, Builds},
};
use camlock_policy::{Headline, Kind, Manager, Overview, PluginView};
use std::{collections::BTreeMap, fmt::Write as _};

/// What was last said of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct AnnouncedState {
    serving: Option<u64>,
    failed: Option<u64>,
    state: Option<Headline>,
    building: Option<u64>,
}

/// Where everything is. Whoever starts the server reads the first line.
pub(super) fn open(opening: &Opening) {
    let (plugins, data) = (opening.plugins.display(), opening.data.display());
    screen::line(&format!("listening on {}, plugins from {plugins}, data in {data}", opening.url("")));
    if let Some(page) = &opening.page {
        screen::line(&format!("page at {page}/ (`camlock page` signs in)"));
    }
    if let Some(file) = &opening.settings {
        screen::line(&format!("settings from {}", file.display()));
    }
}

/// Prints until the server ends.
pub(super) async fn announce(manager: Manager, opening: Opening) {
    let mut overview = manager.watch();
    let mut said: BTreeMap<String, AnnouncedState> = BTreeMap::new();
    let mut builds = Builds::default();
    let mut ready = false;
    let mut trouble: Option<String> = None;
    let mut away = false;
    loop {
        let now = overview.borrow_and_update().clone();
        builds.show(&now);
        if trouble != now.trouble {
            screen::line(now.trouble.as_deref().unwrap_or("the plugins directory can be read again"));
            trouble.clone_from(&now.trouble);
        }
        // The reason may change as long as it lasts; once is enough.
        if away != now.registry_trouble.is_some() {
            away = !away;
            screen::line(&match &now.registry_trouble {
                Some(why) => plain(&format!("the registry cannot be used: {why}")),
                None => "the registry can be used again".to_owned(),
            });
        }
        for plugin in &now.plugins {
            let before = said.entry(plugin.name.clone()).or_default();
            for (sort, line) in lines(plugin, before, &opening) {
                let shown_otherwise = match sort {
                    Sort::Serves => !ready,
                    Sort::Builds => true,
                    Sort::Other => false,
                };
                if !(shown_otherwise && screen::is_terminal()) {
                    screen::line(&line);
                }
            }
        }
        if now.ready && !ready {
            ready = true;
            if screen::is_terminal() {
                screen::line(&table(&now, &opening));
            }
            screen::line(&how_to_go_on(&now, &opening));
        }
        if overview.changed().await.is_err() {
            return;
        }
    }
}

/// What serves, and where.
fn table(overview: &Overview, opening: &Opening) -> String {
    let mut table = Table::new(&["PLUGIN", "VERSION", "URLS"]);
    for plugin in &overview.plugins {
        let urls = plugin.urls.iter().map(|url| opening.url(url)).collect::<Vec<_>>().join("  ");
        let (urls, tone) =
            if plugin.serving.is_some() { (urls, Tone::Plain) } else { (plugin.state.word().to_owned(), Tone::Bad) };
        table.row([(&plugin.name, Tone::Strong), (&plugin.version, Tone::Plain), (&urls, tone)]);
    }
    format!("\n{}\n", table.text(Paint::stdout()))
}

/// Where the key lies, and how more plugins come.
fn how_to_go_on(overview: &Overview, opening: &Opening) -> String {
    let (data, plugins) = (opening.data.join("admin-token"), opening.plugins.display());
    let serving = overview.plugins.iter().filter(|plugin| plugin.serving.is_some()).count();
    let count = counted(overview.plugins.len(), "plugin");
    // It is not there if the environment has one.
    let token = if data.exists() { data.display().to_string() } else { "in CAMLOCK_ADMIN_TOKEN".to_owned() };
    let first = if nothing_there(overview) { "there are no plugins yet\n" } else { "" };
    format!(
        "{first}{serving} of {count} serve\n\
         admin token   {token}\n\
         make another  camlock new NAME --in {plugins}\n\
         see them all  camlock list, or {}",
        opening.url("/plugins")
    )
}

/// What a line is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Builds,
    Serves,
    Other,
}

fn nothing_there(overview: &Overview) -> bool {
    overview.ready
        && overview.trouble.is_none()
        && overview.plugins.iter().all(|plugin| plugin.entry == Some(Kind::BuiltIn))
}

/// What is new about a plugin, in lines.
fn lines(plugin: &PluginView, said: &mut AnnouncedState, opening: &Opening) -> Vec<(Sort, String)> {
    let now = AnnouncedState {
        serving: plugin.serving.as_ref().map(|serving| serving.generation),
        failed: plugin.failed.as_ref().map(|failed| failed.generation),
        state: Some(plugin.state),
        // Not until the build tells of itself: what was built before takes no time.
        building: plugin
            .candidate
            .as_ref()
            .filter(|it| !it.doing.is_empty() && !it.queued)
            .map(|it| it.generation)
            .or(said.building),
    };
    let before = std::mem::replace(said, now.clone());
    let mut lines = Vec::new();
    if now.building != before.building {
        lines.push((Sort::Builds, format!("{} is being built", plugin.name)));
    }
    if let Some(serving) = plugin.serving.as_ref().filter(|_| now.serving != before.serving) {
        let urls: Vec<_> = plugin.urls.iter().map(|url| opening.url(url)).collect();
        let mut line = format!("{:<28} {}", format!("{} {}", plugin.name, plugin.version), urls.join("  "));
        if serving.generation > 1 {
            let _ = write!(line, "  (generation {})", serving.generation);
        }
        lines.push((Sort::Serves, line));
    }
    if let Some(failed) = plugin.failed.as_ref().filter(|_| now.failed != before.failed) {
        let mut line = format!("{}: {} failed: {}", plugin.name, failed.stage, failed.reason);
        // Some are no more than the reason once more.
        let told = &failed.reason;
        for diagnostic in failed.diagnostics.iter().filter(|it| !told.contains(it.rendered.trim_end())) {
            let _ = write!(line, "\n{}", diagnostic.rendered.trim_end());
        }
        // One that serves and is not well is what the reason is about.
        if let Some(serving) = plugin.serving.as_ref().filter(|serving| serving.generation != failed.generation) {
            let _ = write!(line, "\n{}: generation {} serves on", plugin.name, serving.generation);
        }
        lines.push((Sort::Other, plain(&line)));
    }
    let quiet = matches!(plugin.state, Headline::Serving | Headline::Starting | Headline::Failed);
    if now.state != before.state && !quiet {
        let reason = plugin.reason.as_deref().unwrap_or_default();
        lines.push((Sort::Other, format!("{} is {}: {reason}", plugin.name, plugin.state.word())));
    }
    lines
}
