//! Times as people tell them.

use jiff::{Timestamp, Unit};

/// `12 s ago`, of a time as RFC 3339 has it; what is no such time stays as it is.
pub(crate) fn ago(time: &str) -> String {
    let Ok(then) = time.parse::<Timestamp>() else { return time.to_owned() };
    let seconds = Timestamp::now().since((Unit::Second, then)).map(|span| span.get_seconds()).unwrap_or_default();
    if seconds < 0 { format!("in {}", lasting(-seconds)) } else { format!("{} ago", lasting(seconds)) }
}

fn lasting(seconds: i64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    #[test]
    fn the_larger_the_rougher() {
        let at = |seconds: i64| ago(&(Timestamp::now() - SignedDuration::from_secs(seconds)).to_string());
        assert_eq!(at(125), "2 min ago");
        assert_eq!(at(8_000), "2 h ago");
        assert_eq!(at(400_000), "4 days ago");
        assert_eq!(at(-8_000), "in 2 h");
        assert_eq!(ago("yesterday"), "yesterday");
    }
}
