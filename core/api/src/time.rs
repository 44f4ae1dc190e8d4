//! A point in time as the API writes it.

use jiff::{Timestamp, Unit};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr, time::SystemTime};

/// A point in time. It is written as RFC 3339 has it, in UTC and to the millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UtcTime(SystemTime);

impl UtcTime {
    /// By the machine's clock.
    pub fn system(self) -> SystemTime {
        self.0
    }
}

impl From<SystemTime> for UtcTime {
    fn from(time: SystemTime) -> Self {
        UtcTime(time)
    }
}

impl fmt::Display for UtcTime {
    /// A time that no calendar of four digits has is written as the nearest one that it has.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nearest = if self.0 < SystemTime::UNIX_EPOCH { Timestamp::MIN } else { Timestamp::MAX };
        let timestamp = Timestamp::try_from(self.0).unwrap_or(nearest);
        write!(formatter, "{}", timestamp.round(Unit::Millisecond).unwrap_or(timestamp))
    }
}

impl FromStr for UtcTime {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        Ok(UtcTime(text.parse::<Timestamp>()?.into()))
    }
}

impl Serialize for UtcTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UtcTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| de::Error::custom(format!("`{text}` is no time like 2030-01-31T12:00:00Z")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn it_is_written_to_the_millisecond_and_read_again() {
        let moment = UtcTime::from(UNIX_EPOCH + Duration::from_micros(1_700_000_000_250_400));
        assert_eq!(moment.to_string(), "2023-11-14T22:13:20.25Z");
        let read: UtcTime = serde_json::from_str("\"2023-11-14T22:13:20.25Z\"").unwrap();
        assert_eq!(read.system(), UNIX_EPOCH + Duration::from_millis(1_700_000_000_250));
        let told = serde_json::from_str::<UtcTime>("\"yesterday\"").unwrap_err().to_string();
        assert!(told.starts_with("`yesterday` is no time like 2030-01-31T12:00:00Z"), "{told}");
    }

    #[test]
    fn a_time_beyond_all_calendars_is_written_as_the_last_one() {
        let beyond = UtcTime::from(UNIX_EPOCH + Duration::from_secs(1 << 50));
        assert!(beyond.to_string().starts_with("9999-12-30T"), "{beyond}");
    }
}
