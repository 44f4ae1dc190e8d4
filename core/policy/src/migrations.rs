//! The migrations of a plugin, as they lie in its file. Pure.
//!
//! `export!` checks the same when the plugin is compiled; but what a file says is not trusted. What must not live here: what
//! the SQL in them means.

use crate::manifest::{Invalid, Manifest};
use std::{fmt, sync::Arc};

/// A file may have so many bytes.
pub const MOST_BYTES: usize = 1 << 20;

/// Which database SQL is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SqlDialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// One file of the folder `migrations`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationFile {
    /// Where it stands in the order. From 1 on.
    pub number: u32,
    /// What its author calls it.
    pub name: String,
    /// The one database that it is for; none: for any.
    pub dialect: Option<SqlDialect>,
    /// What is in it.
    pub text: Arc<str>,
}

impl fmt::Display for SqlDialect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            SqlDialect::Sqlite => "SQLite",
            SqlDialect::Postgres => "PostgreSQL",
        })
    }
}

impl MigrationFile {
    /// The file's name.
    pub fn file_name(&self) -> String {
        let dialect = match self.dialect {
            None => "",
            Some(SqlDialect::Sqlite) => ".sqlite",
            Some(SqlDialect::Postgres) => ".postgres",
        };
        format!("{:04}_{}{dialect}.sql", self.number, self.name)
    }

    /// Whether it runs in this database.
    pub fn is_for(&self, dialect: SqlDialect) -> bool {
        self.dialect.is_none_or(|only| only == dialect)
    }

    /// Whether it takes away what an earlier version needs: one of its first lines, before any SQL, is `-- camlock: contract`.
    pub fn contracts(&self) -> bool {
        let comments = self.text.lines().map(str::trim).take_while(|line| line.is_empty() || line.starts_with("--"));
        comments.take(20).any(|line| {
            let words = line.trim_start_matches('-').trim();
            words.strip_prefix("camlock:").is_some_and(|word| word.trim() == "contract")
        })
    }
}

/// What opens tables of its own to a plugin.
const PERMISSIONS: [&str; 2] = ["database", "database:direct"];

/// Whether a plugin has tables of its own.
pub fn has_tables(manifest: &Manifest) -> bool {
    manifest.camlock.permissions.iter().any(|asked| PERMISSIONS.contains(&asked.as_str()))
}

/// Why these migrations would never run, if that is so: a sentence without a full stop.
pub fn never_run(manifest: &Manifest, files: &[MigrationFile]) -> Option<&'static str> {
    (!files.is_empty() && !has_tables(manifest)).then_some(
        "it has migrations, and does not ask for the permission `database`: add it to `permissions` in its manifest",
    )
}

/// Reads names and contents. The files come in order of their numbers.
pub fn read(files: &[(&str, &[u8])]) -> Result<Vec<MigrationFile>, Invalid> {
    let mut read: Vec<MigrationFile> = Vec::with_capacity(files.len());
    for (name, content) in files {
        read.push(read_one(name, content)?);
    }
    read.sort_by_key(|file| (file.number, file.dialect));
    for pair in read.windows(2) {
        if let [one, other] = pair
            && one.number == other.number
            && (one.name != other.name || one.dialect == other.dialect || one.dialect.is_none())
        {
            let (one, other) = (one.file_name(), other.file_name());
            return Err(Invalid(format!("its migrations `{one}` and `{other}` have the same number")));
        }
    }
    Ok(read)
}

fn read_one(file: &str, content: &[u8]) -> Result<MigrationFile, Invalid> {
    let (number, name, dialect) =
        parts(file).ok_or_else(|| Invalid(format!("`{}` is no migration's name", file.escape_debug())))?;
    if content.len() > MOST_BYTES {
        let length = content.len();
        return Err(Invalid(format!("its migration `{file}` has {length} bytes; {MOST_BYTES} are allowed")));
    }
    let text = std::str::from_utf8(content).map_err(|_| Invalid(format!("its migration `{file}` is not UTF-8")))?;
    Ok(MigrationFile { number, name: name.to_owned(), dialect, text: text.into() })
}

fn parts(file: &str) -> Option<(u32, &str, Option<SqlDialect>)> {
    let rest = file.strip_suffix(".sql")?;
    let (rest, dialect) = match rest.split_once('.') {
        None => (rest, None),
        Some((rest, "sqlite")) => (rest, Some(SqlDialect::Sqlite)),
        Some((rest, "postgres")) => (rest, Some(SqlDialect::Postgres)),
        Some(_) => return None,
    };
    let (number, name) = rest.split_once('_')?;
    let digits = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| number.parse().ok()).flatten().filter(|number| *number > 0)?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (!name.is_empty() && name.len() <= 100 && name.bytes().all(plain)).then_some((number, name, dialect))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> MigrationFile {
        MigrationFile { number: 1, name: "a".to_owned(), dialect: None, text: text.into() }
    }

    #[test]
    fn files_come_in_order() {
        let files: [(&str, &[u8]); 4] =
            [("0010_c.sql", b"c"), ("0002_b.postgres.sql", b"p"), ("0002_b.sqlite.sql", b"s"), ("0001_a.sql", b"a")];
        let read = read(&files).unwrap();
        let names: Vec<_> = read.iter().map(MigrationFile::file_name).collect();
        assert_eq!(names, ["0001_a.sql", "0002_b.sqlite.sql", "0002_b.postgres.sql", "0010_c.sql"]);
        let on_sqlite: Vec<_> =
            read.iter().filter(|file| file.is_for(SqlDialect::Sqlite)).map(|file| &*file.text).collect();
        assert_eq!(on_sqlite, ["a", "s", "c"]);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for (files, told) in [
            (&[("0001_a.sql", &b""[..]), ("0001_b.sql", b"")][..], "have the same number"),
            (&[("0001_a.sql", b""), ("0001_a.sqlite.sql", b"")], "have the same number"),
            (&[("0001_a.sqlite.sql", b""), ("0001_b.postgres.sql", b"")], "have the same number"),
            (&[("0001_a.sql", b""), ("0001_a.sql", b"")], "have the same number"),
            (&[("0000_a.sql", b"")], "`0000_a.sql` is no migration's name"),
            (&[("../0001_a.sql", b"")], "`../0001_a.sql` is no migration's name"),
            (&[("0001_a.sql", b"\xff")], "is not UTF-8"),
            (&[("0001_a.sql", &[b' '; MOST_BYTES + 1])], "1048576 are allowed"),
        ] {
            let refused = read(files).unwrap_err().0;
            assert!(refused.contains(told), "{refused}");
        }
    }

    #[test]
    fn a_file_that_contracts_says_so_before_its_sql() {
        for text in ["-- camlock: contract\nDROP", "\n-- why\n--camlock:contract \r\nDROP", "--- camlock: contract"] {
            assert!(file(text).contracts(), "{text}");
        }
        for text in ["DROP", "SELECT 1;\n-- camlock: contract", "-- camlock: contracts", "/* -- camlock: contract */"] {
            assert!(!file(text).contracts(), "{text}");
        }
    }
}
