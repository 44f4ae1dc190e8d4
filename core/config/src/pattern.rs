//! A text that matches a regular expression, as far as one can be read off it.

use regex_syntax::hir::{Class, Hir, HirKind};

/// A text of at least so many characters that should match; none if the expression says what only a matcher understands, such as
/// looking ahead. Whether it does match is for the caller to see.
pub(crate) fn sample(pattern: &str, shortest: usize) -> Option<String> {
    let hir = regex_syntax::parse(pattern).ok()?;
    // What may be repeated is repeated until it is long enough.
    let mut text = String::new();
    for extra in (0..=shortest.min(MOST)).take(MOST) {
        text.clear();
        write(&hir, extra as u32, &mut text)?;
        if text.chars().count() >= shortest {
            return Some(text);
        }
    }
    let lacking = shortest.saturating_sub(text.chars().count());
    // Perhaps it does not say how the text ends.
    (shortest <= MOST).then(|| text + &"x".repeat(lacking))
}

const MOST: usize = 4096;

fn write(hir: &Hir, extra: u32, text: &mut String) -> Option<()> {
    if text.len() > 4 * MOST {
        return None;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(std::str::from_utf8(&literal.0).ok()?),
        HirKind::Class(Class::Unicode(class)) => {
            text.push(readable(class.ranges().iter().map(|range| (range.start(), range.end())))?)
        }
        HirKind::Class(Class::Bytes(class)) => {
            text.push(readable(class.ranges().iter().map(|range| (range.start().into(), range.end().into())))?)
        }
        HirKind::Repetition(repetition) => {
            let most = repetition.max.unwrap_or(u32::MAX);
            for _ in 0..repetition.min.saturating_add(extra).min(most) {
                write(&repetition.sub, 0, text)?;
            }
        }
        HirKind::Capture(capture) => write(&capture.sub, extra, text)?,
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| write(part, extra, text))?,
        HirKind::Alternation(choices) => write(choices.first()?, extra, text)?,
    }
    Some(())
}

/// A character of these ranges, one that people can read if there is one.
fn readable(ranges: impl Iterator<Item = (char, char)> + Clone) -> Option<char> {
    let within = |wanted: &char| ranges.clone().any(|(first, last)| (first..=last).contains(wanted));
    let plain = ('a'..='z').chain('0'..='9').chain('A'..='Z').chain('!'..='~').find(within);
    plain.or_else(|| ranges.clone().next().map(|(first, _)| first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_off() {
        for (pattern, shortest, text) in [
            ("^[a-z]{3}-[0-9]+$", 0, Some("aaa-0")),
            ("^[a-z]{3}-[0-9]+$", 8, Some("aaa-0000")),
            ("^(https?)://", 0, Some("http://")),
            ("^(https?)://", 12, Some("https://xxxx")),
            (r"^\d{4}-\d{2}$", 0, Some("0000-00")),
            ("a|b", 0, Some("a")),
            (r"^(?=x)", 0, None),
            ("", 3, Some("xxx")),
        ] {
            assert_eq!(sample(pattern, shortest).as_deref(), text, "{pattern}");
        }
    }
}
