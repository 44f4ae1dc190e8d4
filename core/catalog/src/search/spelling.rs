//! Words that somebody uses, how often, and which of them are most like one that nobody does. What must not live here: what is found
//! by them.

use super::{fit::AskedWord, folded, words_of};
use crate::documents::ListingLine;
use rusqlite::{Connection, params};
use std::collections::HashMap;

/// Of a word that nobody uses so many are tried in its place.
const MOST_MEANT: usize = 3;

/// Where somebody begins a word so many are looked for one by one.
const MOST_BEGUN: usize = 32;

/// `letters` has a bit for each letter of the word.
pub(super) const TABLES: &str = "
    CREATE TABLE terms (term TEXT PRIMARY KEY, length INTEGER NOT NULL, letters INTEGER NOT NULL, uses INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX terms_by_length ON terms (length, letters);";

/// How much more or less often words are used than the file says.
#[derive(Default)]
pub(super) struct TermChanges(HashMap<String, i64>);

impl TermChanges {
    /// A line came, or went.
    pub(super) fn count(&mut self, line: &ListingLine, by: i64) {
        let one = [&line.name, &line.display_name, &line.description, &line.category];
        for text in one.into_iter().chain(&line.tags).chain(&line.authors) {
            for word in words_of(&folded(text)).filter(|word| is_spelled(word)) {
                match self.0.get_mut(word) {
                    Some(uses) => *uses += by,
                    None => drop(self.0.insert(word.to_owned(), by)),
                }
            }
        }
    }

    pub(super) fn write(self, connection: &Connection) -> rusqlite::Result<()> {
        let put = "INSERT INTO terms (term, length, letters, uses) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT (term) DO UPDATE SET uses = uses + excluded.uses";
        let mut put = connection.prepare(put)?;
        for (term, by) in self.0.into_iter().filter(|(_, by)| *by != 0) {
            put.execute(params![term, count_of(&term), letters(&term), by])?;
        }
        connection.execute("DELETE FROM terms WHERE uses <= 0", []).map(drop)
    }
}

/// Nobody means another number.
fn is_spelled(word: &str) -> bool {
    word.chars().any(char::is_alphabetic)
}

fn count_of(word: &str) -> i64 {
    i64::try_from(word.chars().count()).unwrap_or(i64::MAX)
}

/// Words that differ in few letters differ in few bits.
fn letters(word: &str) -> i64 {
    word.chars().fold(0, |letters, letter| letters | 1 << (u32::from(letter) % 62))
}

/// What is looked for where somebody writes a word, or begins one.
pub(super) fn asked(connection: &Connection, word: String, prefix: bool) -> rusqlite::Result<AskedWord> {
    let as_it_is = |word, begun| if prefix { AskedWord::Begun(word, begun) } else { AskedWord::Whole(word) };
    if !is_spelled(&word) {
        return Ok(as_it_is(word, Vec::new()));
    }
    let end = if prefix { format!("{word}\u{10ffff}") } else { format!("{word}\u{0}") };
    let used = "SELECT term FROM terms WHERE term >= ?1 AND term < ?2";
    let mut used = connection.prepare_cached(used)?;
    let used = used.query_map([&word, &end], |row| row.get(0))?;
    let used = used.take(MOST_BEGUN + 1).collect::<rusqlite::Result<Vec<String>>>()?;
    if used.is_empty() {
        let meant = meant(connection, &word)?;
        return Ok(if meant.is_empty() { as_it_is(word, Vec::new()) } else { AskedWord::Meant(meant) });
    }
    // All words that begin so are quicker found one by one, unless they are many.
    Ok(as_it_is(word, if used.len() <= MOST_BEGUN { used } else { Vec::new() }))
}

/// The words that somebody uses and that are most like one that nobody does.
fn meant(connection: &Connection, word: &str) -> rusqlite::Result<Vec<String>> {
    let length = count_of(word);
    let allowed = match length {
        0..=3 => return Ok(Vec::new()),
        4..=6 => 1,
        _ => 2,
    };
    // A letter more, less or another one changes one bit on each side at most: what differs in more need not be compared. `x & (x - 1)`
    // is `x` without one of its bits.
    let near = "WITH near AS (SELECT term, letters & ~?3 AS more, ?3 & ~letters AS less FROM terms WHERE length BETWEEN ?1 AND ?2), \
                nearer AS (SELECT term, more & (more - 1) AS more, less & (less - 1) AS less FROM near) \
                SELECT term FROM nearer \
                WHERE (more = 0 OR ?4 > 1 AND more & (more - 1) = 0) AND (less = 0 OR ?4 > 1 AND less & (less - 1) = 0)";
    let mut near = connection.prepare_cached(near)?;
    let near = near.query_map(params![length - allowed, length + allowed, letters(word), allowed], |row| row.get(0))?;
    let mut uses = connection.prepare_cached("SELECT uses FROM terms WHERE term = ?1")?;
    let mut meant = Vec::new();
    for term in near {
        let term: String = term?;
        let distance = strsim::osa_distance(word, &term);
        if i64::try_from(distance).is_ok_and(|distance| distance <= allowed) {
            meant.push((distance, -uses.query_row([&term], |row| row.get::<_, i64>(0))?, term));
        }
    }
    meant.sort();
    Ok(meant.into_iter().take(MOST_MEANT).map(|(.., term)| term).collect())
}
