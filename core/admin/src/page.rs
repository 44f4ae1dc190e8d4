//! Lists in pages: how long one is, and where the next begins. Pure.

use crate::ask::bad;
use camlock_http::Problem;
use std::{fmt::Display, str::FromStr};

/// The longest page, and the usual one.
pub(super) const LONGEST: usize = 500;
pub(super) const USUAL: usize = 50;

/// How many are asked for.
pub(super) fn length(limit: Option<usize>) -> Result<usize, Problem> {
    match limit {
        None => Ok(USUAL),
        Some(limit @ 1..=LONGEST) => Ok(limit),
        Some(limit) => Err(bad(format!("`limit` is from 1 to {LONGEST}, and not {limit}"))),
    }
}

/// A place in a list, as others see it: not to be understood, and not to be mistaken for one of another list.
pub(super) fn cursor(list: &str, place: impl Display) -> String {
    format!("{list}:{place}").bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// The place that a cursor of this list stands for.
pub(super) fn place<T: FromStr>(list: &str, cursor: Option<&str>) -> Result<Option<T>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let read = || {
        let digits = cursor.as_bytes();
        let pairs = digits.chunks(2).map(|pair| {
            let hex = std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|byte| byte.is_ascii_hexdigit()));
            u8::from_str_radix(hex.filter(|hex| hex.len() == 2)?, 16).ok()
        });
        let text = String::from_utf8(pairs.collect::<Option<Vec<_>>>()?).ok()?;
        text.strip_prefix(list)?.strip_prefix(':')?.parse().ok()
    };
    read().map(Some).ok_or_else(|| bad("`cursor` is not one that this list gave: send its `next`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_place() {
        let there = cursor("plugins", "kv-store");
        assert!(!there.contains("kv-store"));
        assert_eq!(place::<String>("plugins", Some(&there)).unwrap().as_deref(), Some("kv-store"));
        assert_eq!(place::<String>("plugins", None).unwrap(), None);
        for (list, wrong) in
            [("journal", &*there), ("plugins", "7"), ("plugins", "zz"), ("plugins", "+1+1"), ("plugins", "é")]
        {
            assert!(place::<String>(list, Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_page_has_a_length() {
        assert_eq!(length(None).ok(), Some(50));
        assert_eq!(length(Some(500)).ok(), Some(500));
        assert!(length(Some(0)).is_err() && length(Some(501)).is_err());
    }
}
