//! Which migrations of an artifact run when. Pure: what is in the artifact and what is on record in, what is to be done out.

use super::MigrationError;
use camlock_policy::migrations::{MigrationFile, SqlDialect};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// A migration that has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// Of what was in it.
    pub checksum: String,
    /// Whether it took away what earlier versions need.
    pub contracts: bool,
}

/// What has run, by plugin.
pub(super) type RanByPlugin = BTreeMap<String, Vec<Applied>>;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan<'a> {
    /// These.
    Run {
        /// Before `start`, in this order.
        now: Vec<&'a MigrationFile>,
        /// After the new version was committed and its probation is over.
        afterwards: Option<&'a MigrationFile>,
    },
    /// Nothing yet, and the version waits: a sentence says for what.
    Waits(String),
    /// The version cannot be had: a sentence says why.
    Refused(String),
}

/// The checksum under which a migration is on record.
pub fn checksum(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether this very file has run; an error if another one has run under its number.
pub(super) fn has_run(file: &MigrationFile, applied: &[Applied]) -> Result<bool, MigrationError> {
    let Some(known) = applied.iter().find(|known| known.number == file.number) else { return Ok(false) };
    if known.checksum == checksum(&file.text) && known.name == file.name {
        return Ok(true);
    }
    let (called, number) = (file.file_name(), file.number);
    Err(MigrationError::Refused(format!("`migrations/{called}` is not what has run as number {number:04}")))
}

/// Compares what is in an artifact with what is on record. `alone`: no other version needs these tables.
pub fn plan<'a>(files: &'a [MigrationFile], dialect: SqlDialect, applied: &[Applied], alone: bool) -> Plan<'a> {
    let on_record: BTreeMap<u32, &Applied> = applied.iter().map(|applied| (applied.number, applied)).collect();
    let last = on_record.last_key_value().map_or(0, |(number, _)| *number);
    let mut pending = Vec::new();
    for file in files.iter().filter(|file| file.is_for(dialect)) {
        let called = file.file_name();
        match on_record.get(&file.number) {
            Some(applied) if applied.name != file.name || applied.checksum != checksum(&file.text) => {
                return Plan::Refused(format!(
                    "`migrations/{called}` is not what has run as number {:04} (`{}`): a migration that has run is never \
                     changed; put the old file back, and what is new into a file of its own",
                    file.number, applied.name
                ));
            }
            Some(_) => {}
            None if file.number < last => {
                return Plan::Refused(format!(
                    "`migrations/{called}` comes before number {last:04}, which has run: give it a number after that"
                ));
            }
            None => pending.push(file),
        }
    }
    pending.sort_by_key(|file| file.number);
    if applied.is_empty() || alone {
        return Plan::Run { now: pending, afterwards: None };
    }
    match pending.iter().position(|file| file.contracts()) {
        None => Plan::Run { now: pending, afterwards: None },
        Some(place) if place + 1 == pending.len() => {
            let afterwards = pending.pop();
            Plan::Run { now: pending, afterwards }
        }
        Some(place) => {
            let names = |files: &[&MigrationFile]| {
                files.iter().map(|file| format!("`{}`", file.file_name())).collect::<Vec<_>>().join(", ")
            };
            let (contracting, later) = pending.split_at(place + 1);
            Plan::Waits(format!(
                "it waits until `migrations/{}` has run, which takes away what the version before needs, and so runs only \
                 after a version that ends with it has been kept; {} come after it: install that version first",
                contracting.last().map(|file| file.file_name()).unwrap_or_default(),
                names(later)
            ))
        }
    }
}

