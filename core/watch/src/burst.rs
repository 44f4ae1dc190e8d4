//! What has happened since the last nudge, and when it is time for the next. What must not live here: clocks and
//! channels.

use crate::plan::WatchRoot;
use std::{
    collections::BTreeSet,
    mem,
    path::PathBuf,
    time::{Duration, Instant},
};

/// More paths than this in one burst are told as everything.
const MOST_PATHS: usize = 4_096;

/// What has happened since the last nudge.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    /// When the first and the last of it happened; None if nothing did.
    span: Option<(Instant, Instant)>,
    /// To be told.
    pub(crate) paths: BTreeSet<PathBuf>,
    /// Everything is to be told.
    pub(crate) everything: bool,
    /// To be planned anew.
    pub(crate) roots: BTreeSet<WatchRoot>,
    /// Events were lost: no watch is to be trusted any more.
    pub(crate) lost: bool,
}

impl Burst {
    /// Something happened now.
    pub(crate) fn extend(&mut self, now: Instant) {
        self.span = Some((self.span.map_or(now, |(first, _)| first), now));
    }

    /// This path may have changed.
    pub(crate) fn tell(&mut self, path: PathBuf) {
        if !self.everything {
            self.paths.insert(path);
            if self.paths.len() > MOST_PATHS {
                self.paths.clear();
                self.everything = true;
            }
        }
    }

    /// When it is to be told: `quiet` after the last of it, but no later than `patience` after the first.
    pub(crate) fn due(&self, quiet: Duration, patience: Duration) -> Option<Instant> {
        self.span.map(|(first, last)| (last + quiet).min(first + patience))
    }

    /// What there is, leaving nothing.
    pub(crate) fn take(&mut self) -> Burst {
        mem::take(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_it_is_due() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        #[rustfmt::skip]
        let table: [(&[u64], Option<u64>); 5] = [
            // things happen at, it is due at (milliseconds)
            (&[],                    None),
            (&[0],                   Some(50)),
            (&[0, 40, 80],           Some(130)),
            (&[0, 200, 440],         Some(490)),
            (&[0, 200, 400, 470],    Some(500)),
        ];
        for (happened, due) in table {
            let mut burst = Burst::default();
            for ms in happened {
                burst.extend(at(*ms));
            }
            let expected = due.map(at);
            assert_eq!(burst.due(Duration::from_millis(50), Duration::from_millis(500)), expected, "{happened:?}");
            burst.take();
            assert_eq!(burst.due(Duration::ZERO, Duration::ZERO), None);
        }
    }

    #[test]
    fn too_many_paths_are_everything() {
        let mut burst = Burst::default();
        for number in 0..MOST_PATHS {
            burst.tell(PathBuf::from(number.to_string()));
        }
        assert!(!burst.everything);
        burst.tell(PathBuf::from("one more"));
        burst.tell(PathBuf::from("and another"));
        assert!(burst.everything && burst.paths.is_empty());
    }
}
