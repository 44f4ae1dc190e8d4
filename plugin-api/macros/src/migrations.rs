//! The files of a plugin's folder `migrations`, checked where an author sees it: when the plugin is compiled.
//!
//! The host checks them again, for it believes no file (`camlock_policy::migrations`). What must not live here: anything about
//! the SQL in them.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// A file may have so many bytes.
const MOST: usize = 1 << 20;

/// Names and paths; none without the folder. Files whose names begin with a dot are left out.
pub(crate) fn find(dir: &Path) -> Result<Vec<(String, PathBuf)>, String> {
    let unreadable = |error: io::Error| format!("the folder `migrations` cannot be read: {error}");
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let is_file = entry.file_type().map_err(unreadable)?.is_file();
        if !is_file {
            return Err(format!("`migrations/{name}` is no file: a migration is a file `0001_name.sql`"));
        }
        files.push((name, entry.path()));
    }
    files.sort();
    check_names(files.iter().map(|(name, _)| name.as_str()))?;
    for (name, path) in &files {
        let content = fs::read(path).map_err(|error| format!("`migrations/{name}` cannot be read: {error}"))?;
        check_content(name, &content)?;
    }
    Ok(files)
}

fn check_content(name: &str, content: &[u8]) -> Result<(), String> {
    if content.len() > MOST {
        return Err(format!("`migrations/{name}` has {} bytes; a migration may have {MOST}", content.len()));
    }
    match std::str::from_utf8(content) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("`migrations/{name}` is not UTF-8: see its byte {}", error.valid_up_to())),
    }
}

/// Every name has its form, and no number is given twice in one database.
fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut known: BTreeMap<&str, Vec<(&str, &str, &str)>> = BTreeMap::new();
    for file in names {
        let Some((number, name, database)) = parts(file) else {
            return Err(format!(
                "`migrations/{file}` is no migration's name: it has the form `0001_name.sql`, `0001_name.sqlite.sql` or \
                 `0001_name.postgres.sql`, with a number of four digits from 0001 on, small letters, digits and underscores"
            ));
        };
        let same = known.entry(number).or_default();
        for (other, other_name, other_database) in same.iter() {
            if *other_name != name || *other_database == database || database.is_empty() || other_database.is_empty() {
                return Err(format!(
                    "`migrations/{other}` and `migrations/{file}` have the same number: give one of them another; one \
                     number has one file, or one with the same name for each database"
                ));
            }
        }
        same.push((file, name, database));
    }
    Ok(())
}

/// Number, name, and the database or nothing.
fn parts(file: &str) -> Option<(&str, &str, &str)> {
    let rest = file.strip_suffix(".sql")?;
    let (rest, database) = match rest.split_once('.') {
        None => (rest, ""),
        Some((rest, database @ ("sqlite" | "postgres"))) => (rest, database),
        Some(_) => return None,
    };
    let (number, name) = rest.split_once('_')?;
    let is_number = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit()) && number != "0000";
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (is_number && !name.is_empty() && name.len() <= 100 && name.bytes().all(plain)).then_some((number, name, database))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str]) -> Result<(), String> {
        check_names(names.iter().copied())
    }

    #[test]
    fn names_have_a_form() {
        let good = ["0001_a.sql", "0007_add_b2.sqlite.sql", "0007_add_b2.postgres.sql", "0010_c.postgres.sql"];
        assert_eq!(check(&good), Ok(()), "gaps are allowed");
        for bad in [
            "1_a.sql",
            "0000_a.sql",
            "00001_a.sql",
            "0001.sql",
            "0001_.sql",
            "0001_A.sql",
            "0001_a.SQL",
            "0001_a",
            "0001_a.mysql.sql",
            "0001_a.sqlite.postgres.sql",
            "0001-a.sql",
            "0001_é.sql",
            "readme.md",
        ] {
            let refused = check(&[bad]).unwrap_err();
            assert!(refused.contains(&format!("`migrations/{bad}` is no migration's name")), "{refused}");
        }
    }

    #[test]
    fn a_number_is_given_once() {
        for two in [
            ["0001_a.sql", "0001_b.sql"],
            ["0001_a.sql", "0001_a.sqlite.sql"],
            ["0001_a.sqlite.sql", "0001_b.postgres.sql"],
        ] {
            let refused = check(&two).unwrap_err();
            assert!(
                refused.contains("have the same number") && two.iter().all(|name| refused.contains(name)),
                "{refused}"
            );
        }
    }

    #[test]
    fn contents_are_text_of_a_size() {
        assert_eq!(check_content("0001_a.sql", "é".as_bytes()), Ok(()));
        assert_eq!(check_content("a", b"ab\xff").unwrap_err(), "`migrations/a` is not UTF-8: see its byte 2");
        let refused = check_content("a", &vec![b' '; MOST + 1]).unwrap_err();
        assert_eq!(refused, "`migrations/a` has 1048577 bytes; a migration may have 1048576");
    }
}
