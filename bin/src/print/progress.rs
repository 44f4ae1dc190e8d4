//! How far something is, on a terminal, once it takes longer than a second.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::{self, IsTerminal},
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// So long nothing is shown.
const QUIET: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(100);

/// One line that says what is being done, and goes when it is done. Elsewhere than on a terminal it is never there.
pub(crate) struct Bar {
    line: ProgressBar,
    begun: Instant,
    shown: AtomicBool,
}

impl Bar {
    /// It is there as soon as it has something to say and a second is over.
    pub(crate) fn new() -> Self {
        let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        line.set_style(style());
        Bar { line, begun: Instant::now(), shown: AtomicBool::new(false) }
    }

    /// Says what is done now.
    pub(crate) fn say(&self, what: &str) {
        self.line.set_message(what.to_owned());
        if self.begun.elapsed() >= QUIET && io::stderr().is_terminal() && !self.shown.swap(true, Ordering::Relaxed) {
            self.line.set_draw_target(ProgressDrawTarget::stderr());
            self.line.enable_steady_tick(TICK);
        }
    }

    /// Does something that prints, with the line out of the way.
    pub(crate) fn above<T>(&self, print: impl FnOnce() -> T) -> T {
        self.line.suspend(print)
    }

    /// The line goes.
    pub(crate) fn end(&self) {
        self.line.finish_and_clear();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.end();
    }
}

/// How such lines look.
pub(crate) fn style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// Waits for something that may take long; `doing` is asked now and then what it is at.
pub(crate) async fn wait_for<T>(
    work: impl Future<Output = T>,
    what: &str,
    doing: impl AsyncFn() -> Option<String>,
) -> T {
    let mut work = pin!(work);
    let bar = Bar::new();
    if let Ok(done) = timeout(QUIET, &mut work).await {
        return done;
    }
    if !io::stderr().is_terminal() {
        return work.await;
    }
    bar.say(what);
    loop {
        let ask = async {
            let said = doing().await;
            sleep(TICK * 3).await;
            said
        };
        tokio::select! {
            done = &mut work => return done,
            said = ask => bar.say(&said.unwrap_or_else(|| what.to_owned())),
        }
    }
}
