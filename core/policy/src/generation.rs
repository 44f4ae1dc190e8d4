//! The states of one generation, and the only way from one to the next. Pure.

use crate::{Failure, Stage};

/// Where a generation is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its sources are being compiled.
    Building,
    /// A child process tries its bytes; then it may have to wait for what it depends on, and for its tables.
    Verifying,
    /// It is opened and created.
    Loading,
    /// It takes over state and begins its work.
    Starting,
    /// It is in the table of routes, and answers requests.
    Serving,
    /// It ends what it began.
    Draining,
    /// Nothing of it is left in the process.
    Retired,
    /// It never came to serve.
    Failed(Failure),
    /// Its library stays in the process.
    Pinned {
        /// What keeps it there, in words.
        reason: String,
    },
}

/// What happens to a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// There is a library, just compiled or kept from before.
    Built,
    /// The library may be loaded, and everything it depends on is there.
    Admitted,
    /// There is an instance.
    Loaded,
    /// It is ready, and in the table.
    Published,
    /// It is no longer in the table.
    Replaced,
    /// It did not make it.
    Failed(Failure),
    /// A newer one took its place before it could serve.
    Superseded,
    /// Its library does not go.
    Stuck(String),
    /// It has left the process.
    Left,
}

impl Phase {
    /// The phase after an event; none if the event cannot happen in this phase, which is a mistake of the caller.
    #[must_use]
    pub fn after(&self, event: Event) -> Option<Phase> {
        use Phase::{Building, Draining, Failed, Loading, Pinned, Retired, Serving, Starting, Verifying};
        Some(match (self, event) {
            (Building, Event::Built) => Verifying,
            (Verifying, Event::Admitted) => Loading,
            (Loading, Event::Loaded) => Starting,
            (Starting, Event::Published) => Serving,
            (Serving, Event::Replaced) => Draining,
            (Building | Verifying | Loading | Starting, Event::Failed(failure)) => Failed(failure),
            (Building | Verifying, Event::Superseded) => Retired,
            // It was loaded already: it leaves as others do.
            (Loading | Starting, Event::Superseded) => Draining,
            (Draining | Failed(_) | Pinned { .. }, Event::Stuck(reason)) => Pinned { reason },
            (Draining | Pinned { .. }, Event::Left) => Retired,
            (Failed(failure), Event::Left) => Failed(failure.clone()),
            _ => return None,
        })
    }

    /// The word for people.
    pub fn word(&self) -> &'static str {
        match self {
            Phase::Building => "building",
            Phase::Verifying => "verifying",
            Phase::Loading => "loading",
            Phase::Starting => "starting",
            Phase::Serving => "serving",
            Phase::Draining => "draining",
            Phase::Retired => "retired",
            Phase::Failed(_) => "failed",
            Phase::Pinned { .. } => "pinned",
        }
    }

    /// The stage to blame if it fails now.
    pub fn stage(&self) -> Stage {
        match self {
            Phase::Building => Stage::Build,
            Phase::Verifying => Stage::Verify,
            Phase::Loading => Stage::Load,
            Phase::Starting => Stage::Start,
            _ => Stage::Health,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_and_event() {
        let failure = || Failure::new(Stage::Load, "it broke");
        let phases = [
            Phase::Building,
            Phase::Verifying,
            Phase::Loading,
            Phase::Starting,
            Phase::Serving,
            Phase::Draining,
            Phase::Retired,
            Phase::Failed(failure()),
            Phase::Pinned { reason: "a thread".to_owned() },
        ];
        let events = [
            Event::Built,
            Event::Admitted,
            Event::Loaded,
            Event::Published,
            Event::Replaced,
            Event::Failed(failure()),
            Event::Superseded,
            Event::Stuck("a thread".to_owned()),
            Event::Left,
        ];
        // One line a phase, one word an event; a dash where it cannot happen.
        let table = "
            verifying -        -        -       -        failed  retired  -       -
            -         loading  -        -       -        failed  retired  -       -
            -         -        starting -       -        failed  draining -       -
            -         -        -        serving -        failed  draining -       -
            -         -        -        -       draining -       -        -       -
            -         -        -        -       -        -       -        pinned  retired
            -         -        -        -       -        -       -        -       -
            -         -        -        -       -        -       -        pinned  failed
            -         -        -        -       -        -       -        pinned  retired";
        for (phase, line) in phases.iter().zip(table.trim().lines()) {
            for (event, expected) in events.iter().zip(line.split_whitespace()) {
                let found = phase.after(event.clone());
                assert_eq!(found.as_ref().map_or("-", Phase::word), expected, "{phase:?} {event:?}");
            }
        }
    }
}
