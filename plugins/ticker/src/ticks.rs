//! What one client gets: a tick at once, and another whenever its interval has passed, until the clock stops.

use crate::clock::Seconds;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// What a client may ask for: `?every=250`, in milliseconds.
#[derive(Debug, Deserialize)]
pub struct Asked {
    #[serde(default)]
    every: Every,
}

/// An interval within bounds: from a tenth of a second to a minute.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
struct Every(Duration);

impl Default for Every {
    fn default() -> Self {
        Every(Duration::from_secs(1))
    }
}

impl TryFrom<u64> for Every {
    type Error = &'static str;

    fn try_from(milliseconds: u64) -> Result<Self, Self::Error> {
        match milliseconds {
            100..=60_000 => Ok(Every(Duration::from_millis(milliseconds))),
            _ => Err("`every` is a number of milliseconds from 100 to 60000"),
        }
    }
}

/// A tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Tick {
    /// Counts this client's ticks, from 1 and without gaps.
    pub number: u64,
    /// The seconds since the plugin was started. They begin anew when it is reloaded.
    pub uptime: u64,
}

/// The ticks of one client.
#[derive(Debug)]
pub struct Ticks {
    interval: Interval,
    seconds: Seconds,
    number: u64,
}

impl Ticks {
    /// Begins.
    pub fn new(asked: &Asked, seconds: Seconds) -> Self {
        let mut interval = interval(asked.every.0);
        // Who was slow gets the next tick in time, not all the late ones at once.
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ticks { interval, seconds, number: 0 }
    }

    /// The next tick, or nothing once the clock has stopped. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Tick> {
        tokio::select! {
            biased;
            () = ended(&mut self.seconds) => None,
            _ = self.interval.tick() => {
                self.number += 1;
                Some(Tick { number: self.number, uptime: *self.seconds.borrow() })
            }
        }
    }
}

async fn ended(seconds: &mut Seconds) {
    while seconds.changed().await.is_ok() {}
}
