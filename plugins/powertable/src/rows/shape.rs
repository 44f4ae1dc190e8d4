//! Which columns rows that are sent have, and what stands in those they have not. Pure.

use crate::{
    problem::{OrRefused, Refused, shortened},
    query::{Prefer, Query},
    schema::{ID, Type, UserTable},
    value,
};
use camlock_plugin::database::SqlValue;
use serde_json::{Map, Value as Json};
use std::{collections::BTreeSet, time::SystemTime};

/// A row: none is what the table finds itself.
pub type Values = Vec<Option<SqlValue>>;

/// The columns of rows that are sent.
#[derive(Debug)]
pub struct Shape {
    /// Those that are given, then those that are written besides.
    pub columns: Vec<String>,
    kinds: Vec<Type>,
    /// What stands in a column that is not there.
    missing: Vec<Option<SqlValue>>,
    pub given: usize,
    /// Whether rows may have others, or not all.
    is_strict: bool,
}

impl Shape {
    /// That of rows with these columns, unless the query says which.
    pub fn of(table: &UserTable, query: &Query, prefer: Prefer, found: Vec<String>) -> OrRefused<Self> {
        let is_strict = query.columns.is_none();
        let mut columns = query.columns.clone().unwrap_or(found);
        let mut seen = BTreeSet::new();
        if let Some(twice) = columns.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(Refused::unreadable(format!("there are two columns `{}`", shortened(twice))));
        }
        let given = columns.len();
        let now = table.columns.iter().filter(|kept| kept.column.is_now() && !seen.contains(kept.column.name.as_str()));
        let now: Vec<_> = now.map(|kept| kept.column.name.clone()).collect();
        columns.extend(now);
        let mut shape = Shape { columns, kinds: Vec::new(), missing: Vec::new(), given, is_strict };
        for (at, name) in shape.columns.iter().enumerate() {
            shape.kinds.push(table.kind(name)?);
            let default = table.find(name).filter(|_| at >= given || prefer.missing_is_default);
            shape.missing.push(match default {
                Some(column) if column.is_now() => Some(SqlValue::from(SystemTime::now())),
                Some(column) => {
                    let json = column.default.as_ref().unwrap_or(&Json::Null);
                    Some(value::of_json(column.kind, json)?)
                }
                None => (name != ID).then_some(SqlValue::Null),
            });
        }
        Ok(shape)
    }

    /// The values of an object.
    pub fn object(&self, mut object: Map<String, Json>) -> OrRefused<Values> {
        let mut row = Values::with_capacity(self.columns.len());
        for (at, name) in self.columns.iter().enumerate() {
            row.push(match object.remove(name) {
                Some(json) => self.value(at, value::of_json(self.kinds[at], &json))?,
                None if self.is_strict && at < self.given => return Err(unlike()),
                None => self.missing[at].clone(),
            });
        }
        match object.is_empty() || !self.is_strict {
            true => Ok(row),
            false => Err(unlike()),
        }
    }

    /// The values of cells, of which `places` tells where each column is.
    pub fn cells(&self, places: &[Option<usize>], cells: &[Option<String>]) -> OrRefused<Values> {
        let one = |(at, place): (usize, &Option<usize>)| match place.and_then(|place| cells.get(place)) {
            Some(Some(text)) => self.value(at, value::of_text(self.kinds[at], text)),
            Some(None) => self.value(at, Ok(SqlValue::Null)),
            None => Ok(self.missing[at].clone()),
        };
        places.iter().enumerate().map(one).collect()
    }

    fn value(&self, at: usize, value: OrRefused<SqlValue>) -> OrRefused<Option<SqlValue>> {
        let name = &self.columns[at];
        let value = value.map_err(|refused| refused.of_column(name))?;
        Ok(Some(value).filter(|value| name != ID || *value != SqlValue::Null))
    }
}

fn unlike() -> Refused {
    Refused::unreadable("All object keys must match")
        .with_hint("say which columns are written by `columns=…` in the query, and others may be missing")
}
