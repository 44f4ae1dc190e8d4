//! Conditions as SQL.

use super::{Engine, Sql, quoted};
use crate::{
    problem::{OrRefused, Refused},
    query::{Comparison, Condition, Test, Truth},
    schema::{Type, UserTable},
    value,
};
use camlock_plugin::database::SqlValue;

impl Sql {
    /// Writes ` WHERE …`, if anything has to hold.
    pub(super) fn conditions(&mut self, table: &UserTable, conditions: &[Condition], dialect: Engine) -> OrRefused<()> {
        for (at, condition) in conditions.iter().enumerate() {
            self.text += if at == 0 { " WHERE " } else { " AND " };
            self.condition(table, condition, dialect)?;
        }
        Ok(())
    }

    fn condition(&mut self, table: &UserTable, condition: &Condition, dialect: Engine) -> OrRefused<()> {
        match condition {
            Condition::Column { name, negated, test } => {
                let kind = table.kind(name)?;
                self.text += if *negated { "NOT (" } else { "(" };
                self.test(&quoted(name), name, kind, test, dialect)?;
            }
            Condition::Group { negated, all, parts } => {
                self.text += if *negated { "NOT (" } else { "(" };
                for (at, part) in parts.iter().enumerate() {
                    if at > 0 {
                        self.text += if *all { " AND " } else { " OR " };
                    }
                    self.condition(table, part, dialect)?;
                }
            }
        }
        self.text.push(')');
        Ok(())
    }

    fn test(&mut self, column: &str, name: &str, kind: Type, test: &Test, dialect: Engine) -> OrRefused<()> {
        let of = |text: &str| {
            value::of_text(kind, text).map_err(|refused| Refused {
                message: format!("in a condition of `{name}`: {}", refused.message),
                ..refused
            })
        };
        match test {
            Test::Compare(comparison, text) => {
                let symbol = symbol(*comparison);
                if !kind.is_ordered() && !matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
                    return Err(no_operator(name, kind, symbol));
                }
                let value = of(text)?;
                self.text += &format!("{column} {symbol} ");
                self.value(value);
            }
            Test::Distinct(text) => {
                let value = of(text)?;
                self.text += &format!("{column} IS DISTINCT FROM ");
                self.value(value);
            }
            Test::Like { .. } if kind != Type::Text => return Err(no_operator(name, kind, "LIKE")),
            Test::Like { pattern, any_case } => {
                let (operator, pattern) = like(pattern, *any_case, dialect);
                if pattern.contains('\0') {
                    return Err(Refused::no_value("a pattern has no NUL in it"));
                }
                self.text += &format!("{column} {operator} ");
                self.value(SqlValue::Text(pattern));
                if operator.ends_with("LIKE") && dialect == Engine::Sqlite {
                    // As PostgreSQL has it by itself.
                    self.text += " ESCAPE '\\'";
                }
            }
            // A list without anything, which not every database has, and in which nothing is.
            Test::In(values) if values.is_empty() => self.text += "1 = 0",
            Test::In(values) => {
                self.text += &format!("{column} IN (");
                for (at, text) in values.iter().enumerate() {
                    if at > 0 {
                        self.text.push(',');
                    }
                    self.value(of(text)?);
                }
                self.text.push(')');
            }
            Test::Is(Truth::Null) => self.text += &format!("{column} IS NULL"),
            Test::Is(Truth::NotNull) => self.text += &format!("{column} IS NOT NULL"),
            Test::Is(truth) if kind == Type::Boolean => {
                let word = if *truth == Truth::True { "TRUE" } else { "FALSE" };
                self.text += &format!("{column} IS {word}");
            }
            Test::Is(_) => return Err(no_operator(name, kind, "IS TRUE, IS FALSE")),
        }
        Ok(())
    }
}

fn symbol(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "=",
        Comparison::NotEqual => "<>",
        Comparison::Greater => ">",
        Comparison::NotLess => ">=",
        Comparison::Less => "<",
        Comparison::NotGreater => "<=",
    }
}

fn no_operator(name: &str, kind: Type, operator: &str) -> Refused {
    let status = axum::http::StatusCode::BAD_REQUEST;
    Refused::new(status, "42883", format!("the column `{name}` holds {kind}, for which there is no {operator}"))
}

/// The operator, and the pattern as it reads it. `*` may stand for `%`. SQLite's LIKE looks at no case, its GLOB does.
fn like(pattern: &str, any_case: bool, dialect: Engine) -> (&'static str, String) {
    match (dialect, any_case) {
        (Engine::Postgres, true) => ("ILIKE", pattern.replace('*', "%")),
        (Engine::Postgres, false) => ("LIKE", pattern.replace('*', "%")),
        (Engine::Sqlite, true) => ("LIKE", pattern.replace('*', "%")),
        (Engine::Sqlite, false) => ("GLOB", glob(pattern)),
    }
}

fn glob(pattern: &str) -> String {
    let (mut glob, mut letters) = (String::new(), pattern.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '*' | '%' => glob.push('*'),
            '_' => glob.push('?'),
            '?' | '[' => glob.extend(['[', letter, ']']),
            '\\' => match letters.next() {
                Some(letter @ ('*' | '?' | '[')) => glob.extend(['[', letter, ']']),
                next => glob.extend(next),
            },
            letter => glob.push(letter),
        }
    }
    glob
}
