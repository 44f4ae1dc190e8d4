//! Reads migrations before they run, and says what is wrong with them in words an author can use. Pure.
//!
//! The parser does not know what a database makes of a statement: what is let through here is held by the database itself. What
//! must not live here: anything that has to be true for others to be safe.

mod made;
mod names;
mod statements;
mod tokens;

pub(super) use made::made_by;

use super::names::TableNames;
use camlock_policy::migrations::{MigrationFile, SqlDialect};
use std::{collections::BTreeSet, fmt};

/// Of the thread on which a file is read. What is not used of it is never there.
const STACK: usize = 64 << 20;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LintFinding {
    /// The file's name.
    pub file: String,
    /// The line on which the statement begins.
    pub line: u64,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for LintFinding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "migrations/{}:{}: {}", self.file, self.line, self.message)
    }
}

/// So many findings are told at once.
const MOST_TOLD: usize = 3;

/// The first few findings, in one line.
pub fn in_words(findings: &[LintFinding]) -> String {
    let mut words: Vec<_> = findings.iter().take(MOST_TOLD).map(ToString::to_string).collect();
    if let Some(more) = findings.len().checked_sub(MOST_TOLD).filter(|more| *more > 0) {
        words.push(format!("and {more} more"));
    }
    words.join("; ")
}

/// When SQL runs, which says what it may take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LintedFor {
    /// Before a version starts: what an earlier one needs stays.
    Expanding,
    /// Once the version has shown that it stays.
    Contracting,
    /// While its plugin runs, and wants it: nobody else relies on what goes.
    RunTime,
}

/// What a file is read against.
struct Rules<'a> {
    names: &'a TableNames,
    dialect: SqlDialect,
    when: LintedFor,
    /// Tables that it made itself: nobody uses them yet.
    made: BTreeSet<String>,
}

/// Reads all files of a plugin, for every database that each is for.
pub fn lint(plugin: &str, files: &[MigrationFile]) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    for file in files {
        for dialect in [SqlDialect::Sqlite, SqlDialect::Postgres] {
            if file.is_for(dialect) {
                findings.extend(lint_file(plugin, file, dialect));
            }
        }
    }
    findings.dedup();
    findings
}

/// Reads one file, for one database.
pub fn lint_file(plugin: &str, file: &MigrationFile, dialect: SqlDialect) -> Vec<LintFinding> {
    let finding = |(line, message)| LintFinding { file: file.file_name(), line, message };
    let when = if file.contracts() { LintedFor::Contracting } else { LintedFor::Expanding };
    read_aside(plugin, &file.text, when, dialect).into_iter().map(finding).collect()
}

/// Reads what a plugin wants done to its tables while it runs, where nobody else relies on what it takes away: what is wrong.
pub(super) fn lint_text(plugin: &str, text: &str, dialect: SqlDialect) -> Vec<String> {
    let told = |(line, message)| format!("line {line}: {message}");
    read_aside(plugin, text, LintedFor::RunTime, dialect).into_iter().take(MOST_TOLD).map(told).collect()
}

fn read_aside(plugin: &str, text: &str, when: LintedFor, dialect: SqlDialect) -> Vec<(u64, String)> {
    // The parser calls itself, with frames that are large: it gets a stack that suffices for what `tokens` lets through.
    let read = std::thread::scope(|scope| {
        let reading = std::thread::Builder::new().name("camlock-lint".to_owned()).stack_size(STACK);
        let reading = reading.spawn_scoped(scope, || read(plugin, text, when, dialect));
        reading.map_err(|error| error.to_string()).and_then(|reading| reading.join().map_err(|_| "it panicked".into()))
    });
    read.unwrap_or_else(|why| vec![(1, format!("it could not be read: {why}"))])
}

/// Lines, and what is wrong there.
fn read(plugin: &str, text: &str, when: LintedFor, dialect: SqlDialect) -> Vec<(u64, String)> {
    let names = TableNames::of(plugin);
    let statements = match tokens::statements(text, dialect) {
        Ok(statements) => statements,
        Err(whole) => return vec![whole],
    };
    let mut rules = Rules { names: &names, dialect, when, made: BTreeSet::new() };
    let mut findings = Vec::new();
    for statement in statements {
        let wrong = match statement.parsed {
            Ok(parsed) => statements::check(&parsed, &mut rules),
            Err(message) => vec![message],
        };
        findings.extend(wrong.into_iter().map(|message| (statement.line, message)));
    }
    findings
}

#[cfg(test)]
mod tests;
