//! What a table is like, as far as its rows are concerned, and what of one table goes where in another. Pure.

use crate::database::MigrationError;

/// A table. What a column can hold is told in a database's own way.
#[derive(Clone, Debug)]
pub(super) struct TableShape<K> {
    pub(super) name: String,
    pub(super) columns: Vec<ColumnShape<K>>,
    /// Whether its rows are in parts of it.
    pub(super) is_divided: bool,
}

#[derive(Clone, Debug)]
pub(super) struct ColumnShape<K> {
    pub(super) name: String,
    pub(super) kind: K,
    /// Whether the database itself makes what is in it.
    pub(super) is_generated: bool,
}

/// A table whose rows are carried, and its columns here and there.
#[derive(Clone, Debug)]
pub(super) struct CarriedTable<A, B> {
    pub(super) name: String,
    pub(super) columns: Vec<CarriedColumn<A, B>>,
    /// Whether its rows are in parts of it, where they come from.
    pub(super) is_divided: bool,
}

#[derive(Clone, Debug)]
pub(super) struct CarriedColumn<A, B> {
    pub(super) from: ColumnShape<A>,
    pub(super) to: ColumnShape<B>,
}

/// What of these tables goes where: every one of them, or an error.
pub(super) fn pair<A: Clone, B: Clone>(
    from: &[TableShape<A>],
    to: &[TableShape<B>],
) -> Result<Vec<CarriedTable<A, B>>, MigrationError> {
    let lost = |what: String| {
        MigrationError::Refused(format!(
            "{what} is not made by the plugin's migrations for the other database: what is in it would be lost"
        ))
    };
    let mut carried = Vec::new();
    for table in from {
        let name = &table.name;
        let target =
            to.iter().find(|target| target.name == *name).ok_or_else(|| lost(format!("the table `{name}`")))?;
        let is = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
        for column in table.columns.iter().filter(|column| !column.is_generated) {
            if !target.columns.iter().any(|other| is(&other.name, &column.name)) {
                return Err(lost(format!("the column `{}` of `{name}`", column.name)));
            }
        }
        let columns = target.columns.iter().filter(|to| !to.is_generated).filter_map(|to| {
            let from = table.columns.iter().find(|from| is(&from.name, &to.name))?;
            Some(CarriedColumn { from: from.clone(), to: to.clone() })
        });
        let (name, is_divided) = (name.clone(), table.is_divided);
        carried.push(CarriedTable { name, columns: columns.collect(), is_divided });
    }
    Ok(carried)
}

/// A name in SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl<A, B> CarriedTable<A, B> {
    /// The names of its columns in the target, for a statement.
    pub(super) fn target_columns(&self) -> String {
        self.columns.iter().map(|column| quoted(&column.to.name)).collect::<Vec<_>>().join(", ")
    }

    /// What is wrong with a value of a column.
    pub(super) fn misfit(&self, column: usize, why: &str) -> MigrationError {
        let column = self.columns.get(column).map_or("", |column| &column.from.name);
        MigrationError::Refused(format!("`{}`: a row has {why} in the column `{column}`", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, columns: &[(&str, bool)]) -> TableShape<()> {
        let column = |(name, is_generated): &(&str, bool)| ColumnShape {
            name: (*name).to_owned(),
            kind: (),
            is_generated: *is_generated,
        };
        TableShape { name: name.to_owned(), columns: columns.iter().map(column).collect(), is_divided: false }
    }

    #[test]
    fn nothing_is_lost_and_nothing_generated_is_written() {
        let from = table("t", &[("B", false), ("a", false), ("sum", true)]);
        let to = table("t", &[("a", false), ("b", false), ("c", false), ("sum", true)]);
        let carried = pair(std::slice::from_ref(&from), std::slice::from_ref(&to)).unwrap();
        assert_eq!(carried[0].target_columns(), "\"a\", \"b\"");
        assert_eq!(carried[0].columns[1].from.name, "B");
        // What was generated is written where it is not.
        let plain = table("t", &[("a", false), ("b", false), ("sum", false)]);
        assert_eq!(pair(&[from], &[plain]).unwrap()[0].columns.len(), 3);
        let told = pair(&[table("t", &[("x", false)])], std::slice::from_ref(&to)).unwrap_err().to_string();
        assert!(told.starts_with("the column `x` of `t` is not made by"), "{told}");
        let told = pair(&[table("u", &[])], &[to]).unwrap_err().to_string();
        assert!(told.starts_with("the table `u` is not made by"), "{told}");
    }
}
