//! Foreign words in sentences of our own: what the system says, and what a plugin says.

use std::io;

/// What the system says of an error, without its number.
pub(crate) fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

/// The longest that is told of what a plugin says, in characters.
const LONGEST: usize = 2000;

/// A plugin's words as a part of one sentence: on one line, without control characters, and not without end.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::new();
    let words = text.split_whitespace().enumerate();
    let mut characters =
        words.flat_map(|(index, word)| (index > 0).then_some(' ').into_iter().chain(word.chars())).peekable();
    for _ in 0..LONGEST {
        match characters.next() {
            Some(control) if control.is_control() => line.extend(control.escape_unicode()),
            Some(plain) => line.push(plain),
            None => break,
        }
    }
    if characters.peek().is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_stay_on_their_line() {
        assert_eq!(one_line("no such table\n\n  in line 7\n"), "no such table in line 7");
        assert_eq!(one_line("red: \u{1b}[31m"), "red: \\u{1b}[31m");
        assert_eq!(one_line(""), "");
        let endless = one_line(&"ab ".repeat(1 << 20));
        assert!(
            endless.starts_with("ab ab ") && endless.ends_with('…') && endless.chars().count() <= LONGEST + 1,
            "{}",
            endless.len()
        );
        assert_eq!(one_line(&"x".repeat(LONGEST)), "x".repeat(LONGEST));
    }

    #[test]
    fn the_systems_words_have_no_number() {
        assert_eq!(in_words(&io::Error::from_raw_os_error(2)), "no such file or directory");
        assert_eq!(in_words(&io::Error::other("Of ours")), "Of ours");
    }
}
