//! What is found: with words the best of those that have all of them, without words a page of all. What must not live here: how lines
//! came into the file.

use super::{
    FoundLine, ListingOrder, ListingQuery, asked_words,
    fit::{AskedWord, fit},
    spelling::asked,
};
use rusqlite::{Connection, Row, ToSql, params_from_iter};
use std::collections::BTreeSet;

/// So many candidates are ranked at most: what is found by a word that everybody uses is ranked no better for being ranked whole.
const MOST_RANKED: usize = 1000;

/// What a line must be beside what it says.
struct Narrowed {
    condition: String,
    values: Vec<Box<dyn ToSql>>,
}

/// What fits, in order. Typing errors are forgiven: in place of a word that nobody uses the most similar ones are looked for.
pub(super) fn search(connection: &Connection, query: &ListingQuery) -> rusqlite::Result<Vec<FoundLine>> {
    let words = asked_words(&query.text);
    if words.is_empty() {
        return browse(connection, query);
    }
    let name = words.join("-");
    let last = words.len() - 1;
    let asked = words.into_iter().enumerate().map(|(at, word)| {
        let prefix = at == last || word.len() >= 3;
        asked(connection, word, prefix)
    });
    let asked = asked.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut found = candidates(connection, query, &name, &asked)?;
    sort(&mut found, query.order, &name, &asked);
    let most = query.most.unwrap_or(usize::MAX);
    Ok(found.into_iter().skip(query.skip).take(most).collect())
}

fn narrowed(query: &ListingQuery) -> Narrowed {
    let mut narrowed = Narrowed { condition: String::new(), values: Vec::new() };
    let mut and = |condition: &str, value: String| {
        narrowed.condition.push_str(" AND ");
        narrowed.condition.push_str(condition);
        narrowed.values.push(Box::new(value));
    };
    if let Some(category) = &query.category {
        and("lines.category = ?", category.to_lowercase());
    }
    if let Some(tag) = &query.tag {
        and("instr(lines.tags, ?) > 0", listed(tag));
    }
    if let Some(author) = &query.author {
        and("instr(lines.authors, ?) > 0", author.to_lowercase());
    }
    if let Some(target) = &query.target {
        and("(lines.has_source OR instr(lines.targets, ?) > 0)", listed(target));
    }
    narrowed
}

/// As it stands in a list of such.
fn listed(value: &str) -> String {
    format!("\n{}\n", value.to_lowercase())
}

/// All values of a list, each between two ends of lines.
pub(super) fn list_of(values: &[String]) -> String {
    format!("\n{}\n", values.join("\n").to_lowercase())
}

fn browse(connection: &Connection, query: &ListingQuery) -> rusqlite::Result<Vec<FoundLine>> {
    let order = match query.order {
        ListingOrder::Relevance | ListingOrder::Name => "name, catalog",
        ListingOrder::Rating => "rating DESC, name, catalog",
        ListingOrder::Downloads => "downloads DESC, name, catalog",
        ListingOrder::Created => "created DESC, name, catalog",
    };
    let Narrowed { condition, mut values } = narrowed(query);
    let all = format!("SELECT catalog, line FROM lines WHERE 1{condition} ORDER BY {order} LIMIT ? OFFSET ?");
    let number = |number: usize| Box::new(i64::try_from(number).unwrap_or(i64::MAX));
    values.push(number(query.most.unwrap_or(usize::MAX)));
    values.push(number(query.skip));
    connection.prepare_cached(&all)?.query_map(params_from_iter(values), found)?.collect()
}

/// Some of the lines that have all words: the plugin of that name, then those that have them where they count most.
fn candidates(
    connection: &Connection,
    query: &ListingQuery,
    name: &str,
    asked: &[AskedWord],
) -> rusqlite::Result<Vec<FoundLine>> {
    let terms = asked.iter().map(AskedWord::term).collect::<Vec<_>>().join(" AND ");
    let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
    let mut take = |from: &str, first: String, most: usize| -> rusqlite::Result<usize> {
        let Narrowed { condition, values } = narrowed(query);
        let some = format!("SELECT lines.catalog, lines.line, lines.id FROM {from}{condition} LIMIT ?");
        let mut bound: Vec<Box<dyn ToSql>> = vec![Box::new(first)];
        bound.extend(values);
        bound.push(Box::new(i64::try_from(most).unwrap_or(i64::MAX)));
        let mut some = connection.prepare_cached(&some)?;
        let mut rows = some.query(params_from_iter(bound))?;
        while let Some(row) = rows.next()? {
            if seen.insert(row.get::<_, i64>(2)?) {
                all.push(found(row)?);
            }
        }
        Ok(all.len())
    };
    take("lines WHERE lines.name = ?", name.to_owned(), MOST_RANKED)?;
    let matching = "words JOIN lines ON lines.id = words.rowid WHERE words MATCH ?";
    let count = take(matching, format!("{{name display_name tags}} : ({terms})"), MOST_RANKED)?;
    if count < MOST_RANKED {
        take(matching, terms, MOST_RANKED)?;
    }
    all.truncate(MOST_RANKED);
    Ok(all)
}

fn sort(found: &mut Vec<FoundLine>, order: ListingOrder, name: &str, asked: &[AskedWord]) {
    let named =
        |one: &FoundLine, other: &FoundLine| (&one.line.name, &one.catalog).cmp(&(&other.line.name, &other.catalog));
    match order {
        ListingOrder::Relevance => {
            let mut fits: Vec<_> =
                found.drain(..).map(|found| (found.line.name == name, fit(&found.line, asked), found)).collect();
            fits.sort_by(|one, other| {
                // Of those that fit alike the one with the shorter name has less beside what was asked for.
                let length = one.2.line.name.len().cmp(&other.2.line.name.len());
                let fits = other.0.cmp(&one.0).then_with(|| other.1.total_cmp(&one.1));
                fits.then(length).then_with(|| named(&one.2, &other.2))
            });
            found.extend(fits.into_iter().map(|(.., found)| found));
        }
        ListingOrder::Name => found.sort_by(named),
        ListingOrder::Rating => {
            let rating = |found: &FoundLine| found.line.rating.unwrap_or(-1.0);
            found.sort_by(|one, other| rating(other).total_cmp(&rating(one)).then_with(|| named(one, other)));
        }
        ListingOrder::Downloads => {
            found.sort_by(|one, other| other.line.downloads.cmp(&one.line.downloads).then_with(|| named(one, other)));
        }
        ListingOrder::Created => {
            found.sort_by(|one, other| other.line.created_at.cmp(&one.line.created_at).then_with(|| named(one, other)));
        }
    }
}

/// The catalog, and the line.
pub(super) fn found(row: &Row<'_>) -> rusqlite::Result<FoundLine> {
    let text: String = row.get(1)?;
    Ok(FoundLine { catalog: row.get(0)?, line: serde_json::from_str(&text).unwrap_or_default() })
}
