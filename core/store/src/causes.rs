//! Why something failed, in words that go into a sentence.

use std::{error::Error, io};

/// The longest that is told of what somebody else says, in characters.
const LONGEST: usize = 300;

/// What the system says of an error, without its number.
pub(crate) fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

/// All that led to an error, the outermost first.
pub(crate) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// What is at the bottom of an error, on one line and not without end.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let last = chain(error).last().unwrap_or(error);
    match last.downcast_ref::<io::Error>() {
        Some(system) => in_words(system),
        None => one_line(&last.to_string()),
    }
}

/// Somebody's words as a part of one sentence.
pub(crate) fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line: String = words.chars().filter(|character| !character.is_control()).take(LONGEST).collect();
    if words.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_go_into_a_sentence() {
        assert_eq!(in_words(&io::Error::from_raw_os_error(2)), "no such file or directory");
        let wrapped = io::Error::other(io::Error::from_raw_os_error(111));
        assert_eq!(innermost(&wrapped), "connection refused");
        assert_eq!(one_line("no such\n\n  table\u{1b}[31m"), "no such table[31m");
        assert_eq!(one_line(&"ab ".repeat(1000)).chars().count(), LONGEST + 1);
    }
}
