//! Which tables and views are there once migrations have run.

use super::{STACK, names, tokens};
use camlock_policy::migrations::SqlDialect;
use sqlparser::ast::{AlterTableOperation, ObjectName, ObjectType, RenameTableNameKind, Statement};
use std::collections::BTreeSet;

/// The names of tables and views that these texts, one after the other, leave behind. What cannot be read makes nothing.
pub(in crate::database) fn made_by<'a>(
    texts: impl Iterator<Item = &'a str> + Send,
    dialect: SqlDialect,
) -> BTreeSet<String> {
    let read = || {
        let mut made = BTreeSet::new();
        for text in texts {
            for statement in tokens::statements(text, dialect).unwrap_or_default() {
                if let Ok(parsed) = &statement.parsed {
                    apply(parsed, dialect, &mut made);
                }
            }
        }
        made
    };
    // As for reading a file: the parser calls itself.
    std::thread::scope(|scope| {
        let reading = std::thread::Builder::new().name("camlock-lint".to_owned()).stack_size(STACK);
        reading.spawn_scoped(scope, read).ok().and_then(|reading| reading.join().ok()).unwrap_or_default()
    })
}

fn apply(statement: &Statement, dialect: SqlDialect, made: &mut BTreeSet<String>) {
    let plain = |name: &ObjectName| names::plain(name, dialect).unwrap_or_default();
    match statement {
        Statement::CreateTable(table) => _ = made.insert(plain(&table.name)),
        Statement::CreateView(view) => _ = made.insert(plain(&view.name)),
        Statement::Drop {
            object_type: ObjectType::Table | ObjectType::View | ObjectType::MaterializedView,
            names,
            ..
        } => made.retain(|there| !names.iter().any(|name| plain(name) == *there)),
        Statement::AlterTable(alter) => {
            for operation in &alter.operations {
                let AlterTableOperation::RenameTable { table_name } = operation else { continue };
                let (RenameTableNameKind::As(name) | RenameTableNameKind::To(name)) = table_name;
                made.remove(&plain(&alter.name));
                made.insert(plain(name));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_in_the_end() {
        let texts = [
            "CREATE TABLE p_a__one (x INT); CREATE TABLE IF NOT EXISTS p_a__two (x INT);",
            "CREATE VIEW p_a__all AS SELECT * FROM p_a__one; INSERT INTO p_a__one VALUES (1)",
            "ALTER TABLE p_a__two RENAME TO p_a__three; CREATE INDEX p_a__by_x ON p_a__one (x)",
            "DROP VIEW p_a__all; CREATE TABLE P_A__FOUR AS SELECT 1 AS x; DROP TABLE IF EXISTS p_a__none",
        ];
        let made = made_by(texts.into_iter(), SqlDialect::Postgres);
        assert_eq!(made.iter().map(String::as_str).collect::<Vec<_>>(), ["p_a__four", "p_a__one", "p_a__three"]);
        assert!(made_by(["CREATE TABLE ("].into_iter(), SqlDialect::Sqlite).is_empty());
    }
}
