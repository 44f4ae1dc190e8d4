//! How far claiming has got, by type, and of which types it is worth while to claim.
//!
//! As long as anybody has an old snapshot of the database open, its index keeps an entry for each task that waited since, and who looks
//! from the beginning passes over all of them. So mostly it is looked behind what was claimed last, of each priority; and now and then
//! at everything, for tasks that wait again, were committed late, or are urgent. What must not live here: SQL, and the clock.

use crate::tasks::record::{ClaimFrom, ClaimedTask};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

/// Between two looks at everything passes so many times what the last one took.
const RESTS: u32 = 8;

/// Where more wait than there is room for, it is worth while to wait so long for room for more than a few.
const GATHERS: Duration = Duration::from_millis(5);

/// With more priorities than that it is always looked at everything.
const MOST_PRIORITIES: usize = 8;

#[derive(Default)]
pub(super) struct Frontiers(HashMap<(Arc<str>, Arc<str>), Frontier>);

impl Frontiers {
    pub(super) fn of(&mut self, plugin: &Arc<str>, kind: &Arc<str>) -> &mut Frontier {
        self.0.entry((plugin.clone(), kind.clone())).or_default()
    }

    /// There may be something of any type.
    pub(super) fn look_at_all(&mut self) {
        self.0.values_mut().for_each(|frontier| frontier.next = NextLook::Now);
    }
}

/// Of one type.
#[derive(Default)]
pub(super) struct Frontier {
    /// By priority: the last that was claimed.
    last: BTreeMap<i32, i64>,
    /// It is looked at everything from then on.
    everything: Option<Instant>,
    /// If there was as much as there was room for: when.
    full: Option<Instant>,
    next: NextLook,
}

/// When it is looked again.
#[derive(Clone, Copy, Default)]
enum NextLook {
    #[default]
    Now,
    /// There may be more by then.
    At(Instant),
    /// When there is word of something, or room for it.
    WhenTold,
}

impl Frontier {
    /// Of these tasks some ended: those that wait for room can go on, and perhaps those that wait for a limit.
    pub(super) fn freed(&mut self, is_limited: bool) {
        if self.full.is_some() || is_limited {
            self.next = NextLook::Now;
        }
    }

    /// It is looked, and there may be more after so long.
    pub(super) fn looked(&mut self, again: Option<Duration>, now: Instant) {
        self.next = again.map_or(NextLook::WhenTold, |again| NextLook::At(now + again));
    }

