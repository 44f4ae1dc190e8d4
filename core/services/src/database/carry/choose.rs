//! Which migrations make, in another database, what others have made here. Pure.

use crate::database::plan::{Applied, checksum};
use camlock_policy::{MigrationFile, SqlDialect};

/// What made the tables here, and what makes the same there, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChosenFiles {
    pub(super) here: Vec<MigrationFile>,
    pub(super) there: Vec<MigrationFile>,
}

/// Chooses the first version whose files are those on record.
pub(super) fn choose(
    versions: &[Vec<MigrationFile>],
    applied: &[Applied],
    here: SqlDialect,
    there: SqlDialect,
) -> Option<ChosenFiles> {
    versions.iter().find_map(|files| chosen(files, applied, here, there))
}

fn chosen(files: &[MigrationFile], applied: &[Applied], here_is: SqlDialect, there: SqlDialect) -> Option<ChosenFiles> {
    let ran = |applied: &Applied| {
        let is_it = |file: &&MigrationFile| {
            file.is_for(here_is)
                && file.number == applied.number
                && file.name == applied.name
                && checksum(&file.text) == applied.checksum
        };
        files.iter().find(is_it).cloned()
    };
    let here: Vec<_> = applied.iter().map(ran).collect::<Option<_>>()?;
    let last = applied.iter().map(|applied| applied.number).max()?;
    // One that was built and never started may have had more in between.
    let more = |file: &&MigrationFile| !applied.iter().any(|applied| applied.number == file.number);
    if files.iter().filter(|file| file.number < last && file.is_for(here_is)).any(|file| more(&file)) {
        return None;
    }
    // Below the last, what is not on record here is for the other database alone; after it, it runs when the plugin starts.
    let mut there: Vec<_> = files.iter().filter(|file| file.is_for(there) && file.number <= last).cloned().collect();
    there.sort_by_key(|file| file.number);
    Some(ChosenFiles { here, there })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQLITE: Option<SqlDialect> = Some(SqlDialect::Sqlite);
    const POSTGRES: Option<SqlDialect> = Some(SqlDialect::Postgres);

    fn file(number: u32, dialect: Option<SqlDialect>, text: &str) -> MigrationFile {
        MigrationFile { number, name: format!("m{number}"), dialect, text: text.into() }
    }

    fn applied(file: &MigrationFile) -> Applied {
        let (number, name) = (file.number, file.name.clone());
        Applied { number, name, checksum: checksum(&file.text), contracts: file.contracts() }
    }

    fn numbers(versions: &[Vec<MigrationFile>], on_record: &[MigrationFile]) -> Option<Vec<String>> {
        let on_record: Vec<_> = on_record.iter().map(applied).collect();
        let chosen = choose(versions, &on_record, SqlDialect::Sqlite, SqlDialect::Postgres)?;
        Some(chosen.there.iter().map(MigrationFile::file_name).collect())
    }

    #[test]
    fn the_first_version_that_has_all_that_ran() {
        let (one, two, other) = (file(1, None, "a"), file(2, None, "b"), file(2, None, "another b"));
        let versions = [vec![one.clone(), other], vec![one.clone(), two.clone(), file(3, None, "c")]];
        let names = ["0001_m1.sql", "0002_m2.sql"].map(str::to_owned).to_vec();
        assert_eq!(numbers(&versions, &[one.clone(), two.clone()]), Some(names));
        assert_eq!(numbers(&versions, std::slice::from_ref(&one)), Some(vec!["0001_m1.sql".to_owned()]));
        let between =
            [vec![one.clone(), file(2, None, "never ran"), file(3, None, "c")], vec![one.clone(), file(3, None, "c")]];
        let names = ["0001_m1.sql", "0003_m3.sql"].map(str::to_owned).to_vec();
        assert_eq!(numbers(&between, &[one.clone(), file(3, None, "c")]), Some(names));
        let renamed = MigrationFile { name: "x".to_owned(), ..two };
        assert_eq!(numbers(&versions, &[one, renamed]), None);
        assert_eq!(numbers(&versions, &[]), None);
    }

    #[test]
    fn what_is_for_one_database_alone() {
        let files = vec![
            file(1, SQLITE, "a"),
            file(1, POSTGRES, "b"),
            file(2, POSTGRES, "c"),
            file(3, SQLITE, "d"),
            file(4, None, "e"),
            file(5, POSTGRES, "f"),
        ];
        let ran = [files[0].clone(), files[3].clone(), files[4].clone()];
        let names = ["0001_m1.postgres.sql", "0002_m2.postgres.sql", "0004_m4.sql"].map(str::to_owned).to_vec();
        assert_eq!(numbers(&[files], &ran), Some(names));
    }
}
