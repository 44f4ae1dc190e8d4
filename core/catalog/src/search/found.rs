//! What is found: with words the best of those that have all of them, without words, or in an order of their own, a page of all. What
//! must not live here: how lines came into the file.

use super::{
    FoundLine, ListingOrder, ListingQuery, asked_words,
    fit::{AskedWord, fit},
    spelling::asked,
};
use rusqlite::{Connection, Row, ToSql, params_from_iter};
use std::collections::BTreeSet;

/// So many candidates are ranked at most: what is found by a word that everybody uses is ranked no better for being ranked whole.
const MOST_RANKED: usize = 1000;

/// What has words, whichever. They are looked for first: SQLite would rather look up in them each line that fits otherwise.
const WITH_WORDS: &str = "words CROSS JOIN lines ON lines.id = words.rowid WHERE words MATCH ?";

/// What lines are read, and in which order.
struct LineSelection {
    from: &'static str,
    condition: String,
    order: &'static str,
    values: Vec<Box<dyn ToSql>>,
}

/// What fits, in order. Typing errors are forgiven: in place of a word that nobody uses the most similar ones are looked for.
pub(super) fn search(connection: &Connection, query: &ListingQuery) -> rusqlite::Result<Vec<FoundLine>> {
    let words = asked_words(&query.text);
    let (skip, most) = (query.skip, query.most.unwrap_or(usize::MAX));
    if words.is_empty() {
        return read(connection, LineSelection::new(query, "lines WHERE 1", None), (skip, most), found);
    }
    let name = words.join("-");
    let last = words.len() - 1;
    let asked = words.into_iter().enumerate().map(|(at, word)| {
        let prefix = at == last || word.len() >= 3;
        asked(connection, word, prefix)
    });
    let asked = asked.collect::<rusqlite::Result<Vec<_>>>()?;
    if query.order != ListingOrder::Relevance {
        return read(connection, LineSelection::new(query, WITH_WORDS, Some(terms(&asked))), (skip, most), found);
    }
    let best = best_first(candidates(connection, query, &name, &asked)?, &name, &asked);
    Ok(best.into_iter().skip(skip).take(most).collect())
}

/// As SQLite's full-text search wants them: all of them.
fn terms(asked: &[AskedWord]) -> String {
    asked.iter().map(AskedWord::term).collect::<Vec<_>>().join(" AND ")
}

impl LineSelection {
    fn new(query: &ListingQuery, from: &'static str, first: Option<String>) -> Self {
        let order = match query.order {
            ListingOrder::Relevance | ListingOrder::Name => " ORDER BY lines.name, lines.catalog",
            ListingOrder::Rating => " ORDER BY lines.rating DESC, lines.name, lines.catalog",
            ListingOrder::Downloads => " ORDER BY lines.downloads DESC, lines.name, lines.catalog",
            ListingOrder::Created => " ORDER BY lines.created DESC, lines.name, lines.catalog",
        };
        let mut wanted = LineSelection { from, condition: String::new(), order, values: Vec::new() };
        wanted.values.extend(first.map(|first| Box::new(first) as Box<dyn ToSql>));
        wanted.and(" AND lines.category = ?", query.category.as_deref(), str::to_lowercase);
        wanted.and(" AND instr(lines.tags, ?) > 0", query.tag.as_deref(), listed);
        wanted.and(" AND instr(lines.authors, ?) > 0", query.author.as_deref(), str::to_lowercase);
        wanted.and(" AND (lines.has_source OR instr(lines.targets, ?) > 0)", query.target.as_deref(), listed);
        wanted
    }

    /// An empty one says nothing.
    fn and(&mut self, condition: &str, value: Option<&str>, as_kept: fn(&str) -> String) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.condition.push_str(condition);
            self.values.push(Box::new(as_kept(value)));
        }
    }

    fn sql(&self) -> String {
        let LineSelection { from, condition, order, .. } = self;
        format!("SELECT lines.catalog, lines.line, lines.id FROM {from}{condition}{order} LIMIT ? OFFSET ?")
    }
}

