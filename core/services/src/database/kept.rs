//! What a plugin has in the database, counted. Pure but for what its own parts say. What must not live here: SQL of one engine.

use super::plan::Applied;
use camlock_policy::{PluginTableView, PluginTablesView, RanMigrationView};

/// So many rows are counted: whoever looks does not wait for millions.
pub(super) const MOST_ROWS: u64 = 100_000;

/// What asks how many rows there are, and no more than it takes to know that there are more.
pub(super) fn count(table: &str) -> String {
    format!("SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT {}) AS some_rows", MOST_ROWS + 1)
}

/// A table with so many rows, or a view.
pub(super) fn table(name: String, rows: Option<u64>) -> PluginTableView {
    PluginTableView {
        name,
        rows: rows.map(|rows| rows.min(MOST_ROWS)),
        more: rows.is_some_and(|rows| rows > MOST_ROWS),
    }
}

pub(super) fn describe(mut tables: Vec<PluginTableView>, applied: Vec<Applied>) -> PluginTablesView {
    tables.sort_by(|one, other| one.name.cmp(&other.name));
    let ran = |Applied { number, name, contracts, .. }| RanMigrationView { number, name, contracts };
    PluginTablesView { tables, migrations: applied.into_iter().map(ran).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_up_to_a_point() {
        let seen = |rows| {
            let PluginTableView { rows, more, .. } = table("p_shop__orders".to_owned(), rows);
            (rows, more)
        };
        assert_eq!(seen(Some(3)), (Some(3), false));
        assert_eq!(seen(Some(100_000)), (Some(100_000), false));
        assert_eq!(seen(Some(100_001)), (Some(100_000), true));
        assert_eq!(seen(None), (None, false));
        assert_eq!(count("\"a\""), "SELECT count(*) FROM (SELECT 1 FROM \"a\" LIMIT 100001) AS some_rows");
    }
}
