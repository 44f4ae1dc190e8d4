//! How well a line fits words that are all in it: by where they are, and whether as a whole. What must not live here: which lines have
//! them.

use super::{folded, words_of};
use crate::documents::ListingLine;

/// A word of a question, and what is looked for where somebody writes it.
pub(super) enum AskedWord {
    /// Itself.
    Whole(String),
    /// All words that begin so; those that there are, if they are few, else none.
    Begun(String, Vec<String>),
    /// One of these in its place.
    Meant(Vec<String>),
}

impl AskedWord {
    /// As SQLite's full-text search wants it.
    pub(super) fn term(&self) -> String {
        let any = |words: &[String]| {
            let any: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
            format!("({})", any.join(" OR "))
        };
        match self {
            AskedWord::Whole(word) => format!("\"{word}\""),
            AskedWord::Begun(word, words) if words.is_empty() => format!("\"{word}\"*"),
            AskedWord::Begun(_, words) | AskedWord::Meant(words) => any(words),
        }
    }

    /// 1: the word itself; less: it begins with it.
    fn likeness(&self, word: &str) -> f64 {
        let is = match self {
            AskedWord::Whole(asked) | AskedWord::Begun(asked, _) => asked == word,
            AskedWord::Meant(words) => words.iter().any(|asked| asked == word),
        };
        match self {
            _ if is => 1.0,
            AskedWord::Begun(asked, _) if word.starts_with(&**asked) => 0.6,
            _ => 0.0,
        }
    }

    fn best(&self, text: &str) -> f64 {
        words_of(text).map(|word| self.likeness(word)).fold(0.0, f64::max)
    }
}

/// The more the better. Where a word is found counts once for each part of the line.
pub(super) fn fit(line: &ListingLine, asked: &[AskedWord]) -> f64 {
    let (tags, authors) = (line.tags.join(" "), line.authors.join(" "));
    let parts = [
        (10.0, &line.name),
        (6.0, &line.display_name),
        (4.0, &tags),
        (2.0, &line.category),
        (1.0, &line.description),
        (1.0, &authors),
    ];
    let of = |(weight, text): (f64, &String)| {
        let text = folded(text);
        weight * asked.iter().map(|asked| asked.best(&text)).sum::<f64>()
    };
    parts.into_iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_words_are_and_whether_as_a_whole() {
        let line = |name: &str, tag: &str, description: &str| ListingLine {
            name: name.to_owned(),
            tags: vec![tag.to_owned()],
            description: description.to_owned(),
            ..ListingLine::default()
        };
        let asked = |word: &str| vec![AskedWord::Begun(word.to_owned(), Vec::new())];
        let lines = [
            line("chat", "chat", "Chats"),
            line("chat-window", "ui", "A window"),
            line("chatter", "ui", "A window"),
            line("window", "chat", "A window"),
            line("window", "ui", "To chat"),
            line("window", "ui", "For chatting"),
        ];
        let fits: Vec<f64> = lines.iter().map(|line| fit(line, &asked("chat"))).collect();
        assert!(fits.is_sorted_by(|one, other| one > other), "{fits:?}");
        assert!(fit(&lines[5], &asked("chat")) > 0.0);
    }
}
