//! The header `Prefer`. What is not known in it is passed over, as HTTP has it.

use axum::http::HeaderMap;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefer {
    pub returned: Returned,
    pub resolution: Option<Resolution>,
    /// Whether to count all rows.
    pub count: bool,
    /// Whether a column that a row does not have gets its default.
    pub missing_is_default: bool,
}

/// What is answered to a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Returned {
    #[default]
    Minimal,
    HeadersOnly,
    Representation,
}

/// What becomes of a row that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    MergeDuplicates,
    IgnoreDuplicates,
}

impl Prefer {
    pub fn of(headers: &HeaderMap) -> Self {
        let mut prefer = Prefer::default();
        let words = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        for word in words.flat_map(|value| value.split([',', ';'])) {
            match word.trim() {
                "return=minimal" => prefer.returned = Returned::Minimal,
                "return=headers-only" => prefer.returned = Returned::HeadersOnly,
                "return=representation" => prefer.returned = Returned::Representation,
                "resolution=merge-duplicates" => prefer.resolution = Some(Resolution::MergeDuplicates),
                "resolution=ignore-duplicates" => prefer.resolution = Some(Resolution::IgnoreDuplicates),
                "count=exact" | "count=planned" | "count=estimated" => prefer.count = true,
                "missing=default" => prefer.missing_is_default = true,
                _ => {}
            }
        }
        prefer
    }
}
