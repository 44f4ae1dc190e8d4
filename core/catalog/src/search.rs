//! What is searched: the lines of all catalogs, in a file that may be deleted at any time and is filled again by the next
//! synchronization.
//!
//! It is SQLite's full-text search, in a file of its own beside the registry whatever the registry lies in: the registry's own
//! triggers must run under old `sqlite3` shells. What must not live here: what may be installed.

use crate::{
    CatalogTrouble,
    client::{SyncedLines, Synchronized},
    documents::{AdvisoryList, ListingLine, PluginAdvisory},
};
use rusqlite::{Connection, OptionalExtension, params};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Raised when the tables change: a file with another number is made anew.
const LAYOUT: i64 = 1;
/// So many candidates are ranked at most: what is found by a word that everybody uses is ranked no better for being ranked whole.
const MOST_RANKED: i64 = 1000;
/// So many words of a question are looked at.
const MOST_WORDS: usize = 8;
/// Of a word that nobody uses so many are tried in its place.
const MOST_MEANT: usize = 3;

const TABLES: &str = "
    CREATE TABLE synced (catalog TEXT PRIMARY KEY, version INTEGER NOT NULL, advisories TEXT NOT NULL DEFAULT '{}');
    CREATE TABLE lines (id INTEGER PRIMARY KEY, catalog TEXT NOT NULL, name TEXT NOT NULL, category TEXT NOT NULL, line TEXT NOT NULL,
        UNIQUE (catalog, name));
    CREATE INDEX lines_by_name ON lines (name);
    CREATE VIRTUAL TABLE words USING fts5(name, display_name, tags, description, category, authors, tokenize = 'unicode61');
    CREATE VIRTUAL TABLE vocabulary USING fts5vocab(words, row);";

