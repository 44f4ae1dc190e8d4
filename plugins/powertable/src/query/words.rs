//! Lists with parentheses and quotes in them, taken apart.

use super::unreadable;
use crate::problem::OrRefused;

/// Splits at commas that stand in no parentheses and no quotes.
pub fn split(text: &str) -> OrRefused<Vec<&str>> {
    let (mut parts, mut begin, mut depth, mut quoted, mut escaped) = (Vec::new(), 0, 0_usize, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1).ok_or_else(|| unreadable(text, "a `)` has no `(`"))?,
            ',' if depth == 0 => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    if quoted || depth > 0 {
        return Err(unreadable(text, if quoted { "a `\"` is not closed" } else { "a `(` is not closed" }));
    }
    parts.push(&text[begin..]);
    Ok(parts)
}

/// What stands in the parentheses that are all of this text.
pub fn within(text: &str) -> OrRefused<&str> {
    let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
    inner.ok_or_else(|| unreadable(text, "it is a list in parentheses"))
}

/// A value of a list: in quotes, or as it is.
pub fn value(text: &str) -> OrRefused<String> {
    let Some(rest) = text.strip_prefix('"') else { return Ok(text.to_owned()) };
    let (mut value, mut letters) = (String::new(), rest.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => value.extend(letters.next()),
            '"' if letters.as_str().is_empty() => return Ok(value),
            '"' => break,
            letter => value.push(letter),
        }
    }
    Err(unreadable(text, "nothing comes after what is in quotes"))
}