/// As it stands in a list of such.
fn listed(value: &str) -> String {
    format!("\n{}\n", value.to_lowercase().replace('\n', " "))
}

/// All values of a list, each between two ends of lines.
pub(super) fn list_of(values: &[String]) -> String {
    values.iter().map(|value| listed(value)).collect()
}

fn read<T>(
    connection: &Connection,
    mut wanted: LineSelection,
    (skip, most): (usize, usize),
    row: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let number = |number: usize| Box::new(i64::try_from(number).unwrap_or(i64::MAX));
    wanted.values.extend([number(most) as Box<dyn ToSql>, number(skip)]);
    connection.prepare_cached(&wanted.sql())?.query_map(params_from_iter(wanted.values), row)?.collect()
}

/// Some of the lines that have all words: the plugin of that name, then those that have them where they count most.
fn candidates(
    connection: &Connection,
    query: &ListingQuery,
    name: &str,
    asked: &[AskedWord],
) -> rusqlite::Result<Vec<FoundLine>> {
    let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
    for (from, first) in sources(name, asked) {
        if all.len() >= MOST_RANKED {
            break;
        }
        let wanted = LineSelection { order: "", ..LineSelection::new(query, from, Some(first)) };
        let some = read(connection, wanted, (0, MOST_RANKED), |row| Ok((row.get::<_, i64>(2)?, found(row)?)))?;
        all.extend(some.into_iter().filter(|(id, _)| seen.insert(*id)).map(|(_, found)| found));
    }
    all.truncate(MOST_RANKED);
    Ok(all)
}

/// Where candidates come from, the most promising first.
fn sources(name: &str, asked: &[AskedWord]) -> [(&'static str, String); 3] {
    let terms = terms(asked);
    let where_it_counts = format!("{{name display_name tags}} : ({terms})");
    [("lines WHERE lines.name = ?", name.to_owned()), (WITH_WORDS, where_it_counts), (WITH_WORDS, terms)]
}

fn best_first(found: Vec<FoundLine>, name: &str, asked: &[AskedWord]) -> Vec<FoundLine> {
    let mut fits: Vec<_> =
        found.into_iter().map(|found| (found.line.name == name, fit(&found.line, asked), found)).collect();
    fits.sort_by(|(named, fits, one), (other_named, other_fits, other)| {
        // Of those that fit alike the one with the shorter name has less beside what was asked for.
        let order = |found: &FoundLine| (found.line.name.len(), found.line.name.clone(), found.catalog.clone());
        let best = other_named.cmp(named).then_with(|| other_fits.total_cmp(fits));
        best.then_with(|| order(one).cmp(&order(other)))
    });
    fits.into_iter().map(|(.., found)| found).collect()
}

/// The catalog, and the line.
pub(super) fn found(row: &Row<'_>) -> rusqlite::Result<FoundLine> {
    let text: String = row.get(1)?;
    Ok(FoundLine { catalog: row.get(0)?, line: serde_json::from_str(&text).unwrap_or_default() })
}

/// With what SQLite begins where it looks for words, each way they are looked for.
#[cfg(test)]
pub(super) fn plans(connection: &Connection, query: &ListingQuery) -> Vec<String> {
    let asked = [AskedWord::Begun(query.text.clone(), Vec::new())];
    let [_, with_words @ ..] = sources("", &asked);
    let unordered =
        with_words.map(|(from, first)| LineSelection { order: "", ..LineSelection::new(query, from, Some(first)) });
    let ordered = LineSelection::new(query, WITH_WORDS, Some(terms(&asked)));
    let begins_with = |wanted: LineSelection| {
        let sql = format!("EXPLAIN QUERY PLAN {}", wanted.sql());
        let number = || Box::new(10) as Box<dyn ToSql>;
        let values = wanted.values.into_iter().chain([number(), number()]);
        let first = |row: &Row<'_>| row.get(3);
        connection.query_row(&sql, params_from_iter(values), first).unwrap()
    };
    unordered.into_iter().chain([ordered]).map(begins_with).collect()
}