/// In what order what is found is listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListingOrder {
    /// What fits best first; without words to look for, by name.
    #[default]
    Relevance,
    /// By name.
    Name,
    /// What is rated best first.
    Rating,
    /// What was fetched most often first.
    Downloads,
    /// The newest first.
    Created,
}

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListingQuery {
    /// Words; all of them must be found, the last one may be a beginning.
    pub text: String,
    /// Only of this category.
    pub category: Option<String>,
    /// Only with this tag.
    pub tag: Option<String>,
    /// Only by this author, or a part of the name.
    pub author: Option<String>,
    /// Only what has a library for this target, or sources.
    pub target: Option<String>,
    /// In what order.
    pub order: ListingOrder,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundLine {
    /// The catalog.
    pub catalog: String,
    /// The plugin.
    pub line: ListingLine,
}

/// The lines of all catalogs.
#[derive(Debug)]
pub struct CatalogIndex {
    connection: Connection,
}

fn broken(error: rusqlite::Error) -> CatalogTrouble {
    CatalogTrouble::unavailable(format!(
        "what is searched cannot be read: {error}; delete catalogs.db, and synchronize again"
    ))
}

impl CatalogIndex {
    /// Opens the file, and makes it anew if there is none, or if it cannot be used.
    pub fn open(path: &Path) -> Result<Self, CatalogTrouble> {
        if let Ok(index) = CatalogIndex::open_as_it_is(path) {
            return Ok(index);
        }
        for end in ["", "-wal", "-shm"] {
            let mut file = path.as_os_str().to_owned();
            file.push(end);
            let _ = fs::remove_file(PathBuf::from(file));
        }
        CatalogIndex::open_as_it_is(path).map_err(broken)
    }

    fn open_as_it_is(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000")?;
        let layout: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        match layout {
            0 => connection
                .execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {LAYOUT}; COMMIT"))?,
            LAYOUT => drop(connection.query_row("SELECT count(*) FROM synced", [], |row| row.get::<_, i64>(0))?),
            _ => return Err(rusqlite::Error::InvalidQuery),
        }
        Ok(CatalogIndex { connection })
    }

    /// The version of a catalog that is known here.
    pub fn version(&self, catalog: &str) -> Result<Option<u64>, CatalogTrouble> {
        let version = "SELECT version FROM synced WHERE catalog = ?1";
        let version = self.connection.query_row(version, [catalog], |row| row.get::<_, i64>(0)).optional();
        Ok(version.map_err(broken)?.and_then(|version| u64::try_from(version).ok()))
    }

    /// Takes in what came of following a catalog: all of it, or nothing.
    pub fn take_in(&mut self, catalog: &str, news: &Synchronized) -> Result<(), CatalogTrouble> {
        self.take(catalog, news).map_err(broken)
    }

    fn take(&mut self, catalog: &str, news: &Synchronized) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        let lines = match &news.lines {
            SyncedLines::Unchanged => &[][..],
            SyncedLines::Changes(lines) => lines,
            SyncedLines::All(lines) => {
                forget_lines(&transaction, catalog)?;
                lines
            }
        };
        {
            let mut there = transaction.prepare("SELECT id FROM lines WHERE catalog = ?1 AND name = ?2")?;
            let mut put =
                transaction.prepare("INSERT INTO lines (catalog, name, category, line) VALUES (?1, ?2, ?3, ?4)")?;
            let mut words = transaction.prepare(
                "INSERT INTO words (rowid, name, display_name, tags, description, category, authors) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            for line in lines {
                let before: Option<i64> = there.query_row(params![catalog, line.name], |row| row.get(0)).optional()?;
                if let Some(id) = before {
                    transaction.execute("DELETE FROM words WHERE rowid = ?1", [id])?;
                    transaction.execute("DELETE FROM lines WHERE id = ?1", [id])?;
                }
                if line.gone {
                    continue;
                }
                let text = serde_json::to_string(line).unwrap_or_default();
                put.execute(params![catalog, line.name, line.category.to_lowercase(), text])?;
                let (tags, authors) = (line.tags.join(" "), line.authors.join(" "));
                let id = transaction.last_insert_rowid();
                words.execute(params![
                    id,
                    line.name,
                    line.display_name,
                    tags,
                    line.description,
                    line.category,
                    authors
                ])?;
            }
        }
        let version = i64::try_from(news.version).unwrap_or(i64::MAX);
        let put = "INSERT INTO synced (catalog, version) VALUES (?1, ?2) ON CONFLICT (catalog) DO UPDATE SET version = excluded.version";
        transaction.execute(put, params![catalog, version])?;
        if let Some(advisories) = &news.advisories {
            let text = serde_json::to_string(advisories).unwrap_or_default();
            transaction.execute("UPDATE synced SET advisories = ?2 WHERE catalog = ?1", params![catalog, text])?;
        }
        transaction.commit()
    }

    /// Nothing of a catalog is found any more.
    pub fn forget(&mut self, catalog: &str) -> Result<(), CatalogTrouble> {
        let mut forget = || {
            let transaction = self.connection.transaction()?;
            forget_lines(&transaction, catalog)?;
            transaction.execute("DELETE FROM synced WHERE catalog = ?1", [catalog])?;
            transaction.commit()
        };
        forget().map_err(broken)
    }

    /// So many plugins of a catalog are listed.
    pub fn listed(&self, catalog: &str) -> Result<u64, CatalogTrouble> {
        let count = "SELECT count(*) FROM lines WHERE catalog = ?1";
        let count = self.connection.query_row(count, [catalog], |row| row.get::<_, i64>(0)).map_err(broken)?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Which categories what is listed belongs to, by name, each with how many plugins.
    pub fn categories(&self) -> Result<Vec<(String, u64)>, CatalogTrouble> {
        let read = || -> rusqlite::Result<Vec<(String, i64)>> {
            let all = "SELECT category, count(*) FROM lines WHERE category <> '' GROUP BY category ORDER BY category";
            self.connection.prepare(all)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        let all = read().map_err(broken)?;
        Ok(all.into_iter().map(|(category, count)| (category, u64::try_from(count).unwrap_or_default())).collect())
    }

    /// The catalogs that list a plugin.
    pub fn catalogs_of(&self, plugin: &str) -> Result<Vec<String>, CatalogTrouble> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut there = self.connection.prepare("SELECT catalog FROM lines WHERE name = ?1 ORDER BY catalog")?;
            there.query_map([plugin], |row| row.get(0))?.collect()
        };
        read().map_err(broken)
    }

    /// Only these are followed: nothing of others is found any more.
    pub fn keep_only(&mut self, followed: &[String]) -> Result<(), CatalogTrouble> {
        let read = || -> rusqlite::Result<Vec<String>> {
            self.connection.prepare("SELECT catalog FROM synced")?.query_map([], |row| row.get(0))?.collect()
        };
        let known = read().map_err(broken)?;
        known.iter().filter(|one| !followed.contains(one)).try_for_each(|one| self.forget(one))
    }

    /// What a catalog says of a plugin in a line.
    pub fn line(&self, catalog: &str, plugin: &str) -> Result<Option<ListingLine>, CatalogTrouble> {
        let line = "SELECT catalog, line FROM lines WHERE catalog = ?1 AND name = ?2";
        let line = self.connection.query_row(line, [catalog, plugin], found).optional();
        Ok(line.map_err(broken)?.map(|found| found.line))
    }

    /// All advisories, each with the catalog that publishes it.
    pub fn advisories(&self) -> Result<Vec<(String, PluginAdvisory)>, CatalogTrouble> {
        let read = || -> rusqlite::Result<Vec<(String, String)>> {
            let mut all = self.connection.prepare("SELECT catalog, advisories FROM synced ORDER BY catalog")?;
            all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        let all = read().map_err(broken)?;
        let of = |(catalog, text): (String, String)| {
            let list: AdvisoryList = serde_json::from_str(&text).unwrap_or_default();
            list.advisories.into_iter().map(move |advisory| (catalog.clone(), advisory))
        };
        Ok(all.into_iter().flat_map(of).collect())
    }

    /// What fits, in order. Typing errors are forgiven: in place of a word that nobody uses the most similar ones are looked for.
    pub fn search(&self, query: &ListingQuery) -> Result<Vec<FoundLine>, CatalogTrouble> {
        let words = words_of(&query.text);
        let mut found = if words.is_empty() { self.all() } else { self.matching(&words) }.map_err(broken)?;
        let has = |values: &[String], wanted: &str| values.iter().any(|value| value.eq_ignore_ascii_case(wanted));
        found.retain(|found| {
            let line = &found.line;
            query.category.as_ref().is_none_or(|category| line.category.eq_ignore_ascii_case(category))
                && query.tag.as_ref().is_none_or(|tag| has(&line.tags, tag))
                && query.author.as_ref().is_none_or(|author| {
                    let author = author.to_lowercase();
                    line.authors.iter().any(|one| one.to_lowercase().contains(&author))
                })
                && query.target.as_ref().is_none_or(|target| line.has_source || line.targets.contains(target))
        });
        match query.order {
            ListingOrder::Relevance if words.is_empty() => found.sort_by(|a, b| a.line.name.cmp(&b.line.name)),
            ListingOrder::Relevance => {}
            ListingOrder::Name => found.sort_by(|a, b| a.line.name.cmp(&b.line.name)),
            ListingOrder::Rating => found.sort_by(|a, b| {
                let rating = |found: &FoundLine| found.line.rating.unwrap_or(-1.0);
                rating(b).total_cmp(&rating(a)).then_with(|| a.line.name.cmp(&b.line.name))
            }),
            ListingOrder::Downloads => {
                found.sort_by(|a, b| {
                    b.line.downloads.cmp(&a.line.downloads).then_with(|| a.line.name.cmp(&b.line.name))
                });
            }
            ListingOrder::Created => {
                found.sort_by(|a, b| {
                    b.line.created_at.cmp(&a.line.created_at).then_with(|| a.line.name.cmp(&b.line.name))
                });
            }
        }
        Ok(found)
    }

    fn all(&self) -> rusqlite::Result<Vec<FoundLine>> {
        let mut all = self.connection.prepare_cached("SELECT catalog, line FROM lines ORDER BY name, catalog")?;
        all.query_map([], found)?.collect()
    }

    fn matching(&self, words: &[String]) -> rusqlite::Result<Vec<FoundLine>> {
        let mut terms = Vec::new();
        for (at, word) in words.iter().enumerate() {
            let prefix = if at + 1 == words.len() || word.len() >= 3 { "*" } else { "" };
            let known = self.is_known(word, !prefix.is_empty())?;
            let meant = if known { Vec::new() } else { self.meant(word)? };
            terms.push(match &*meant {
                [] => format!("\"{word}\"{prefix}"),
                meant => {
                    format!("({})", meant.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" OR "))
                }
            });
        }
        // What everybody is called is not ranked whole; the plugin of that name is found all the same.
        let rank = "SELECT catalog, line FROM (SELECT rowid AS id, bm25(words, 10.0, 6.0, 4.0, 1.0, 2.0, 1.0) AS score FROM words \
                    WHERE words MATCH ?1 LIMIT ?2) AS best JOIN lines ON lines.id = best.id WHERE name <> ?3 ORDER BY score, name";
        let mut ranked = self.connection.prepare_cached(rank)?;
        let name = words.join("-");
        let ranked = ranked.query_map(params![terms.join(" AND "), MOST_RANKED, name], found)?;
        let mut named =
            self.connection.prepare_cached("SELECT catalog, line FROM lines WHERE name = ?1 ORDER BY catalog")?;
        let named = named.query_map([&name], found)?;
        named.chain(ranked).collect()
    }

    fn is_known(&self, word: &str, prefix: bool) -> rusqlite::Result<bool> {
        let known = "SELECT 1 FROM vocabulary WHERE term >= ?1 AND term < ?2 LIMIT 1";
        let end = if prefix { format!("{word}\u{10ffff}") } else { format!("{word}\u{0}") };
        Ok(self.connection.query_row(known, [word, &end], |_| Ok(())).optional()?.is_some())
    }

    /// The words that somebody uses and that are most like this one.
    fn meant(&self, word: &str) -> rusqlite::Result<Vec<String>> {
        let allowed = match word.chars().count() {
            0..=3 => return Ok(Vec::new()),
            4..=6 => 1,
            _ => 2,
        };
        let length = word.chars().count();
        let near = "SELECT term, doc FROM vocabulary WHERE length(term) BETWEEN ?1 AND ?2";
        let mut terms = self.connection.prepare_cached(near)?;
        let terms = terms.query_map(params![(length - allowed) as i64, (length + allowed) as i64], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        let mut meant = Vec::new();
        for term in terms {
            let (term, used): (String, i64) = term?;
            let distance = strsim::osa_distance(word, &term);
            if distance <= allowed {
                meant.push((distance, -used, term));
            }
        }
        meant.sort();
        Ok(meant.into_iter().take(MOST_MEANT).map(|(.., term)| term).collect())
    }
}

fn found(row: &rusqlite::Row<'_>) -> rusqlite::Result<FoundLine> {
    let text: String = row.get(1)?;
    Ok(FoundLine { catalog: row.get(0)?, line: serde_json::from_str(&text).unwrap_or_default() })
}

fn forget_lines(connection: &Connection, catalog: &str) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM words WHERE rowid IN (SELECT id FROM lines WHERE catalog = ?1)", [catalog])?;
    connection.execute("DELETE FROM lines WHERE catalog = ?1", [catalog]).map(drop)
}

