//! From a file's text to its statements.

use camlock_policy::migrations::SqlDialect;
use sqlparser::{
    ast::Statement,
    dialect::{Dialect, PostgreSqlDialect, SQLiteDialect},
    keywords::Keyword,
    parser::Parser,
    tokenizer::{Token, TokenWithSpan, Tokenizer},
};

/// An expression without a comma or parenthesis may have so many words. Longer ones become trees that are deeper than a thread's
/// stack when they are walked.
const MOST_WORDS: usize = 1_000;

/// Statements may be nested so deep.
const MOST_NESTED: usize = 40;

/// A statement, and where it begins.
pub(super) struct ReadStatement {
    pub(super) line: u64,
    pub(super) parsed: Result<Statement, String>,
}

/// Reads a text. The error is of the text as a whole, with its line.
pub(super) fn statements(text: &str, dialect: SqlDialect) -> Result<Vec<ReadStatement>, (u64, String)> {
    let theirs: &dyn Dialect = match dialect {
        SqlDialect::Sqlite => &SQLiteDialect {},
        SqlDialect::Postgres => &PostgreSqlDialect {},
    };
    let tokens = Tokenizer::new(theirs, text).tokenize_with_location();
    let tokens = tokens.map_err(|error| (error.location.line, format!("it cannot be read: {}", error.message)))?;
    if text.contains('\0') {
        return Err((1, "there is a NUL in it".to_owned()));
    }
    let mut read = Vec::new();
    for part in tokens.split(|token| token.token == Token::SemiColon) {
        let Some(first) = part.iter().find(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF)) else {
            continue;
        };
        read.push(ReadStatement { line: first.span.start.line, parsed: parse(part, first, theirs) });
    }
    Ok(read)
}

fn parse(tokens: &[TokenWithSpan], first: &TokenWithSpan, dialect: &dyn Dialect) -> Result<Statement, String> {
    refuse_by_first_word(&first.token)?;
    refuse_what_is_created(tokens)?;
    if longest(tokens) > MOST_WORDS {
        return Err(format!(
            "an expression in it has more than {MOST_WORDS} words without a comma or parenthesis: make several of it"
        ));
    }
    let mut parser = Parser::new(dialect).with_recursion_limit(MOST_NESTED).with_tokens_with_locations(tokens.to_vec());
    let parsed = parser.parse_statement().map_err(|error| format!("it cannot be read: {error}"))?;
    match parser.peek_token().token {
        Token::EOF => Ok(parsed),
        other => Err(format!("it cannot be read: nothing was expected before `{other}`")),
    }
}

/// What is better told by its name than as something that cannot be read.
fn refuse_by_first_word(token: &Token) -> Result<(), String> {
    let Token::Word(word) = token else { return Ok(()) };
    let called = word.value.to_ascii_uppercase();
    match word.keyword {
        Keyword::BEGIN | Keyword::START | Keyword::COMMIT | Keyword::END | Keyword::ROLLBACK | Keyword::SAVEPOINT => {
            Err(format!("`{called}` is not needed: each migration is a transaction of its own"))
        }
        Keyword::PRAGMA
        | Keyword::ATTACH
        | Keyword::DETACH
        | Keyword::VACUUM
        | Keyword::SET
        | Keyword::RESET
        | Keyword::GRANT
        | Keyword::REVOKE
        | Keyword::COPY
        | Keyword::DO
        | Keyword::LISTEN
        | Keyword::NOTIFY
        | Keyword::CALL
        | Keyword::EXECUTE
        | Keyword::LOAD
        | Keyword::ANALYZE => Err(super::statements::not_allowed(&called)),
        _ => Ok(()),
    }
}

/// The same, of what follows `CREATE`.
fn refuse_what_is_created(tokens: &[TokenWithSpan]) -> Result<(), String> {
    let words = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).map(|token| &token.token);
    let mut words = words.map_while(|token| if let Token::Word(word) = token { Some(word) } else { None });
    if words.next().is_none_or(|first| first.keyword != Keyword::CREATE) {
        return Ok(());
    }
    match words.find(|word| !matches!(word.keyword, Keyword::OR | Keyword::REPLACE)) {
        Some(word) if !CREATED.contains(&word.keyword) => {
            Err(super::statements::not_allowed(&format!("CREATE {}", word.value.to_ascii_uppercase())))
        }
        _ => Ok(()),
    }
}

const CREATED: [Keyword; 11] = [
    Keyword::TABLE,
    Keyword::UNLOGGED,
    Keyword::INDEX,
    Keyword::UNIQUE,
    Keyword::VIEW,
    Keyword::MATERIALIZED,
    Keyword::RECURSIVE,
    Keyword::TEMP,
    Keyword::TEMPORARY,
    Keyword::LOCAL,
    Keyword::GLOBAL,
];

/// How many words there are at most between two commas or parentheses of the same depth.
fn longest(tokens: &[TokenWithSpan]) -> usize {
    let (mut longest, mut counts) = (0, vec![0]);
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::LParen => counts.push(0),
            Token::RParen if counts.len() > 1 => drop(counts.pop()),
            Token::Comma => counts.last_mut().into_iter().for_each(|count| *count = 0),
            _ => {}
        }
        if let Some(count) = counts.last_mut() {
            *count += 1;
            longest = longest.max(*count);
        }
    }
    longest
}
