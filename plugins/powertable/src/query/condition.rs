//! Conditions: `age=gte.18`, `or=(age.lt.18,name.in.(Ada,Grace))`, `name=not.like.A*`.

use super::{unreadable, words};
use crate::{
    limits,
    problem::{OrRefused, Refused, shortened},
};

/// What holds of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Of one column.
    Column { name: String, negated: bool, test: Test },
    /// All of these, or any.
    Group { negated: bool, all: bool, parts: Vec<Condition> },
}

/// What holds of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    Compare(Comparison, String),
    /// `*` stands for anything, `_` for a letter.
    Like {
        pattern: String,
        any_case: bool,
    },
    In(Vec<String>),
    Is(Truth),
    /// As `neq`, but nothing is a value like others.
    Distinct(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Greater,
    NotLess,
    Less,
    NotGreater,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    Null,
    NotNull,
    True,
    False,
}

impl Condition {
    /// How many conditions of columns it is made of.
    pub fn count(&self) -> usize {
        match self {
            Condition::Column { .. } => 1,
            Condition::Group { parts, .. } => parts.iter().map(Condition::count).sum(),
        }
    }
}

/// Reads a part of a query.
pub fn read(name: &str, text: &str) -> OrRefused<Condition> {
    let (negated, word) = without_not(name);
    match word {
        "and" | "or" => group(negated, word, text, 1),
        // There is no column `not`.
        _ if negated => {
            Err(unreadable(name, "after `not.` comes `and` or `or`; of a column write `name=not.eq.value`"))
        }
        _ => {
            let (negated, test) = test(text, TestPlace::Alone)?;
            Ok(Condition::Column { name: name.to_owned(), negated, test })
        }
    }
}

fn without_not(text: &str) -> (bool, &str) {
    text.strip_prefix("not.").map_or((false, text), |rest| (true, rest))
}

fn group(negated: bool, word: &str, text: &str, depth: usize) -> OrRefused<Condition> {
    if depth > limits::NESTED {
        return Err(unreadable(text, "its conditions are nested too deep"));
    }
    let parts = words::split(words::within(text)?)?.into_iter().map(|part| one(part, depth));
    Ok(Condition::Group { negated, all: word == "and", parts: parts.collect::<OrRefused<_>>()? })
}

/// A condition within a group.
fn one(text: &str, depth: usize) -> OrRefused<Condition> {
    let (negated, rest) = without_not(text);
    for word in ["and", "or"] {
        if let Some(list) = rest.strip_prefix(word).filter(|list| list.starts_with('(')) {
            return group(negated, word, list, depth + 1);
        }
    }
    let (name, rest) = text.split_once('.').ok_or_else(|| unreadable(text, "it is no `column.operator.value`"))?;
    let (negated, test) = test(rest, TestPlace::InGroup)?;
    Ok(Condition::Column { name: words::value(name)?, negated, test })
}

/// Where a test stands: in a group, quotes belong to the grammar and not to the value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TestPlace {
    Alone,
    InGroup,
}

const OPERATORS: &str =
    "`eq`, `neq`, `gt`, `gte`, `lt`, `lte`, `like`, `ilike`, `in`, `is`, `isdistinct`, and `not.` before them";

fn test(text: &str, place: TestPlace) -> OrRefused<(bool, Test)> {
    let (negated, rest) = without_not(text);
    let Some((operator, value)) = rest.split_once('.') else {
        return Err(unreadable(text, "it is no `operator.value`, as in `eq.7`"));
    };
    let value_of = |text: &str| match place {
        TestPlace::Alone => Ok(text.to_owned()),
        TestPlace::InGroup => words::value(text),
    };
    let compare = |comparison| Ok(Test::Compare(comparison, value_of(value)?));
    let test = match operator {
        "eq" => compare(Comparison::Equal),
        "neq" => compare(Comparison::NotEqual),
        "gt" => compare(Comparison::Greater),
        "gte" => compare(Comparison::NotLess),
        "lt" => compare(Comparison::Less),
        "lte" => compare(Comparison::NotGreater),
        "like" | "ilike" => Ok(Test::Like { pattern: value_of(value)?, any_case: operator == "ilike" }),
        "isdistinct" => Ok(Test::Distinct(value_of(value)?)),
        "in" => list(value),
        "is" => truth(value).map(Test::Is),
        other => {
            let other = shortened(other);
            let message = format!("`{other}` is no operator that is known here: there are {OPERATORS}");
            return Err(Refused::malformed(message));
        }
    }?;
    Ok((negated, test))
}

fn list(text: &str) -> OrRefused<Test> {
    let inner = words::within(text)?;
    if inner.is_empty() {
        return Ok(Test::In(Vec::new()));
    }
    let values = words::split(inner)?.into_iter().map(words::value).collect::<OrRefused<Vec<_>>>()?;
    match values.len() {
        0..=limits::LIST => Ok(Test::In(values)),
        count => Err(Refused::malformed(format!("a list has at most {} values, not {count}", limits::LIST))),
    }
}

fn truth(text: &str) -> OrRefused<Truth> {
    match text.to_ascii_lowercase().as_str() {
        "null" | "unknown" => Ok(Truth::Null),
        "not_null" => Ok(Truth::NotNull),
        "true" => Ok(Truth::True),
        "false" => Ok(Truth::False),
        _ => Err(unreadable(text, "`is` is one of `null`, `not_null`, `true`, `false`, `unknown`")),
    }
}
