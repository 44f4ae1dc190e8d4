//! The file with the lines of all catalogs, and how they come into it. What must not live here: what is found of them.

use super::{
    FoundLine, ListingQuery, folded,
    found::{found, list_of, search},
    spelling::{self, TermChanges},
    words_of,
};
use crate::{
    CatalogTrouble,
    client::{SyncedLines, Synchronized},
    documents::{AdvisoryList, ListingLine, PluginAdvisory},
};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};
use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Raised when the tables change: a file with another number is made anew.
const LAYOUT: i64 = 2;

/// How long it is waited for another process.
const BUSY: Duration = Duration::from_secs(5);

const TABLES: &str = "
    CREATE TABLE synced (catalog TEXT PRIMARY KEY, version INTEGER NOT NULL, advisories TEXT NOT NULL DEFAULT '{}');
    CREATE TABLE lines (id INTEGER PRIMARY KEY, catalog TEXT NOT NULL, name TEXT NOT NULL, category TEXT NOT NULL,
        rating REAL NOT NULL, downloads INTEGER NOT NULL, created TEXT NOT NULL, has_source INTEGER NOT NULL,
        tags TEXT NOT NULL, authors TEXT NOT NULL, targets TEXT NOT NULL, line TEXT NOT NULL, UNIQUE (catalog, name));
    CREATE INDEX lines_by_name ON lines (name, catalog);
    CREATE INDEX lines_by_rating ON lines (rating DESC, name, catalog);
    CREATE INDEX lines_by_downloads ON lines (downloads DESC, name, catalog);
    CREATE INDEX lines_by_created ON lines (created DESC, name, catalog);
    CREATE INDEX lines_by_category ON lines (category, name, catalog);
    CREATE VIRTUAL TABLE words USING fts5(name, display_name, tags, description, category, authors,
        tokenize = 'unicode61 remove_diacritics 0', prefix = '1');";

/// The lines of all catalogs.
#[derive(Debug)]
pub struct CatalogIndex {
    connection: Connection,
}

fn broken(error: rusqlite::Error) -> CatalogTrouble {
    let remedy = if is_busy(&error) { "try again" } else { "delete catalogs.db, and synchronize again" };
    CatalogTrouble::unavailable(format!("what is searched cannot be read: {error}; {remedy}"))
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

impl CatalogIndex {
    /// Opens the file, and makes it anew if there is none, or if it cannot be used.
    pub fn open(path: &Path) -> Result<Self, CatalogTrouble> {
        match CatalogIndex::open_as_it_is(path) {
            Ok(index) => return Ok(index),
            Err(error) if is_busy(&error) => return Err(broken(error)),
            Err(_) => {}
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
        connection.busy_timeout(BUSY)?;
        let began = Instant::now();
        // SQLite does not wait for others by itself when the mode is changed.
        let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -32768";
        while let Err(error) = connection.execute_batch(settings) {
            if !is_busy(&error) || began.elapsed() > BUSY {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(10));
        }
        // Whoever comes meanwhile finds it whole.
        let making = Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)?;
        let layout: i64 = making.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        match layout {
            0 => making.execute_batch(&format!("{TABLES} {} PRAGMA user_version = {LAYOUT};", spelling::TABLES))?,
            LAYOUT => drop(making.query_row("SELECT count(*) FROM synced", [], |row| row.get::<_, i64>(0))?),
            _ => return Err(rusqlite::Error::InvalidQuery),
        }
        making.commit()?;
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
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut changes = TermChanges::default();
        let lines = match &news.lines {
            SyncedLines::Unchanged => &[][..],
            SyncedLines::Changes(lines) => lines,
            SyncedLines::All(lines) => {
                forget_lines(&transaction, catalog, &mut changes)?;
                lines
            }
        };
        for line in lines {
            let before = "SELECT catalog, line, id FROM lines WHERE catalog = ?1 AND name = ?2";
            let mut before = transaction.prepare_cached(before)?;
            let there = |row: &rusqlite::Row<'_>| Ok((found(row)?.line, row.get::<_, i64>(2)?));
            if let Some((before, id)) = before.query_row(params![catalog, line.name], there).optional()? {
                transaction.prepare_cached("DELETE FROM words WHERE rowid = ?1")?.execute([id])?;
                transaction.prepare_cached("DELETE FROM lines WHERE id = ?1")?.execute([id])?;
                changes.count(&before, -1);
            }
            if !line.gone {
                put(&transaction, catalog, line)?;
                changes.count(line, 1);
            }
        }
        changes.write(&transaction)?;
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
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut changes = TermChanges::default();
            forget_lines(&transaction, catalog, &mut changes)?;
            changes.write(&transaction)?;
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

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What fits, in order.
    pub fn search(&self, query: &ListingQuery) -> Result<Vec<FoundLine>, CatalogTrouble> {
        search(&self.connection, query).map_err(broken)
    }
}

fn put(connection: &Connection, catalog: &str, line: &ListingLine) -> rusqlite::Result<()> {
    let put = "INSERT INTO lines (catalog, name, category, rating, downloads, created, has_source, tags, authors, targets, line) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    connection.prepare_cached(put)?.execute(params![
        catalog,
        line.name,
        line.category.to_lowercase(),
        // What nobody rated, or counted, comes last.
        line.rating.unwrap_or(-1.0),
        line.downloads.map_or(-1, |count| i64::try_from(count).unwrap_or(i64::MAX)),
        line.created_at,
        line.has_source,
        list_of(&line.tags),
        list_of(&line.authors),
        list_of(&line.targets),
        serde_json::to_string(line).unwrap_or_default(),
    ])?;
    let id = connection.last_insert_rowid();
    let words = |text: &str| words_of(&folded(text)).collect::<Vec<_>>().join(" ");
    let put = "INSERT INTO words (rowid, name, display_name, tags, description, category, authors) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let put = connection.prepare_cached(put)?.execute(params![
        id,
        words(&line.name),
        words(&line.display_name),
        words(&line.tags.join(" ")),
        words(&line.description),
        words(&line.category),
        words(&line.authors.join(" ")),
    ]);
    put.map(drop)
}

fn forget_lines(connection: &Connection, catalog: &str, changes: &mut TermChanges) -> rusqlite::Result<()> {
    let mut all = connection.prepare("SELECT catalog, line FROM lines WHERE catalog = ?1")?;
    for line in all.query_map([catalog], found)? {
        changes.count(&line?.line, -1);
    }
    connection.execute("DELETE FROM words WHERE rowid IN (SELECT id FROM lines WHERE catalog = ?1)", [catalog])?;
    connection.execute("DELETE FROM lines WHERE catalog = ?1", [catalog]).map(drop)
}
