//! Warnings that would be said again and again: one a minute.

use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// When something was last said.
#[derive(Debug, Default)]
pub(crate) struct OncePerMinute(Option<Instant>);

impl OncePerMinute {
    /// Whether it may be said now; it counts as said then.
    pub(crate) fn may_say(&mut self) -> bool {
        let now = Instant::now();
        let may = self.0.is_none_or(|said| now.duration_since(said) >= MINUTE);
        if may {
            self.0 = Some(now);
        }
        may
    }
}
