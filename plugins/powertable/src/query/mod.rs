//! What a query asks of a table's rows, in PostgREST's grammar. Pure: what must not live here is SQL.

mod condition;
mod order;
mod prefer;
mod range;
mod select;
#[cfg(test)]
mod tests;
mod words;

pub use condition::{Comparison, Condition, Test, Truth};
pub use order::OrderBy;
pub use prefer::{Prefer, Resolution, Returned};
pub use range::{Window, content_range};
pub use select::Selected;

use crate::{
    limits,
    problem::{OrRefused, Refused, shortened},
};

/// A query, read: whether there are such columns is not known here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// Which columns, under which names. None: all.
    pub select: Option<Vec<Selected>>,
    /// All of these hold.
    pub conditions: Vec<Condition>,
    pub order: Vec<OrderBy>,
    pub window: Window,
    /// The columns that are written, whatever else is sent.
    pub columns: Option<Vec<String>>,
    /// The column that tells which row is the same.
    pub on_conflict: Option<String>,
}

impl Query {
    /// Reads the parts of a query.
    pub fn read(parts: Vec<(String, String)>) -> OrRefused<Self> {
        let mut query = Query::default();
        for (name, text) in parts {
            match name.as_str() {
                "select" => query.select = select::read(&text)?,
                "order" => query.order.extend(order::read(&text)?),
                "limit" => query.window.limit = Some(range::number(&name, &text)?),
                "offset" => query.window.offset = range::number(&name, &text)?,
                "columns" => query.columns = Some(select::names(&text)?),
                "on_conflict" => query.on_conflict = Some(select::name(&text)?),
                _ => query.conditions.push(condition::read(&name, &text)?),
            }
        }
        let count = query.conditions.iter().map(Condition::count).sum::<usize>();
        if count > limits::CONDITIONS {
            let most = limits::CONDITIONS;
            return Err(Refused::malformed(format!("a question has at most {most} conditions, not {count}")));
        }
        Ok(query)
    }
}

/// What cannot be read, and why.
fn unreadable(text: &str, why: &str) -> Refused {
    Refused::malformed(format!("`{}` cannot be read: {why}", shortened(text)))
}
