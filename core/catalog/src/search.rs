//! What is searched: the lines of all catalogs, in a file that may be deleted at any time and is filled again by the next
//! synchronization.
//!
//! It is SQLite's full-text search, in a file of its own beside the registry whatever the registry lies in: the registry's own
//! triggers must run under old `sqlite3` shells. The file is in `search/index.rs`, what is found in `search/found.rs`, in which order in
//! `search/fit.rs`, and words that somebody may have meant in `search/spelling.rs`. What must not live here: what may be installed.

mod fit;
mod found;
mod index;
mod spelling;

pub use index::CatalogIndex;

use crate::documents::ListingLine;
use std::collections::BTreeSet;
use unicode_normalization::UnicodeNormalization;

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
    /// Words; all of them must be found. The last one may be a beginning, and so may those of three letters and more.
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
    /// So many of the first ones are left out.
    pub skip: usize,
    /// So many are listed at most.
    pub most: Option<usize>,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundLine {
    /// The catalog.
    pub catalog: String,
    /// The plugin.
    pub line: ListingLine,
}

/// A text as it is searched: in small letters without accents, so that what is written with the one is found by the other.
fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let is_accent = |letter: &char| ('\u{300}'..='\u{36f}').contains(letter);
    text.to_lowercase().nfd().filter(|letter| !is_accent(letter)).collect()
}

/// The words of a text that is folded.
fn words_of(folded: &str) -> impl Iterator<Item = &str> {
    folded.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// The words of a question, each once.
fn asked_words(text: &str) -> Vec<String> {
    /// So many words of a question are looked at.
    const MOST: usize = 8;
    let mut seen = BTreeSet::new();
    words_of(&folded(text)).map(str::to_owned).filter(|word| seen.insert(word.clone())).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::{SyncedLines, Synchronized},
        documents::PluginAdvisory,
    };
    use rusqlite::Connection;
    use std::fs;

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
        for (asked, all) in [("", 4), ("storage", 2)] {
            let page = |skip, most| names(&index, ListingQuery { skip, most: Some(most), ..text(asked) });
            let whole = names(&index, text(asked));
            assert_eq!((page(0, 1), page(1, 2)), (whole[..1].to_vec(), whole[1..all.min(3)].to_vec()), "{asked}");
            assert_eq!(page(all, 5), [] as [&str; 0]);
        }
    }

    #[test]
    fn accents_are_of_no_account() {
        let (_dir, mut index) = filled();
        let lines = vec![
            line("one", "Un café au lait", &[]),
            line("two", "The cafeteria", &[]),
            line("three", "Re\u{301}sume\u{301}s of PEOPLE in İstanbul", &[]),
            line("four", "नमस्ते दुनिया, 你好世界", &[]),
        ];
        let news = Synchronized { version: 4, lines: SyncedLines::Changes(lines), advisories: None };
        index.take_in("main", &news).unwrap();
        for (asked, expected) in [
            ("cafe", &["one", "two"][..]),
            ("CAFÉ", &["one", "two"]),
            ("résumés", &["three"]),
            ("resum", &["three"]),
            ("istanbul", &["three"]),
            ("istanbull", &["three"]),
            ("दुनिया", &["four"]),
            ("你好", &["four"]),
        ] {
            assert_eq!(names(&index, text(asked)), expected, "{asked}");
        }
    }

    /// Otherwise each line of a category is looked up in the words, one by one.
    #[test]
    fn words_are_looked_for_first() {
        let (_dir, index) = filled();
        let query = ListingQuery { category: Some("tools".to_owned()), tag: Some("chat".to_owned()), ..text("notif") };
        let plans = found::plans(index.connection(), &query);
        assert!(!plans.is_empty() && plans.iter().all(|plan| plan.contains("words")), "{plans:?}");
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
        let (tag, author, category) = (some(""), some(""), some(""));
        assert_eq!(names(&index, ListingQuery { tag, author, category, ..query() }).len(), 4, "they say nothing");
        assert_eq!(names(&index, ListingQuery { tag: some("chat\nnotifications"), ..query() }), [] as [&str; 0]);
        let both = ListingQuery { category: some("Tools"), ..text("notif") };
        assert_eq!(names(&index, both), ["teams"]);
        let downloads = ListingQuery { order: ListingOrder::Downloads, ..text("storage") };
        assert_eq!(names(&index, downloads), ["powertable", "kv-store"]);
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
        let advisories = Some(crate::documents::AdvisoryList { advisories: vec![advisory.clone()] });
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
