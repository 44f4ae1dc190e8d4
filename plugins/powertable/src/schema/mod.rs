//! What a table is made of. Pure: what must not live here is the database.

mod change;
mod ddl;
mod definition;
mod kind;
#[cfg(test)]
mod tests;

pub use change::Change;
pub use ddl::{changed, created, dropped};
pub use definition::{Column, Definition, OnDelete};
pub use kind::Type;

use crate::problem::{OrRefused, Refused, shortened};
use serde::{Deserialize, Serialize};

/// What every table has by itself.
pub const ID: &str = "id";

/// A table as it is on record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserTable {
    pub name: String,
    pub columns: Vec<KeptColumn>,
    /// The number of the next column.
    next: u32,
}

/// A column as it is on record: its number is never another's, so that what is called by it stays that column's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptColumn {
    number: u32,
    #[serde(flatten)]
    pub column: Column,
}

impl UserTable {
    /// What the table is called in the database.
    pub fn stored(&self) -> String {
        stored(&self.name)
    }

    /// What a column holds; an error if there is none.
    pub fn kind(&self, name: &str) -> OrRefused<Type> {
        match self.find(name) {
            Some(column) => Ok(column.kind),
            None if name == ID => Ok(Type::Integer),
            None => Err(self.lacks(name)),
        }
    }

    /// A column that its users made.
    pub fn find(&self, name: &str) -> Option<&Column> {
        self.columns.iter().map(|kept| &kept.column).find(|column| column.name == name)
    }

    /// All columns by name and type, `id` first.
    pub fn all(&self) -> impl Iterator<Item = (&str, Type)> {
        let own = self.columns.iter().map(|kept| (kept.column.name.as_str(), kept.column.kind));
        std::iter::once((ID, Type::Integer)).chain(own)
    }

    /// As its users defined it.
    pub fn definition(&self) -> Definition {
        Definition { name: self.name.clone(), columns: self.columns.iter().map(|kept| kept.column.clone()).collect() }
    }

    /// The same refusal of the database's, with the column that it names: by its own name, or by that of its index.
    pub fn blaming(&self, refused: Refused) -> Refused {
        let Some(details) = refused.details.as_deref().filter(|_| refused.column.is_none()) else { return refused };
        let ends = |rest: &str| !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_');
        let says = |words: &str| details.match_indices(words).any(|(at, found)| ends(&details[at + found.len()..]));
        let column = self.columns.iter().find(|kept| {
            let name = &kept.column.name;
            says(&format!("{}.{name}", self.name))
                || says(&format!("column \"{name}\""))
                || says(&self.index(kept.number))
        });
        let column = column.map(|kept| kept.column.name.clone());
        Refused { column, ..refused }
    }

    /// What the index of a unique column is called.
    fn index(&self, number: u32) -> String {
        format!("p_powertable__u_{}_{number}", self.name)
    }

    /// A sentence about a column that is not there.
    fn lacks(&self, name: &str) -> Refused {
        let names: Vec<_> = self.all().map(|(name, _)| format!("`{name}`")).collect();
        let (table, name) = (&self.name, shortened(name));
        let message = format!("the table `{table}` has no column `{name}`; it has {}", names.join(", "));
        Refused::new(axum::http::StatusCode::BAD_REQUEST, "42703", message)
    }
}

/// What a table is called in the database.
pub fn stored(name: &str) -> String {
    format!("p_powertable__t_{name}")
}