/// Whether a version with these files may be gone back to: not if something has run that took away what it needs. The sentence
/// says what, for an operator who may do it all the same.
pub fn may_go_back(files: &[MigrationFile], applied: &[Applied]) -> Result<(), String> {
    let known = |applied: &Applied| files.iter().any(|file| file.number == applied.number);
    match applied.iter().find(|applied| applied.contracts && !known(applied)) {
        None => Ok(()),
        Some(applied) => Err(format!(
            "its migration {:04} (`{}`) has run, which took away what that version needs, and cannot be undone",
            applied.number, applied.name
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTRACT: &str = "-- camlock: contract\n";

    fn file(number: u32, text: &str) -> MigrationFile {
        MigrationFile { number, name: format!("m{number}"), dialect: None, text: text.into() }
    }

    fn applied(file: &MigrationFile) -> Applied {
        let (number, name) = (file.number, file.name.clone());
        Applied { number, name, checksum: checksum(&file.text), contracts: file.contracts() }
    }

    fn numbers(files: &[MigrationFile], on_record: &[Applied]) -> Result<(Vec<u32>, Option<u32>), String> {
        match plan(files, SqlDialect::Sqlite, on_record, false) {
            Plan::Run { now, afterwards } => {
                Ok((now.iter().map(|file| file.number).collect(), afterwards.map(|file| file.number)))
            }
            Plan::Waits(words) => Err(format!("waits: {words}")),
            Plan::Refused(words) => Err(format!("refused: {words}")),
        }
    }

    #[test]
    fn at_first_all_run_in_order() {
        let files = [file(1, "a"), file(3, CONTRACT), file(4, "c"), file(7, CONTRACT)];
        assert_eq!(numbers(&files, &[]), Ok((vec![1, 3, 4, 7], None)));
        assert_eq!(numbers(&[], &[]), Ok((vec![], None)));
    }

    #[test]
    fn what_contracts_runs_afterwards() {
        let files = [file(1, "a"), file(2, "b"), file(3, CONTRACT)];
        assert_eq!(numbers(&files, &[applied(&files[0])]), Ok((vec![2], Some(3))));
        assert_eq!(numbers(&files[..2], &[applied(&files[0])]), Ok((vec![2], None)));
        let all: Vec<_> = files.iter().map(applied).collect();
        assert_eq!(numbers(&files, &all), Ok((vec![], None)));
        assert_eq!(numbers(&files[..1], &all), Ok((vec![], None)), "an earlier version has nothing to run");
    }

    #[test]
    fn a_version_with_more_after_it_waits() {
        let files = [file(1, "a"), file(2, CONTRACT), file(3, "c"), file(4, CONTRACT)];
        let told = numbers(&files, &[applied(&files[0])]).unwrap_err();
        assert!(told.starts_with("waits: it waits until `migrations/0002_m2.sql` has run"), "{told}");
        assert!(told.contains("`0003_m3.sql`, `0004_m4.sql` come after it"), "{told}");
        let two: Vec<_> = files[..2].iter().map(applied).collect();
        assert_eq!(numbers(&files, &two), Ok((vec![3], Some(4))));
    }

    /// A first version that was ended in the middle, say.
    #[test]
    fn nothing_waits_where_nobody_else_needs_it() {
        let files = [file(1, "a"), file(2, CONTRACT), file(3, "c"), file(4, CONTRACT)];
        let Plan::Run { now, afterwards: None } = plan(&files, SqlDialect::Sqlite, &[applied(&files[0])], true) else {
            panic!("all run");
        };
        assert_eq!(now, files[1..].iter().collect::<Vec<_>>());
    }

    #[test]
    fn what_has_run_stays_as_it_was() {
        let first = applied(&file(2, "a"));
        let told = numbers(&[file(2, "b")], std::slice::from_ref(&first)).unwrap_err();
        assert!(told.starts_with("refused: `migrations/0002_m2.sql` is not what has run as number 0002"), "{told}");
        let renamed = MigrationFile { name: "other".to_owned(), ..file(2, "a") };
        assert!(numbers(&[renamed], std::slice::from_ref(&first)).unwrap_err().contains("(`m2`)"));
        let told = numbers(&[file(1, "b"), file(2, "a")], &[first]).unwrap_err();
        assert!(told.contains("`migrations/0001_m1.sql` comes before number 0002, which has run"), "{told}");
    }

    #[test]
    fn only_files_of_the_database_count() {
        let of = |dialect| MigrationFile { dialect: Some(dialect), ..file(1, "a") };
        let files = [of(SqlDialect::Sqlite), MigrationFile { text: "b".into(), ..of(SqlDialect::Postgres) }];
        assert_eq!(
            plan(&files, SqlDialect::Postgres, &[], false),
            Plan::Run { now: vec![&files[1]], afterwards: None }
        );
    }

    #[test]
    fn what_cannot_be_undone_is_said() {
        let files = [file(1, "a"), file(2, CONTRACT)];
        let all: Vec<_> = files.iter().map(applied).collect();
        assert_eq!(may_go_back(&files, &all), Ok(()));
        let told = may_go_back(&files[..1], &all).unwrap_err();
        assert!(told.starts_with("its migration 0002 (`m2`) has run") && told.ends_with("cannot be undone"), "{told}");
    }
}
