//! The formats of rows, and which of them was asked for. Pure.

use crate::problem::{OrRefused, Refused, shortened};
use axum::http::{
    HeaderMap, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An array of objects.
    Json,
    /// One object, for one row.
    Object,
    Csv,
    /// An object a line.
    Ndjson,
}

impl Format {
    fn of(kind: &str) -> Option<Self> {
        match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/json" | "application/vnd.pgrst.array+json" | "application/vnd.pgrst.array" => {
                Some(Format::Json)
            }
            "application/vnd.pgrst.object+json" | "application/vnd.pgrst.object" => Some(Format::Object),
            "text/csv" => Some(Format::Csv),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Format::Ndjson),
            _ => None,
        }
    }

    /// The first one that is accepted and known.
    pub fn accepted(headers: &HeaderMap) -> OrRefused<Self> {
        let values: Vec<_> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        let mut kinds =
            values.iter().flat_map(|value| value.split(',')).filter(|kind| !kind.trim().is_empty()).peekable();
        if kinds.peek().is_none() {
            return Ok(Format::Json);
        }
        let of = |kind: &str| match kind.split(';').next().unwrap_or_default().trim() {
            "*/*" | "application/*" => Some(Format::Json),
            "text/*" => Some(Format::Csv),
            _ => Format::of(kind),
        };
        kinds.find_map(of).ok_or_else(|| {
            let message = format!("none of what is accepted (`{}`) is known", shortened(&values.join(", ")));
            Refused::new(StatusCode::NOT_ACCEPTABLE, "PGRST107", message).with_hint(KNOWN)
        })
    }

    /// What was sent.
    pub fn sent(headers: &HeaderMap) -> OrRefused<Self> {
        let Some(kind) = headers.get(CONTENT_TYPE) else { return Ok(Format::Json) };
        let kind = kind.to_str().unwrap_or_default();
        Format::of(kind).map(|format| if format == Format::Object { Format::Json } else { format }).ok_or_else(|| {
            let message = format!("`{}` is not read here", shortened(kind));
            Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "PGRST102", message).with_hint(KNOWN)
        })
    }

    /// What it is called.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Json => "application/json; charset=utf-8",
            Format::Object => "application/vnd.pgrst.object+json; charset=utf-8",
            Format::Csv => "text/csv; charset=utf-8",
            Format::Ndjson => "application/x-ndjson; charset=utf-8",
        }
    }
}

const KNOWN: &str = "there are application/json, text/csv and application/x-ndjson";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_known() {
        let accepted = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, text.parse().unwrap());
            Format::accepted(&headers).map_err(|refused| refused.code)
        };
        assert_eq!(accepted("text/html, application/xml;q=0.9, */*;q=0.8"), Ok(Format::Json));
        assert_eq!(accepted("application/vnd.pgrst.object+json; charset=utf-8"), Ok(Format::Object));
        assert_eq!(accepted("TEXT/CSV"), Ok(Format::Csv));
        assert_eq!(accepted("application/x-ndjson"), Ok(Format::Ndjson));
        assert_eq!(accepted("image/png"), Err("PGRST107"));
        assert_eq!(Format::accepted(&HeaderMap::new()), Ok(Format::Json));
    }
}
