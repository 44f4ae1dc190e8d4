//! What has happened since the last nudge, and when it is time for the next. What must not live here: clocks and
//! channels.

use crate::plan::WatchRoot;
use std::{
    collections::BTreeSet,
    mem,
    time::{Duration, Instant},
};

/// What has happened since the last nudge.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    /// When the first and the last of it happened; None if nothing did.
    span: Option<(Instant, Instant)>,
    /// There is something to be looked at.
    pub(crate) look: bool,
    /// Everything is to be planned anew, too.
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

    /// When it is over: `quiet` after the last of it, but no later than `longest` after the first.
    pub(crate) fn due(&self, quiet: Duration, longest: Duration) -> Option<Instant> {
        self.span.map(|(first, last)| (last + quiet).min(first + longest))
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
}
