//! Points in time as RFC 3339 writes them, and as microseconds since 1970. Pure.

const DAY: i64 = 86_400;

/// Reads a point in time. Without an offset it is UTC's; a blank may stand for the `T`, and a date alone is its beginning.
pub fn read(text: &str) -> Option<i64> {
    if !text.is_ascii() {
        return None;
    }
    let (date, rest) = text.split_at_checked(10)?;
    let [year, month, day] = numbers(date, '-')?;
    if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=length(year, month)).contains(&day) {
        return None;
    }
    let days = days_before(year, month, day);
    if rest.is_empty() {
        return Some(days * DAY * 1_000_000);
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let [hour, minute, second] = numbers(clock, ':')?;
    if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0..60).contains(&second) {
        return None;
    }
    let (micros, rest) = fraction(rest)?;
    let offset = offset(rest)?;
    Some((days * DAY + hour * 3600 + minute * 60 + second - offset) * 1_000_000 + micros)
}

/// Three numbers of two digits each, the first of which may have four.
fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let mut parts = text.split(between).map(|part| {
        let good = part.len() >= 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse().ok().filter(|_| good)
    });
    let three = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(three)
}

/// Microseconds; what is smaller is left out.
fn fraction(rest: &str) -> Option<(i64, &str)> {
    let Some(rest) = rest.strip_prefix('.') else { return Some((0, rest)) };
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, rest) = rest.split_at(end);
    if digits.is_empty() {
        return None;
    }
    let micros = format!("{digits:0<6}").get(..6)?.parse().ok()?;
    Some((micros, rest))
}

/// Seconds east of UTC.
fn offset(rest: &str) -> Option<i64> {
    if rest.is_empty() || rest.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = match rest.strip_prefix(['+', ' ']) {
        // In a query `+` is a blank.
        Some(rest) => (1, rest),
        None => (-1, rest.strip_prefix('-')?),
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "00"));
    let part = |text: &str, most: i64| {
        let good = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number: &i64| good && *number <= most)
    };
    Some(sign * (part(hours, 15)? * 3600 + part(minutes, 59)? * 60))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn length(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970 to a day. Years begin in March, so that the day that comes and goes is their last.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let in_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + in_era * 365 + in_era / 4 - in_era / 100 + of_year - 719_468
}

/// Writes a point in time, in UTC.
pub fn written(micros: i64) -> String {
    let (seconds, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, clock) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let days = days + 719_468;
    let (era, in_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let of_era = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
    let of_year = in_era - (365 * of_era + of_era / 4 - of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = of_era + era * 400 + i64::from(month <= 2);
    let fraction = match micros {
        0 => String::new(),
        micros => format!(".{micros:06}").trim_end_matches('0').to_owned(),
    };
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}+00:00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let good = [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01", 0),
            ("1970-01-02 00:00:00.25", DAY * 1_000_000 + 250_000),
            ("1970-01-01T02:00:00+02:00", 0),
            ("1970-01-01T02:00:00 02", 0),
            ("1969-12-31T23:59:59.9999999Z", -1),
            ("2000-02-29T12:00:00Z", 951_825_600_000_000),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
        ];
        for (text, micros) in good {
            assert_eq!(read(text), Some(micros), "{text}");
        }
        for bad in [
            "",
            "yesterday",
            "1970-1-1",
            "1970-02-30",
            "1900-02-29",
            "1970-13-01",
            "0000-01-01",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00",
            "1970-01-01T00:00:00+2:00",
            "1970-01-01T00:00:00Zx",
            "ä970-01-01",
            "1970-01-+1",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        assert_eq!(written(951_825_600_000_000), "2000-02-29T12:00:00+00:00");
        assert_eq!(written(-1), "1969-12-31T23:59:59.999999+00:00");
        for day in (-700_000_i64..2_900_000).step_by(37) {
            let micros = day * DAY * 1_000_000 + 43_200_123_456;
            assert_eq!(read(&written(micros)), Some(micros), "{}", written(micros));
        }
    }
}
