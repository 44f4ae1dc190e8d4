//! Statements that read, change and delete rows.

use super::{Engine, quoted};
use crate::{
    problem::{OrRefused, Refused},
    query::{Query, Selected},
    schema::{ID, Type, UserTable},
};
use camlock_plugin::database::SqlValue;

/// A statement, with the values of its parameters in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sql {
    pub text: String,
    pub params: Vec<SqlValue>,
}

impl Sql {
    /// Writes a parameter.
    pub(super) fn value(&mut self, value: SqlValue) {
        self.params.push(value);
        self.text += &format!("${}", self.params.len());
    }
}

/// The columns of an answer, by what they are called there.
pub type Columns = Vec<(String, Type)>;

/// What is selected: as SQL, and by name and type.
fn selected(table: &UserTable, select: Option<&[Selected]>) -> OrRefused<(String, Columns)> {
    let mut columns = Columns::new();
    let mut sql = Vec::new();
    let mut add = |column: &str, called: &str, kind| {
        sql.push(format!("{} AS {}", quoted(column), quoted(called)));
        columns.push((called.to_owned(), kind));
    };
    for selected in select.unwrap_or(&[Selected::All]) {
        match selected {
            Selected::All => table.all().for_each(|(name, kind)| add(name, name, kind)),
            Selected::One { column, called } => add(column, called, table.kind(column)?),
        }
    }
    let mut names: Vec<_> = columns.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Refused::malformed(format!("two columns of the answer are called `{}`", pair[0])));
    }
    Ok((sql.join(", "), columns))
}

/// Reads rows. Those that are equal by the order that is asked for come in the order of their ids.
pub fn select(table: &UserTable, query: &Query, dialect: Engine) -> OrRefused<(Sql, Columns)> {
    let (what, columns) = selected(table, query.select.as_deref())?;
    let mut sql = Sql { text: format!("SELECT {what} FROM {}", quoted(&table.stored())), params: Vec::new() };
    sql.conditions(table, &query.conditions, dialect)?;
    sql.text += " ORDER BY ";
    for order in &query.order {
        let kind = table.kind(&order.column)?;
        if !kind.is_ordered() {
            return Err(Refused::malformed(format!("the column `{}` holds {kind}, which has no order", order.column)));
        }
        sql.text += &quoted(&order.column);
        sql.text += if order.descending { " DESC" } else { " ASC" };
        sql.text += if order.nulls_first { " NULLS FIRST, " } else { " NULLS LAST, " };
    }
    sql.text += &quoted(ID);
    let number = |number: u64| SqlValue::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    if query.window.limit.is_some() || query.window.offset > 0 {
        sql.text += " LIMIT ";
        sql.value(number(query.window.limit.unwrap_or(u64::MAX)));
        sql.text += " OFFSET ";
        sql.value(number(query.window.offset));
    }
    Ok((sql, columns))
}

/// Counts the rows that are found, whatever part of them is asked for.
pub fn count(table: &UserTable, query: &Query, dialect: Engine) -> OrRefused<Sql> {
    let mut sql = Sql {
        text: format!("SELECT count(*) AS {} FROM {}", quoted("count"), quoted(&table.stored())),
        params: Vec::new(),
    };
    sql.conditions(table, &query.conditions, dialect)?;
    Ok(sql)
}

/// A part of the rows cannot be changed: nobody could say which.
fn all_of_them(query: &Query) -> OrRefused<()> {
    if query.window != Default::default() || !query.order.is_empty() {
        let words =
            "`limit`, `offset` and `order` go with reading: what is changed or deleted is found by conditions alone";
        return Err(Refused::malformed(words));
    }
    Ok(())
}

/// Changes the rows that are found.
pub fn update(table: &UserTable, query: &Query, values: &[(String, SqlValue)], dialect: Engine) -> OrRefused<Sql> {
    all_of_them(query)?;
    let mut sql = Sql { text: format!("UPDATE {} SET ", quoted(&table.stored())), params: Vec::new() };
    for (at, (name, value)) in values.iter().enumerate() {
        if at > 0 {
            sql.text += ", ";
        }
        sql.text += &format!("{} = ", quoted(name));
        sql.value(value.clone());
    }
    sql.conditions(table, &query.conditions, dialect)?;
    Ok(sql)
}

/// Deletes the rows that are found.
pub fn delete(table: &UserTable, query: &Query, dialect: Engine) -> OrRefused<Sql> {
    all_of_them(query)?;
    let mut sql = Sql { text: format!("DELETE FROM {}", quoted(&table.stored())), params: Vec::new() };
    sql.conditions(table, &query.conditions, dialect)?;
    Ok(sql)
}

impl Sql {
    /// With the rows that were changed.
    pub fn returning(mut self, table: &UserTable, query: &Query) -> OrRefused<(Sql, Columns)> {
        let (what, columns) = selected(table, query.select.as_deref())?;
        self.text += &format!(" RETURNING {what}");
        Ok((self, columns))
    }
}
