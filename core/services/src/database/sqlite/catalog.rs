//! The look at the catalog before a migration is committed: whatever was made or changed belongs to the plugin.

use crate::database::names::TableNames;
use rusqlite::Connection;
use std::collections::BTreeSet;

/// What is in a file that is not a plugin's own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Others {
    /// Kind, name, table and text of what is in the catalog.
    objects: BTreeSet<[String; 4]>,
    /// The counters of their keys.
    counters: BTreeSet<(String, i64)>,
}

const OBJECTS: &str = "SELECT type, name, tbl_name, ifnull(sql, '') FROM main.sqlite_schema";

/// All that is not the plugin's.
pub(super) fn others(connection: &Connection, names: &TableNames) -> rusqlite::Result<Others> {
    let objects = objects(connection)?.into_iter().filter(|[_, name, table, _]| !is_own(name, table, names)).collect();
    let counts: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE name = 'sqlite_sequence')",
        [],
        |row| row.get(0),
    )?;
    let mut counters = BTreeSet::new();
    if counts {
        let mut read = connection.prepare("SELECT name, seq FROM main.sqlite_sequence")?;
        for counter in read.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))? {
            counters.insert(counter?);
        }
        counters.retain(|(name, _): &(String, i64)| !names.owns(name));
    }
    Ok(Others { objects, counters })
}

fn objects(connection: &Connection) -> rusqlite::Result<Vec<[String; 4]>> {
    let mut read = connection.prepare(OBJECTS)?;
    let rows = read.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?;
    rows.collect()
}

fn is_own(name: &str, table: &str, names: &TableNames) -> bool {
    names.owns(table) && (names.owns(name) || name.starts_with("sqlite_autoindex_"))
}

/// What is wrong with what the plugin has made: a clause; none, if all is well.
pub(super) fn escape(connection: &Connection, names: &TableNames, before: &Others) -> rusqlite::Result<Option<String>> {
    let after = others(connection, names)?;
    // The table of counters is made with the first counter, by SQLite itself.
    let is_new = |object: &&[String; 4]| !before.objects.contains(*object) && object[1] != "sqlite_sequence";
    if let Some([kind, name, ..]) = after.objects.iter().find(is_new) {
        let prefix = names.prefix();
        return Ok(Some(format!("it made or changed the {kind} `{name}`, whose name does not begin with `{prefix}`")));
    }
    if let Some([kind, name, ..]) = before.objects.difference(&after.objects).next() {
        return Ok(Some(format!("it took away the {kind} `{name}`, which is not its own")));
    }
    if after.counters != before.counters {
        return Ok(Some("it changed the counters of tables that are not its own".to_owned()));
    }
    for [kind, name, table, _] in objects(connection)?.iter().filter(|[_, name, table, _]| is_own(name, table, names)) {
        match kind.as_str() {
            "table" => {
                if let Some(parent) = foreign_parent(connection, name, names)? {
                    return Ok(Some(format!("a foreign key of `{name}` leads to `{parent}`, which is not its own")));
                }
            }
            "view" | "index" => {}
            _ => return Ok(Some(format!("it made the {kind} `{name}` on `{table}`, which no migration may"))),
        }
    }
    Ok(None)
}

fn foreign_parent(connection: &Connection, table: &str, names: &TableNames) -> rusqlite::Result<Option<String>> {
    let mut read = connection.prepare("SELECT \"table\" FROM pragma_foreign_key_list(?1)")?;
    let parents: rusqlite::Result<Vec<String>> = read.query_map([table], |row| row.get(0))?.collect();
    // Names of parents are found whatever their case.
    Ok(parents?.into_iter().find(|parent| !names.owns(&parent.to_ascii_lowercase())))
}

/// The plugin's own tables and views, views first: so they can be dropped in this order.
pub(in crate::database) fn own(connection: &Connection, names: &TableNames) -> rusqlite::Result<Vec<(String, String)>> {
    let mut own: Vec<_> = objects(connection)?
        .into_iter()
        .filter(|[kind, name, table, _]| is_own(name, table, names) && (kind == "table" || kind == "view"))
        .map(|[kind, name, ..]| (kind, name))
        .collect();
    own.sort_by(|one, other| other.cmp(one));
    Ok(own)
}

/// The tables and views of all plugins.
pub(in crate::database) fn of_plugins(connection: &Connection) -> rusqlite::Result<BTreeSet<String>> {
    let question =
        "SELECT name FROM main.sqlite_schema WHERE type IN ('table', 'view') AND name GLOB 'p_*[^_]__[a-z]*'";
    let mut read = connection.prepare(question)?;
    read.query_map([], |row| row.get(0))?.collect()
}