    /// How long it is until it is worth while to look, if that is known.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        match self.next {
            NextLook::Now => Some(Duration::ZERO),
            NextLook::At(then) => Some(then.saturating_duration_since(now)),
            NextLook::WhenTold => None,
        }
    }

    /// There may be more, and there is no room.
    pub(super) fn crowded(&mut self, now: Instant) {
        self.full.get_or_insert(now);
    }

    /// If it is better to wait for more room than this, of so much in all: how long.
    pub(super) fn pause(&self, room: usize, all: usize, now: Instant) -> Option<Duration> {
        let then = self.full.filter(|_| room < all / 4)? + GATHERS;
        Some(then.saturating_duration_since(now)).filter(|pause| !pause.is_zero())
    }

    /// Where to look now.
    pub(super) fn from(&self, now: Instant) -> ClaimFrom {
        if self.rest(now).is_none() || self.last.is_empty() || self.last.len() > MOST_PRIORITIES {
            return ClaimFrom::Beginning;
        }
        ClaimFrom::Behind(self.last.iter().rev().map(|(priority, id)| (*priority, *id)).collect())
    }

    /// In so long it is looked at everything, if that is not due.
    pub(super) fn rest(&self, now: Instant) -> Option<Duration> {
        self.everything.map(|then| then.saturating_duration_since(now)).filter(|rest| !rest.is_zero())
    }

    /// These were claimed, of so many that there was room for, in this time.
    pub(super) fn claimed(
        &mut self,
        tasks: &[ClaimedTask],
        from: &ClaimFrom,
        room: usize,
        (begun, now): (Instant, Instant),
    ) {
        self.full = (tasks.len() == room).then_some(now);
        let mut last = BTreeMap::<i32, i64>::new();
        for task in tasks {
            let of_priority = last.entry(task.priority).or_insert(task.id);
            *of_priority = task.id.max(*of_priority);
        }
        // Also back, from a look at everything: so what waits again comes before what is new, however many there are.
        self.last.extend(last);
        if *from == ClaimFrom::Beginning {
            self.everything = Some(now + now.duration_since(begun) * RESTS);
            if self.last.len() > MOST_PRIORITIES {
                self.last.retain(|priority, _| tasks.iter().any(|task| task.priority == *priority));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: i64, priority: i32) -> ClaimedTask {
        ClaimedTask { id, priority, ..ClaimedTask::default() }
    }

    #[test]
    fn it_is_looked_behind_what_was_claimed() {
        let (begun, mut frontier) = (Instant::now(), Frontier::default());
        assert_eq!(frontier.from(begun), ClaimFrom::Beginning, "nothing is known");
        let took = Duration::from_millis(2);
        frontier.claimed(&[task(3, 0), task(5, 0), task(9, 1)], &ClaimFrom::Beginning, 64, (begun, begun + took));
        let behind = ClaimFrom::Behind(vec![(1, 9), (0, 5)]);
        assert_eq!(frontier.from(begun + took), behind, "the urgent ones first");
        frontier.claimed(&[task(7, 0)], &behind, 64, (begun + took, begun + took * 2));
        assert_eq!(frontier.from(begun + took * 3), ClaimFrom::Behind(vec![(1, 9), (0, 7)]));
        assert_eq!(frontier.rest(begun + took * 3), Some(took * 6));
        assert_eq!(frontier.from(begun + took * 9), ClaimFrom::Beginning, "eight times what it took have passed");
        frontier.claimed(&[task(2, 0)], &ClaimFrom::Beginning, 64, (begun + took * 9, begun + took * 10));
        assert_eq!(
            frontier.from(begun + took * 10),
            ClaimFrom::Behind(vec![(1, 9), (0, 2)]),
            "what waits again is first"
        );
    }

    #[test]
    fn small_room_is_waited_for_where_more_wait() {
        let (now, mut frontier) = (Instant::now(), Frontier::default());
        assert_eq!(frontier.pause(1, 64, now), None, "perhaps there is only one");
        frontier.claimed(&[task(1, 0)], &ClaimFrom::Beginning, 1, (now, now));
        assert_eq!(frontier.pause(1, 64, now), Some(GATHERS));
        assert_eq!(frontier.pause(16, 64, now), None, "there is room for many");
        assert_eq!(frontier.pause(1, 64, now + GATHERS), None, "it was waited for");
        frontier.claimed(&[task(2, 0)], &ClaimFrom::Beginning, 2, (now, now));
        assert_eq!(frontier.pause(1, 64, now), None, "there were no more");
    }

    #[test]
    fn it_is_looked_when_there_may_be_something() {
        let (now, mut frontiers) = (Instant::now(), Frontiers::default());
        let (shop, review) = (Arc::from("shop"), Arc::from("review"));
        let frontier = frontiers.of(&shop, &review);
        assert_eq!(frontier.wait(now), Some(Duration::ZERO), "at first");
        frontier.looked(None, now);
        assert_eq!(frontier.wait(now), None);
        frontier.freed(false);
        assert_eq!(frontier.wait(now), None, "nothing waited for room");
        frontier.freed(true);
        assert_eq!(frontier.wait(now), Some(Duration::ZERO), "perhaps something waited for the limit");
        frontier.looked(Some(GATHERS), now);
        assert_eq!(frontier.wait(now), Some(GATHERS));
        frontier.crowded(now);
        frontier.freed(false);
        assert_eq!(frontier.wait(now), Some(Duration::ZERO), "there is room now");
        frontier.looked(None, now);
        frontiers.look_at_all();
        assert_eq!(frontiers.of(&shop, &review).wait(now), Some(Duration::ZERO));
    }

    #[test]
    fn with_many_priorities_it_is_looked_at_everything() {
        let (now, mut frontier) = (Instant::now(), Frontier::default());
        let later = now + Duration::from_millis(1);
        let many: Vec<ClaimedTask> = (0..9).map(|number| task(number, number as i32)).collect();
        frontier.claimed(&many, &ClaimFrom::Beginning, 64, (now, later));
        assert_eq!(frontier.from(later), ClaimFrom::Beginning);
        frontier.claimed(&many[..2], &ClaimFrom::Beginning, 64, (now, later));
        assert_eq!(frontier.from(later), ClaimFrom::Behind(vec![(1, 1), (0, 0)]), "only those that there are now");
    }
}
