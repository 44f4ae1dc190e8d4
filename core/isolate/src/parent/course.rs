//! What a parent does when a server has ended. Pure.

use std::time::Duration;

/// Who served for so long has begun well: what came before does not count any more.
pub(super) const STABLE: Duration = Duration::from_secs(60);
/// So many in a row that never answered a request, and it is given up.
pub(super) const TRIES: u32 = 5;
/// Before the second attempt in a row; doubled with each.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The same after one that has answered requests.
const LONGEST_PAUSE_AFTER_SERVING: Duration = Duration::from_millis(500);

/// The exit code of a parent that gives up.
pub(super) const GIVEN_UP: u8 = 5;
/// Wrong usage and wrong configuration: it is of no use to try again.
const OF_NO_USE: [i32; 2] = [2, 64];

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServerEnd {
    /// It said that it was about to.
    pub(super) in_order: bool,
    pub(super) how: HowEnded,
    /// How long it had answered requests; none if it never did.
    pub(super) served: Option<Duration>,
}

/// As the kernel tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HowEnded {
    Code(i32),
    Signal(i32),
}

impl HowEnded {
    /// Whether nobody ended it from outside, as far as one can tell.
    pub(super) fn by_itself(self) -> bool {
        match self {
            HowEnded::Code(_) => true,
            HowEnded::Signal(signal) => {
                ![libc::SIGKILL, libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT].contains(&signal)
            }
        }
    }

    /// What a shell would say.
    pub(super) fn code(self) -> u8 {
        match self {
            HowEnded::Code(code) => u8::try_from(code).unwrap_or(1),
            HowEnded::Signal(signal) => u8::try_from(128 + signal).unwrap_or(1),
        }
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParentStep {
    /// Another one, after a pause.
    Again(Duration),
    /// The parent ends too, with this code.
    End(u8),
    /// It cannot be kept up.
    GiveUp,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Course {
    /// One has answered requests.
    ever_served: bool,
    /// Deaths since one was stable.
    deaths: u32,
    /// Of these, the last in a row that never answered a request.
    unserved: u32,
}

impl Course {
    /// A server has ended. `told`: the parent was asked to end.
    pub(super) fn after(&mut self, end: ServerEnd, told: bool) -> ParentStep {
        self.ever_served |= end.served.is_some();
        let HowEnded::Code(code) = end.how else { return self.died(end, told) };
        let begins_never = !self.ever_served || OF_NO_USE.contains(&code);
        if end.in_order && (told || code == 0 || end.served.is_some() || begins_never) {
            return ParentStep::End(end.how.code());
        }
        self.died(end, told)
    }

    fn died(&mut self, end: ServerEnd, told: bool) -> ParentStep {
        if told {
            return ParentStep::End(end.how.code());
        }
        if end.served.is_some_and(|served| served >= STABLE) {
            self.deaths = 0;
        }
        self.deaths += 1;
        self.unserved = if end.served.is_some() { 0 } else { self.unserved + 1 };
        if self.unserved >= TRIES {
            return ParentStep::GiveUp;
        }
        let pause = match self.deaths {
            1 => Duration::ZERO,
            deaths => {
                let longest = if end.served.is_some() { LONGEST_PAUSE_AFTER_SERVING } else { LONGEST_PAUSE };
                (FIRST_PAUSE * 2_u32.saturating_pow(deaths - 2).min(1 << 10)).min(longest)
            }
        };
        ParentStep::Again(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: HowEnded = HowEnded::Signal(11);

    fn died(how: HowEnded, served: Option<u64>) -> ServerEnd {
        ServerEnd { in_order: false, how, served: served.map(Duration::from_secs) }
    }

    fn in_order(code: i32, served: Option<u64>) -> ServerEnd {
        ServerEnd { in_order: true, ..died(HowEnded::Code(code), served) }
    }

    #[test]
    fn who_ends_in_order_ends_the_parent_too() {
        for (end, told, code) in [
            (in_order(0, Some(5)), true, 0),
            (in_order(1, Some(5)), true, 1),
            (in_order(1, None), false, 1),
            (in_order(64, None), false, 64),
            (died(HowEnded::Signal(9), Some(5)), true, 137),
            (died(HowEnded::Code(3), Some(5)), true, 3),
        ] {
            assert_eq!(Course::default().after(end, told), ParentStep::End(code), "{end:?}");
        }
    }

    #[test]
    fn who_dies_is_replaced_at_once_and_then_later_and_later() {
        let mut course = Course::default();
        let millis = |step| match step {
            ParentStep::Again(pause) => Duration::as_millis(&pause),
            other => panic!("{other:?}"),
        };
        let pauses: Vec<_> = (0..10).map(|_| millis(course.after(died(SEGMENT, Some(1)), false))).collect();
        assert_eq!(pauses, [0, 100, 200, 400, 500, 500, 500, 500, 500, 500]);
        assert_eq!(millis(course.after(died(SEGMENT, Some(60)), false)), 0, "it was well for a minute");
        // Whoever calls `exit` ends nothing in order.
        assert_eq!(millis(course.after(died(HowEnded::Code(0), Some(1)), false)), 100);
    }

    #[test]
    fn one_that_never_answers_is_given_up() {
        let mut course = Course::default();
        assert_eq!(course.after(died(SEGMENT, Some(1)), false), ParentStep::Again(Duration::ZERO));
        for _ in 1..TRIES {
            // An error of its own at a later start may pass, as that of a database does.
            assert!(matches!(course.after(in_order(1, None), false), ParentStep::Again(_)));
        }
        assert_eq!(course.after(died(SEGMENT, None), false), ParentStep::GiveUp);
        let mut course = Course { ever_served: true, ..Course::default() };
        assert_eq!(course.after(in_order(64, None), false), ParentStep::End(64), "that does not pass");
    }
}
