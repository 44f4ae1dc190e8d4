//! Moments as PostgreSQL writes them. Pure.

use std::fmt::Write;

const DAY: i64 = 86_400_000_000;

/// Writes microseconds since 1970.
pub(super) fn write_moment(micros: i64, into: &mut String) {
    let (days, rest) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let (year, month, day) = date(days);
    let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    // There is no year 0: the one before 1 is 1 BC.
    let (shown, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    let _ = write!(into, "{shown:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}+00{era}");
}

/// Year, month and day, so many days after 1970-01-01. Eras of 400 years begin in March, so that leap days come last.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year + era * 400 + later, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_postgresql_writes_them() {
        for (micros, written) in [
            (0, "1970-01-01 00:00:00.000000+00"),
            (-1, "1969-12-31 23:59:59.999999+00"),
            (1_709_210_096_000_007, "2024-02-29 12:34:56.000007+00"),
            (4_107_542_400_000_000, "2100-03-01 00:00:00.000000+00"),
            (-62_135_596_800_000_000, "0001-01-01 00:00:00.000000+00"),
            (-62_135_596_800_000_001, "0001-12-31 23:59:59.999999+00 BC"),
            (253_402_300_800_000_000, "10000-01-01 00:00:00.000000+00"),
        ] {
            let mut text = String::new();
            write_moment(micros, &mut text);
            assert_eq!(text, written);
        }
        for edge in [i64::MIN, i64::MAX] {
            write_moment(edge, &mut String::new());
        }
    }
}
