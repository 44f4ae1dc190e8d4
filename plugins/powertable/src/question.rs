//! What a query asks of a table: which rows, in what order, how many.

use crate::{cell::Cell, columns::Definition, limits, refused::Refused};

/// A question, as it stands in the query: `?born=1815&sort=-name&limit=10&offset=20`.
#[derive(Debug, PartialEq, Eq)]
pub struct Question {
    /// Columns and what they must equal; all of them.
    equals: Vec<(String, String)>,
    order: Order,
    offset: usize,
    limit: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Order {
    Ascending(String),
    Descending(String),
}

/// The rows that were asked for, by their ids.
#[derive(Debug, PartialEq)]
pub struct Found<'a> {
    /// How many there are, of which `rows` are a part.
    pub total: usize,
    pub rows: Vec<(u64, &'a [Cell])>,
}

impl Question {
    /// Reads the parts of a query.
    pub fn read(query: Vec<(String, String)>) -> Result<Self, Refused> {
        let order = Order::Ascending("id".to_owned());
        let mut question = Question { equals: Vec::new(), order, offset: 0, limit: limits::PAGE };
        for (name, text) in query {
            match name.as_str() {
                "offset" => question.offset = count(&name, &text, limits::LARGEST_OFFSET)?,
                "limit" => question.limit = count(&name, &text, limits::LARGEST_PAGE)?,
                "sort" => {
                    question.order = match text.strip_prefix('-') {
                        Some(column) => Order::Descending(column.to_owned()),
                        None => Order::Ascending(text),
                    };
                }
                _ => question.equals.push((name, text)),
            }
        }
        Ok(question)
    }

    /// Answers it. The rows come in the order of their ids.
    pub fn answer<'a>(
        &self,
        table: &Definition,
        rows: impl Iterator<Item = (u64, &'a [Cell])>,
    ) -> Result<Found<'a>, Refused> {
        let wanted = self.wanted(table)?;
        let mut rows: Vec<_> =
            rows.filter(|(_, cells)| wanted.iter().all(|(place, value)| cells[*place] == *value)).collect();
        let (Order::Ascending(name) | Order::Descending(name)) = &self.order;
        let place = table.place(name);
        if place.is_none() && name != "id" {
            return Err(Refused::malformed(table.lacks(name)));
        }
        let ascending = |one: &(u64, &[Cell]), other: &(u64, &[Cell])| match place {
            Some(place) => one.1[place].order(&other.1[place]),
            None => one.0.cmp(&other.0),
        };
        // Rows that are equal stay in the order of their ids.
        match self.order {
            Order::Ascending(_) => rows.sort_by(ascending),
            Order::Descending(_) => rows.sort_by(|one, other| ascending(one, other).reverse()),
        }
        let total = rows.len();
        Ok(Found { total, rows: rows.into_iter().skip(self.offset).take(self.limit).collect() })
    }

    fn wanted(&self, table: &Definition) -> Result<Vec<(usize, Cell)>, Refused> {
        let find = |(name, text): &(String, String)| {
            let place = table.place(name).ok_or_else(|| Refused::malformed(table.lacks(name)))?;
            let value = Cell::from_text(table.columns[place].kind, text)
                .map_err(|reason| Refused::malformed(format!("column `{name}` {reason}")))?;
            Ok((place, value))
        };
        self.equals.iter().map(find).collect()
    }
}

fn count(name: &str, text: &str, most: usize) -> Result<usize, Refused> {
    match text.parse() {
        Ok(number) if number <= most => Ok(number),
        _ => Err(Refused::malformed(format!("`{name}` is a whole number from 0 to {most}, not `{text}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::tests::{given, people};
    use serde_json::json;

    type Query<'a> = &'a [(&'a str, &'a str)];

    /// The ids that a query finds among four people, and how many there are.
    fn ask(query: Query<'_>) -> Result<(Vec<u64>, usize), String> {
        let table = people();
        let rows = [
            json!({"name": "Ada", "born": 1815, "alive": false}),
            json!({"name": "Grace", "born": 1906, "alive": false, "height": 1.6}),
            json!({"name": "Barbara", "born": 1939, "alive": true}),
            json!({"name": "Ada"}),
        ]
        .map(|row| table.row(given(row)).unwrap());
        let rows = rows.iter().enumerate().map(|(index, cells)| (index as u64 + 1, cells.as_slice()));
        let query = query.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let answer = Question::read(query).and_then(|question| {
            let found = question.answer(&table, rows)?;
            Ok((found.rows.iter().map(|(id, _)| *id).collect(), found.total))
        });
        answer.map_err(|refused| refused.detail)
    }

    #[test]
    fn questions_are_answered() {
        let cases: [(Query<'_>, &[u64], usize); 14] = [
            (&[], &[1, 2, 3, 4], 4),
            (&[("name", "Ada")], &[1, 4], 2),
            (&[("name", "Ada"), ("born", "1815")], &[1], 1),
            (&[("name", "ada")], &[], 0),
            (&[("alive", "true")], &[3], 1),
            (&[("height", "1.60")], &[2], 1),
            (&[("sort", "name")], &[1, 4, 3, 2], 4),
            (&[("sort", "-name")], &[2, 3, 1, 4], 4),
            (&[("sort", "born")], &[4, 1, 2, 3], 4),
            (&[("sort", "-id")], &[4, 3, 2, 1], 4),
            (&[("limit", "2")], &[1, 2], 4),
            (&[("limit", "2"), ("offset", "3")], &[4], 4),
            (&[("limit", "0")], &[], 4),
            (&[("offset", "9")], &[], 4),
        ];
        for (query, ids, total) in cases {
            assert_eq!(ask(query), Ok((ids.to_vec(), total)), "{query:?}");
        }
    }

    #[test]
    fn wrong_questions_are_refused() {
        let cases: [(Query<'_>, &str); 5] = [
            (&[("limit", "-1")], "`limit` is a whole number from 0 to 1000, not `-1`"),
            (&[("limit", "1001")], "`limit` is a whole number from 0 to 1000, not `1001`"),
            (&[("born", "early")], "column `born` holds integers of 64 bits, so nothing in it can equal `early`"),
            (&[("sort", "-died")], "the table `people` has no column `died`; it has `name`, `born`, `height`, `alive`"),
            (&[("died", "1")], "the table `people` has no column `died`; it has `name`, `born`, `height`, `alive`"),
        ];
        for (query, reason) in cases {
            assert_eq!(ask(query), Err(reason.to_owned()));
        }
    }
}
