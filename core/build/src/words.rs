//! Foreign words in sentences of our own: what the system says, what a file is called, what a tool prints.

use std::{io, time::Duration};

/// What the system says of an error, without its number.
pub(crate) fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

/// The longest that is told of what somebody else says, in characters.
const LONGEST: usize = 600;

/// Somebody's words as a part of one sentence: on one line, without control characters, and not without end.
pub(crate) fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line: String = words.chars().take(LONGEST).flat_map(plainly).collect();
    if words.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}

/// A name as people can read it.
pub(crate) fn shown(name: &str) -> String {
    name.chars().take(300).flat_map(plainly).collect()
}

fn plainly(character: char) -> impl Iterator<Item = char> {
    let control = character.is_control();
    let escaped = control.then(|| character.escape_unicode()).into_iter().flatten();
    escaped.chain((!control).then_some(character))
}

/// `1 error`, `2 errors`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// `12 s`, `3 min`.
pub(crate) fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

/// A text without the sequences that colour it on terminals.
pub(crate) fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|character: char| character.is_ascii_alphabetic()).map_or(part.len(), |end| end + 1);
        plain.push_str(&part[end..]);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_stay_on_their_line() {
        assert_eq!(one_line("no such table\n\n  in line 7\n"), "no such table in line 7");
        assert_eq!(one_line("red: \u{1b}[31m"), "red: \\u{1b}[31m");
        assert!(one_line(&"ab ".repeat(1 << 20)).chars().count() <= LONGEST + 1);
        assert_eq!(shown("a\nb"), "a\\u{a}b");
    }

    #[test]
    fn counts_and_system_errors_read_well() {
        assert_eq!(in_words(&io::Error::from_raw_os_error(2)), "no such file or directory");
        assert_eq!((counted(1, "error"), counted(2, "error")), ("1 error".to_owned(), "2 errors".to_owned()));
    }
}
