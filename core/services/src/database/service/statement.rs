//! What sort of statement a text is, as far as its words tell. Pure. What must not live here: anything that a fence relies on.

/// What sort of statement a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatementKind {
    /// It changes no row.
    Reads,
    /// It may change rows.
    Writes,
    /// It begins or ends a transaction, which is not done by a statement here.
    OfTransactions,
}

const OF_TRANSACTIONS: [&str; 9] =
    ["begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release", "prepare"];

const READING: [&str; 5] = ["select", "with", "values", "table", "explain"];

const CHANGING: [&str; 5] = ["insert", "update", "delete", "merge", "replace"];

impl StatementKind {
    /// What this is. A text that only mentions such a word counts as one that writes.
    pub(super) fn of(sql: &str) -> Self {
        let first = words(without_comments(sql)).next().unwrap_or_default();
        let is = |word: &str, those: &[&str]| those.iter().any(|other| word.eq_ignore_ascii_case(other));
        if is(first, &OF_TRANSACTIONS) {
            StatementKind::OfTransactions
        } else if is(first, &READING) && !words(sql).any(|word| is(word, &CHANGING)) {
            StatementKind::Reads
        } else {
            StatementKind::Writes
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty())
}

/// The text from its first word on.
fn without_comments(sql: &str) -> &str {
    let mut rest = sql.trim_start();
    loop {
        rest = if rest.starts_with("--") {
            rest.split_once('\n').map_or("", |(_, after)| after)
        } else if rest.starts_with("/*") {
            after_comment(rest)
        } else {
            return rest;
        }
        .trim_start();
    }
}

/// What comes after the comment that a text begins with. There may be others in it.
fn after_comment(text: &str) -> &str {
    let (mut depth, mut rest) = (0_usize, text);
    loop {
        let ends = rest.find("*/");
        match (rest.find("/*"), ends) {
            (Some(begins), ends) if ends.is_none_or(|ends| begins < ends) => {
                depth += 1;
                rest = rest.get(begins + 2..).unwrap_or_default();
            }
            (_, Some(ends)) => {
                depth = depth.saturating_sub(1);
                rest = rest.get(ends + 2..).unwrap_or_default();
                if depth == 0 {
                    return rest;
                }
            }
            _ => return "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_statement_is() {
        for reads in ["SELECT 1", " -- DROP\n select a from b", "WITH a AS (SELECT 1) SELECT * FROM a", "(VALUES (1))"]
        {
            assert_eq!(StatementKind::of(reads), StatementKind::Reads, "{reads}");
        }
        for writes in
            ["INSERT INTO a VALUES (1)", "WITH a AS (DELETE FROM b RETURNING 1) SELECT * FROM a", "DO $$ $$", ""]
        {
            assert_eq!(StatementKind::of(writes), StatementKind::Writes, "{writes}");
        }
        for own in ["begin", "/* a /* b */ c */ COMMIT", "--\n\tStart transaction", "/**/ROLLBACK;"] {
            assert_eq!(StatementKind::of(own), StatementKind::OfTransactions, "{own}");
        }
        assert_eq!(StatementKind::of("/* never closed"), StatementKind::Writes);
    }
}
