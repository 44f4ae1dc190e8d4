//! Questions and changes of rows as SQL: names are those of known columns and quoted, values are parameters. Pure.

mod condition;
mod dialect;
mod insert;
mod statement;
#[cfg(test)]
mod tests;

pub use dialect::{Engine, literal, quoted};
pub use insert::{Insert, OnConflict};
pub use statement::{Columns, Sql, count, delete, select, update};
