//! The tables as bytes, for the next build of this plugin.
//!
//! The first thing in it is the number of its format. A build takes over what it knows, and checks it as if it came from
//! outside; what it does not know it refuses, and then nothing of it is taken.

use crate::{
    cell::Cell,
    columns::{Column, Definition, Given},
    limits,
    store::{Kept, Table},
};
use camlock_plugin::Result as Outcome;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Counted up when the format changes.
const FORMAT: u32 = 1;

/// The largest id that every reader of JSON reads as it stands.
const LARGEST_ID: u64 = 1 << 53;

/// What every format begins with.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    tables: Vec<WrittenTable<'a>>,
}

#[derive(Serialize)]
struct WrittenTable<'a> {
    name: &'a str,
    columns: &'a [Column],
    next_id: u64,
    rows: &'a BTreeMap<u64, Vec<Cell>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    #[serde(rename = "format")]
    _format: u32,
    tables: Vec<ReadTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadTable {
    name: String,
    columns: Vec<Column>,
    next_id: u64,
    rows: BTreeMap<u64, Vec<serde_json::Value>>,
}

/// Writes what is kept.
pub fn write(kept: &Kept) -> Outcome<Vec<u8>> {
    let tables = kept.tables().map(|table| WrittenTable {
        name: &table.definition.name,
        columns: &table.definition.columns,
        next_id: table.next_id,
        rows: &table.rows,
    });
    Ok(serde_json::to_vec(&Written { format: FORMAT, tables: tables.collect() })?)
}

/// Reads what a build wrote. The error says why it cannot be taken.
pub fn read(bytes: &[u8]) -> Result<Kept, String> {
    let Format { format } = serde_json::from_slice(bytes).map_err(|error| format!("it is no snapshot: {error}"))?;
    if format != FORMAT {
        return Err(format!("its format is {format}, this build knows {FORMAT}"));
    }
    let read: Read = serde_json::from_slice(bytes).map_err(|error| format!("it is damaged: {error}"))?;
    let mut kept = Kept::default();
    for table in read.tables {
        let name = table.name.clone();
        let told = |reason: String| format!("table `{name}`: {reason}");
        kept.add(table.check().map_err(told)?).map_err(|refused| told(refused.detail))?;
    }
    Ok(kept)
}

impl ReadTable {
    fn check(self) -> Result<Table, String> {
        let definition = Definition { name: self.name, columns: self.columns };
        // Not what is set now: rows that were accepted are kept.
        if self.rows.len() > limits::MOST_ROWS {
            return Err(format!("it has {} rows, of {}", self.rows.len(), limits::MOST_ROWS));
        }
        if !(1..=LARGEST_ID).contains(&self.next_id) {
            return Err(format!("its next id would be {}", self.next_id));
        }
        if let Some((last, _)) = self.rows.last_key_value().filter(|(last, _)| **last >= self.next_id) {
            return Err(format!("row {last} is not older than the next, {}", self.next_id));
        }
        let mut rows = BTreeMap::new();
        for (id, cells) in self.rows {
            if cells.len() != definition.columns.len() {
                return Err(format!("row {id} has {} values", cells.len()));
            }
            let given: Given = definition.columns.iter().map(|column| column.name.clone()).zip(cells).collect();
            rows.insert(id, definition.row(given).map_err(|refused| format!("row {id}: {}", refused.detail))?);
        }
        Ok(Table { definition, next_id: self.next_id, rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::tests::{given, people};
    use serde_json::{Value as Json, json};

    #[test]
    fn what_is_written_can_be_read() {
        let row = people().row(given(json!({"name": "Ada", "born": 1815, "height": 1.5, "alive": false}))).unwrap();
        let mut kept = Kept::default();
        kept.add(Table { definition: people(), next_id: 8, rows: BTreeMap::from([(3, row)]) }).unwrap();
        assert_eq!(read(&write(&kept).unwrap()), Ok(kept));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let good = json!({"format": 1, "tables": [{
            "name": "people", "next_id": 2, "rows": {"1": ["Ada"]},
            "columns": [{"name": "name", "type": "text", "required": true}],
        }]});
        read(good.to_string().as_bytes()).unwrap();
        let changed = |pointer: &str, value: Json| {
            let mut changed = good.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            read(changed.to_string().as_bytes()).unwrap_err()
        };
        assert_eq!(changed("/format", json!(2)), "its format is 2, this build knows 1");
        assert_eq!(changed("/tables/0/name", json!("Ü")).split(':').next(), Some("table `Ü`"));
        assert_eq!(changed("/tables/0/next_id", json!(1)), "table `people`: row 1 is not older than the next, 1");
        assert_eq!(
            changed("/tables/0/next_id", json!(u64::MAX)),
            format!("table `people`: its next id would be {}", u64::MAX)
        );
        assert_eq!(changed("/tables/0/rows/1", json!([])), "table `people`: row 1 has 0 values");
        let reason = "table `people`: row 1: column `name` holds texts, not 7";
        assert_eq!(changed("/tables/0/rows/1/0", json!(7)), reason);
        assert!(changed("/tables/0/columns", json!(7)).starts_with("it is damaged: "));
        assert!(read(b"tables").unwrap_err().starts_with("it is no snapshot: "));
    }
}
