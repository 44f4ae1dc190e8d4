//! Times as people tell them.

use camlock_api::UtcTime;
use std::time::{Duration, SystemTime};

/// `12 s ago`, or `in 12 s`.
pub(crate) fn ago(time: UtcTime) -> String {
    match SystemTime::now().duration_since(time.system()) {
        Ok(since) => format!("{} ago", lasting(since)),
        // Times are told to the millisecond: what was just now may be a little later.
        Err(until) if until.duration() < Duration::from_secs(1) => "0 s ago".to_owned(),
        Err(until) => format!("in {}", lasting(until.duration())),
    }
}

fn lasting(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn the_larger_the_rougher() {
        let seconds = Duration::from_secs;
        let at = |seconds: Duration| ago((SystemTime::now() - seconds).into());
        assert_eq!(at(seconds(125)), "2 min ago");
        assert_eq!(at(seconds(8_000)), "2 h ago");
        assert_eq!(at(seconds(400_000)), "4 days ago");
        assert_eq!(ago((SystemTime::now() + seconds(8_000)).into()), "in 2 h");
    }
}
