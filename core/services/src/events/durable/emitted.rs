//! Events as they were emitted, read back from where they are written first. What must not live here: who hears of them.

use super::{
    port::KeptEmission,
    store::{KeptEventRow, on_sqlite},
};
use crate::SqliteFile;
use camlock_policy::AskError;
use rusqlite::Connection;

const ALL: &str = "SELECT id, topic, payload, at, trace, depth FROM events ORDER BY id";

/// A row that begins with these columns.
pub(super) fn emission(row: &KeptEventRow) -> KeptEmission {
    KeptEmission {
        topic: row[1].text().to_owned(),
        payload: row[2].bytes().to_vec().into(),
        at: row[3].count(),
        trace_id: row[4].bytes().try_into().unwrap_or_default(),
        depth: u32::try_from(row[5].number()).unwrap_or_default(),
    }
}

/// All that a file has, in the order in which it was emitted, also in transactions of plugins: for their tests.
pub async fn emitted_in_file(file: &SqliteFile) -> Result<Vec<KeptEmission>, AskError> {
    if !file.path().exists() {
        return Ok(Vec::new());
    }
    let read = |connection: &mut Connection| on_sqlite(connection, ALL, &[]);
    Ok(file.read(&"camlock".into(), read).await?.iter().map(emission).collect())
}
