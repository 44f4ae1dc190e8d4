//! How much is kept, and how much is taken at once: this plugin shares its memory with the server.

/// Tables at a time.
pub const TABLES: usize = 64;
/// Columns of a table.
pub const COLUMNS: usize = 32;
/// Letters of a name.
pub const NAME: usize = 50;
/// Rows of a table, if nobody sets another number.
pub const ROWS: usize = 10_000;
/// Rows of a table, whatever is set.
pub const MOST_ROWS: usize = 100_000;
/// Bytes of a text.
pub const TEXT: usize = 8 * 1024;
/// Bytes of a request.
pub const REQUEST: usize = 256 * 1024;
/// Bytes of all rows together, as [`crate::cell::size`] counts them.
pub const BYTES: usize = 32 * 1024 * 1024;
/// Rows of an answer, if the question does not say.
pub const PAGE: usize = 100;
/// Rows of an answer at most.
pub const LARGEST_PAGE: usize = 1_000;
/// Rows that an answer may leave out.
pub const LARGEST_OFFSET: usize = i64::MAX as usize;
