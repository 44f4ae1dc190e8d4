//! The terminal of a server: lines that stay, and beneath them what is being done right now. Elsewhere there are only lines.
//!
//! What must not live here: what is told.

use crate::print;
use camlock_policy::{CandidateView, Kind, Overview};
use indicatif::{MultiProgress, ProgressBar};
use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
    sync::OnceLock,
    time::Duration,
};

/// What is beneath the lines, of this process. Whoever writes to the terminal lifts it first.
static BENEATH: OnceLock<MultiProgress> = OnceLock::new();

/// Prints a line to stdout. A server whose lines nobody can read serves on.
pub(crate) fn line(text: &str) {
    above(|| {
        let _ = writeln!(io::stdout(), "{text}");
    });
}

/// Does something that prints, with what is beneath out of the way.
pub(crate) fn above<T>(print: impl FnOnce() -> T) -> T {
    match BENEATH.get() {
        Some(beneath) => beneath.suspend(print),
        None => print(),
    }
}

/// Whether people look on.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal() && io::stderr().is_terminal()
}

/// Takes away what was told before, on a terminal. It can still be scrolled to.
pub(crate) fn clear() {
    if is_terminal() {
        above(|| {
            let mut stdout = io::stdout();
            let _ = write!(stdout, "\x1b[H\x1b[2J").and_then(|()| stdout.flush());
        });
    }
}

/// Stderr, for logs.
pub(crate) fn stderr() -> impl Write {
    Above
}

struct Above;

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        above(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// A line for each plugin that is being built.
#[derive(Default)]
pub(crate) struct Builds(BTreeMap<String, ProgressBar>);

impl Builds {
    /// Shows what is being built now, if people look on.
    pub(crate) fn show(&mut self, overview: &Overview) {
        if !is_terminal() {
            return;
        }
        let mut before = std::mem::take(&mut self.0);
        let queued = overview.plugins.iter().filter(|plugin| plugin.candidate.as_ref().is_some_and(|it| it.queued));
        let queued = queued.count();
        for plugin in overview.plugins.iter().filter(|plugin| plugin.entry != Some(Kind::BuiltIn)) {
            // Until cargo says something there may be nothing to build.
            let shown = |candidate: &&CandidateView| !candidate.doing.is_empty() && !candidate.queued;
            let Some(candidate) = plugin.candidate.as_ref().filter(shown) else {
                continue;
            };
            let line = before.remove(&plugin.name).unwrap_or_else(new_line);
            line.set_message(format!("{:<16} {}: {}", plugin.name, candidate.stage, candidate.doing));
            self.0.insert(plugin.name.clone(), line);
        }
        // Of all that wait one line: hundreds would fill the screen. No plugin has this name.
        if queued > 0 {
            let line = before.remove("").unwrap_or_else(new_line);
            line.set_message(format!("{:<16} {} waiting to be built", "", print::counted(queued, "plugin")));
            self.0.insert(String::new(), line);
        }
        for line in before.into_values() {
            line.finish_and_clear();
        }
    }
}

fn new_line() -> ProgressBar {
    let line = ProgressBar::new_spinner().with_style(print::style());
    let line = BENEATH.get_or_init(MultiProgress::new).add(line);
    line.enable_steady_tick(Duration::from_millis(100));
    line
}

impl Drop for Builds {
    fn drop(&mut self) {
        for line in self.0.values() {
            line.finish_and_clear();
        }
    }
}
