//! The columns of an answer: `select=name,year:born`.

use super::unreadable;
use crate::problem::OrRefused;

/// A column, and what it is called in the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    All,
    One { column: String, called: String },
}

/// Nothing selects all.
pub fn read(text: &str) -> OrRefused<Option<Vec<Selected>>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.split(',').map(one).collect::<OrRefused<_>>().map(Some)
}

fn one(text: &str) -> OrRefused<Selected> {
    let text = text.trim();
    if text == "*" {
        return Ok(Selected::All);
    }
    if text.contains("::") {
        return Err(unreadable(text, "casts are not known here"));
    }
    if text.contains('(') {
        return Err(unreadable(text, "tables within tables, and functions, are not known here"));
    }
    if text.contains("->") {
        return Err(unreadable(text, "parts of JSON are not known here: select the column"));
    }
    match text.split_once(':') {
        Some((called, column)) => Ok(Selected::One { column: name(column)?, called: plain(called)? }),
        None => Ok(Selected::One { column: name(text)?, called: name(text)? }),
    }
}

/// A column's name. Quotes around it are allowed.
pub fn name(text: &str) -> OrRefused<String> {
    plain(text)
}

fn plain(text: &str) -> OrRefused<String> {
    let text = text.trim();
    let name = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let good = !name.is_empty()
        && name.len() <= 63
        && !name.contains(|letter: char| letter.is_control() || "\"'`,.:;()".contains(letter));
    if good { Ok(name.to_owned()) } else { Err(unreadable(text, "it is no name of a column")) }
}

/// Several columns' names.
pub fn names(text: &str) -> OrRefused<Vec<String>> {
    text.split(',').map(name).collect()
}
