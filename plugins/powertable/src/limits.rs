//! How much is taken at once: this plugin shares its memory with the server.

/// Tables at a time.
pub const TABLES: usize = 100;
/// Columns of a table.
pub const COLUMNS: usize = 100;
/// Bytes of a table's name: with what is put before and behind it, it fits PostgreSQL.
pub const TABLE_NAME: usize = 40;
/// Bytes of a column's name.
pub const COLUMN_NAME: usize = 50;
/// Bytes of a document in JSON. Rows as CSV and NDJSON are read as they come, however many.
pub const DOCUMENT: usize = 4 << 20;
/// Bytes of a row in CSV or NDJSON.
pub const ROW: usize = 1 << 20;
/// Bytes of the rows that a change answers with.
pub const REPRESENTATION: usize = 8 << 20;
/// Bytes of rows that are made before they are sent.
pub const CHUNK: usize = 64 << 10;
/// Parameters of a statement that adds rows.
pub const PARAMETERS: usize = 4_000;
/// Bytes of values of a statement that adds rows.
pub const VALUES: usize = 1 << 20;
/// Conditions of a question.
pub const CONDITIONS: usize = 64;
/// Conditions within conditions.
pub const NESTED: usize = 8;
/// Values of `in.(…)`.
pub const LIST: usize = 5_000;
