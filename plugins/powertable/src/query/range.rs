//! Which rows of those that are found: `limit`, `offset`, and the headers `Range` and `Content-Range`.

use super::unreadable;
use crate::problem::OrRefused;
use axum::http::{HeaderMap, StatusCode, header::RANGE};

/// A part of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub offset: u64,
    pub limit: Option<u64>,
}

pub fn number(name: &str, text: &str) -> OrRefused<u64> {
    let number = text.parse().ok().filter(|number: &u64| i64::try_from(*number).is_ok());
    number.ok_or_else(|| unreadable(text, &format!("`{name}` is a whole number that is not negative")))
}

impl Window {
    /// With what the header says, unless the query does. A range that cannot be read is none, as HTTP has it.
    pub fn or_header(self, headers: &HeaderMap) -> Self {
        let header = headers.get(RANGE).and_then(|range| range.to_str().ok());
        let of_items = headers.get("range-unit").is_none_or(|unit| unit == "items");
        match header.filter(|_| of_items).and_then(of_header) {
            Some(window) if self == Window::default() => window,
            _ => self,
        }
    }

    /// With no more rows than that.
    pub fn at_most(self, most: Option<u64>) -> Self {
        Window { limit: self.limit.into_iter().chain(most).min(), ..self }
    }
}

/// `0-24`, or `items=0-24`; `25-` is all from there on.
fn of_header(text: &str) -> Option<Window> {
    let text = text.strip_prefix("items=").unwrap_or(text);
    let (from, to) = text.split_once('-')?;
    let offset = number("Range", from).ok()?;
    let limit = match to {
        "" => None,
        to => Some(number("Range", to).ok()?.checked_sub(offset)?.saturating_add(1)),
    };
    Some(Window { offset, limit })
}

/// What is said of an answer with so many rows of so many, as far as that is known: a status, and `Content-Range`.
pub fn content_range(window: Window, rows: u64, total: Option<u64>) -> (StatusCode, String) {
    let told = total.map_or_else(|| "*".to_owned(), |total| total.to_string());
    let status = match total {
        Some(total) if window.offset > total => StatusCode::RANGE_NOT_SATISFIABLE,
        Some(total) if rows < total => StatusCode::PARTIAL_CONTENT,
        _ => StatusCode::OK,
    };
    match rows.checked_sub(1) {
        Some(last) => (status, format!("{}-{}/{told}", window.offset, window.offset.saturating_add(last))),
        None => (status, format!("*/{told}")),
    }
}
