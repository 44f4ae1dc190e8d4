//! The order of rows: `order=born.desc.nullslast,name`.

use super::unreadable;
use crate::problem::OrRefused;

/// A column that rows are ordered by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderBy {
    pub column: String,
    pub descending: bool,
    pub nulls_first: bool,
}

pub fn read(text: &str) -> OrRefused<Vec<OrderBy>> {
    text.split(',').filter(|part| !part.is_empty()).map(one).collect()
}

fn one(text: &str) -> OrRefused<OrderBy> {
    let mut words = text.split('.');
    let column = super::select::name(words.next().unwrap_or_default())?;
    let (mut descending, mut nulls) = (None, None);
    for word in words {
        match word {
            "asc" | "desc" if descending.is_none() && nulls.is_none() => descending = Some(word == "desc"),
            "nullsfirst" | "nullslast" if nulls.is_none() => nulls = Some(word == "nullsfirst"),
            _ => {
                return Err(unreadable(
                    text,
                    "after a column come `.asc` or `.desc`, then `.nullsfirst` or `.nullslast`",
                ));
            }
        }
    }
    let descending = descending.unwrap_or(false);
    // As in PostgreSQL, nothing is larger than anything.
    Ok(OrderBy { column, descending, nulls_first: nulls.unwrap_or(descending) })
}