/// The words of a question: what SQLite's tokenizer would make of it, each once.
fn words_of(text: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).filter(|word| seen.insert(word.clone())).take(MOST_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, description: &str, tags: &[&str]) -> ListingLine {
        ListingLine {
            name: name.to_owned(),
            description: description.to_owned(),
            category: "Integrations".to_owned(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            authors: vec!["Ada Lovelace <ada@example.org>".to_owned()],
            version: "1.0.0".to_owned(),
            targets: vec!["x86_64-unknown-linux-gnu".to_owned()],
            created_at: format!("2026-01-{:02}T00:00:00Z", name.len()),
            ..ListingLine::default()
        }
    }

    fn filled() -> (tempfile::TempDir, CatalogIndex) {
        let dir = tempfile::tempdir().unwrap();
        let mut index = CatalogIndex::open(&dir.path().join("catalogs.db")).unwrap();
        let lines = vec![
            line("slack", "Sends notifications to Slack", &["chat", "notifications"]),
            ListingLine { rating: Some(4.5), ..line("kv-store", "Keeps values under keys", &["storage"]) },
            ListingLine {
                downloads: Some(7),
                rating: Some(2.0),
                ..line("powertable", "A table of everything in storage", &["ui"])
            },
            ListingLine { targets: vec![], category: "Tools".to_owned(), ..line("teams", "Notifies teams", &["chat"]) },
        ];
        let news = Synchronized { version: 3, lines: SyncedLines::All(lines), advisories: None };
        index.take_in("main", &news).unwrap();
        (dir, index)
    }

    fn names(index: &CatalogIndex, query: ListingQuery) -> Vec<String> {
        index.search(&query).unwrap().into_iter().map(|found| found.line.name).collect()
    }

    fn text(text: &str) -> ListingQuery {
        ListingQuery { text: text.to_owned(), ..ListingQuery::default() }
    }

    #[test]
    fn words_are_found_and_typing_errors_forgiven() {
        let (_dir, index) = filled();
        for (asked, expected) in [
            ("slack", &["slack"][..]),
            ("Slack notifications", &["slack"]),
            ("notif", &["slack", "teams"]),
            ("storage", &["kv-store", "powertable"]),
            ("powertable", &["powertable"]),
            ("powretable", &["powertable"]),
            ("notificatoins", &["slack"]),
            ("slakc", &["slack"]),
            ("zzzzzz", &[]),
            ("\"' OR * NEAR(", &[]),
            ("kv-store", &["kv-store"]),
        ] {
            let mut there = names(&index, text(asked));
            there.sort();
            assert_eq!(there, expected, "{asked}");
        }
        assert_eq!(names(&index, text("")), ["kv-store", "powertable", "slack", "teams"]);
    }

    #[test]
    fn what_is_found_is_narrowed_and_ordered() {
        let (_dir, index) = filled();
        let by = |order| names(&index, ListingQuery { order, ..ListingQuery::default() });
        assert_eq!(by(ListingOrder::Rating), ["kv-store", "powertable", "slack", "teams"]);
        assert_eq!(by(ListingOrder::Downloads)[0], "powertable");
        assert_eq!(by(ListingOrder::Created), ["powertable", "kv-store", "slack", "teams"]);
        let some = |text: &str| Some(text.to_owned());
        let query = ListingQuery::default;
        assert_eq!(names(&index, ListingQuery { category: some("tools"), ..query() }), ["teams"]);
        let categories = [("integrations".to_owned(), 3), ("tools".to_owned(), 1)];
        assert_eq!(index.categories().unwrap(), categories);
        assert_eq!(names(&index, ListingQuery { tag: some("Chat"), ..query() }), ["slack", "teams"]);
        assert_eq!(names(&index, ListingQuery { author: some("lovelace"), ..query() }).len(), 4);
        assert_eq!(names(&index, ListingQuery { author: some("babbage"), ..query() }).len(), 0);
        let target = some("x86_64-unknown-linux-gnu");
        assert_eq!(names(&index, ListingQuery { target, ..query() }), ["kv-store", "powertable", "slack"]);
    }

    #[test]
    fn it_follows_changes_and_may_be_lost() {
        let (dir, mut index) = filled();
        let gone = ListingLine { gone: true, ..line("slack", "", &[]) };
        let other = line("teams", "Rings a bell", &[]);
        let advisory = PluginAdvisory {
            id: "CAM-2026-0001".to_owned(),
            plugin: "teams".to_owned(),
            versions: "<2".to_owned(),
            severity: "high".to_owned(),
            title: "It rings too often".to_owned(),
            remedy: String::new(),
            url: String::new(),
        };
        let advisories = Some(AdvisoryList { advisories: vec![advisory.clone()] });
        let news = Synchronized { version: 4, lines: SyncedLines::Changes(vec![gone, other]), advisories };
        index.take_in("main", &news).unwrap();
        assert_eq!(names(&index, text("")), ["kv-store", "powertable", "teams"]);
        assert_eq!((names(&index, text("notifies")).len(), names(&index, text("bell"))), (0, vec!["teams".to_owned()]));
        assert_eq!((index.version("main").unwrap(), index.listed("main").unwrap()), (Some(4), 3));
        assert_eq!(index.advisories().unwrap(), [("main".to_owned(), advisory)]);
        index
            .take_in(
                "other",
                &Synchronized { version: 1, lines: SyncedLines::All(vec![line("teams", "x", &[])]), advisories: None },
            )
            .unwrap();
        assert_eq!(index.catalogs_of("teams").unwrap(), ["main", "other"]);
        let followed = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        index.keep_only(&followed(&["other", "main"])).unwrap();
        assert_eq!(index.catalogs_of("teams").unwrap(), ["main", "other"]);
        index.keep_only(&followed(&["main"])).unwrap();
        assert_eq!(index.catalogs_of("teams").unwrap(), ["main"]);
        let other =
            Synchronized { version: 1, lines: SyncedLines::All(vec![line("teams", "x", &[])]), advisories: None };
        index.take_in("other", &other).unwrap();
        index.forget("main").unwrap();
        assert_eq!((names(&index, text("")), index.version("main").unwrap()), (vec!["teams".to_owned()], None));
        drop(index);
        // What is no database, and one of another layout, are made anew.
        let path = dir.path().join("catalogs.db");
        fs::write(&path, "these are my notes").unwrap();
        assert_eq!(CatalogIndex::open(&path).unwrap().version("other").unwrap(), None);
        Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
        assert_eq!(CatalogIndex::open(&path).unwrap().version("other").unwrap(), None);
    }
}
