//! How well a line fits words that are all in it: by where they are, and whether as a whole. What must not live here: which lines have
//! them.

use super::{folded, words_of};
use crate::documents::ListingLine;

/// A word of a question: the words that are looked for, one of which is enough, and whether they may be beginnings.
pub(super) struct AskedWord {
    pub(super) any: Vec<String>,
    pub(super) prefix: bool,
    /// All words that begin so, if they are few.
    pub(super) begun: Vec<String>,
}

impl AskedWord {
    /// As SQLite's full-text search wants it.
    pub(super) fn term(&self) -> String {
        let (words, star) = match self.begun.is_empty() {
            true => (&self.any, if self.prefix { "*" } else { "" }),
            false => (&self.begun, ""),
        };
        let any: Vec<_> = words.iter().map(|word| format!("\"{word}\"{star}")).collect();
        format!("({})", any.join(" OR "))
    }

    /// 1: the word itself; less: it begins with it.
    fn likeness(&self, word: &str) -> f64 {
        let of = |asked: &String| match word.strip_prefix(&**asked) {
            Some("") => 1.0,
            Some(_) if self.prefix => 0.6,
            _ => 0.0,
        };
        self.any.iter().map(of).fold(0.0, f64::max)
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
        let asked = |word: &str| vec![AskedWord { any: vec![word.to_owned()], prefix: true, begun: Vec::new() }];
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
