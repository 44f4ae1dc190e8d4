//! Where the tables are kept: today in memory.
//!
//! All else in this plugin goes through [`Store`], whose methods are `async` so that a database can take its place.

use crate::{
    cell::{self, Cell},
    columns::{Column, Definition, Given},
    limits,
    question::Question,
    refused::Refused,
    settings::Settings,
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering},
    },
};
use utoipa::ToSchema;

/// The tables.
#[derive(Debug)]
pub struct Store {
    kept: RwLock<Kept>,
    /// How many rows a table may have.
    rows: AtomicUsize,
}

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    tables: BTreeMap<String, Table>,
    bytes: usize,
}

/// A table with its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub definition: Definition,
    /// Ids are never given twice, even if the row is deleted.
    pub next_id: u64,
    pub rows: BTreeMap<u64, Vec<Cell>>,
}

/// How much is kept.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Amounts {
    tables: usize,
    rows: usize,
    /// About how much memory the rows take.
    bytes: usize,
}

/// A table, without its rows.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Summary {
    name: String,
    columns: Vec<Column>,
    /// How many rows it has.
    rows: usize,
}

/// A row: its id, and a value for each column.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct Row {
    pub id: u64,
    #[serde(flatten)]
    cells: BTreeMap<String, Cell>,
}

/// A part of a table's rows.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct Page {
    items: Vec<Row>,
    /// How many rows answer the question, of which `items` are a part.
    total: usize,
}

impl Store {
    /// An empty one.
    pub fn new(settings: Settings) -> Self {
        Store { kept: RwLock::default(), rows: AtomicUsize::new(settings.rows_per_table.0) }
    }

    /// From now on these hold.
    pub fn set(&self, settings: Settings) {
        self.rows.store(settings.rows_per_table.0, Ordering::Relaxed);
    }

    pub async fn amounts(&self) -> Amounts {
        let kept = self.read();
        let rows = kept.tables.values().map(|table| table.rows.len()).sum();
        Amounts { tables: kept.tables.len(), rows, bytes: kept.bytes }
    }

    pub async fn tables(&self) -> Vec<Summary> {
        self.read().tables.values().map(Table::summary).collect()
    }

    pub async fn table(&self, name: &str) -> Result<Summary, Refused> {
        self.read().table(name).map(Table::summary)
    }

    pub async fn create(&self, definition: Definition) -> Result<Summary, Refused> {
        let table = Table { definition, next_id: 1, rows: BTreeMap::new() };
        let summary = table.summary();
        self.write().add(table)?;
        Ok(summary)
    }

    pub async fn drop_table(&self, name: &str) -> Result<(), Refused> {
        let mut kept = self.write();
        let table = kept.tables.remove(name).ok_or_else(|| no_table(name))?;
        kept.bytes -= table.bytes();
        Ok(())
    }

    pub async fn rows(&self, table: &str, question: &Question) -> Result<Page, Refused> {
        let kept = self.read();
        let table = kept.table(table)?;
        let rows = table.rows.iter().map(|(id, cells)| (*id, cells.as_slice()));
        let found = question.answer(&table.definition, rows)?;
        let items = found.rows.into_iter().map(|(id, cells)| table.row(id, cells)).collect();
        Ok(Page { items, total: found.total })
    }

    pub async fn row(&self, table: &str, id: &str) -> Result<Row, Refused> {
        let kept = self.read();
        let table = kept.table(table)?;
        let (id, cells) = table.find(id)?;
        Ok(table.row(id, cells))
    }

    pub async fn insert(&self, table: &str, given: Given) -> Result<Row, Refused> {
        let mut kept = self.write();
        let there = kept.table(table)?;
        let cells = there.definition.row(given)?;
        let (rows, most) = (there.rows.len(), self.rows.load(Ordering::Relaxed));
        if rows >= most {
            return Err(Refused::conflict(format!("the table `{table}` is full: {rows} of {most} rows")));
        }
        let id = there.next_id;
        kept.put(table, id, cells)
    }

    pub async fn update(&self, table: &str, id: &str, given: Given) -> Result<Row, Refused> {
        let mut kept = self.write();
        let there = kept.table(table)?;
        let (id, cells) = there.find(id)?;
        let cells = there.definition.changed(cells.to_vec(), given)?;
        kept.put(table, id, cells)
    }

    pub async fn delete(&self, table: &str, id: &str) -> Result<(), Refused> {
        let mut kept = self.write();
        let (id, cells) = kept.table(table)?.find(id)?;
        kept.bytes -= cell::size(cells);
        kept.tables.get_mut(table).and_then(|there| there.rows.remove(&id));
        Ok(())
    }

    /// All that is kept, for the next build of this plugin.
    pub async fn everything(&self) -> Kept {
        self.read().clone()
    }

    /// Keeps this instead.
    pub async fn replace(&self, kept: Kept) {
        *self.write() = kept;
    }

    // Whatever panics changes nothing by halves: all is checked before anything is written.
    fn read(&self) -> RwLockReadGuard<'_, Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Kept> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_table(name: &str) -> Refused {
    Refused::nothing(format!("there is no table `{}`", name.chars().take(limits::NAME).collect::<String>()))
}

impl Kept {
    /// The tables, by their names.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.values()
    }

    /// Adds a table that may have rows already.
    pub fn add(&mut self, table: Table) -> Result<(), Refused> {
        table.definition.check()?;
        let (count, bytes) = (self.tables.len(), table.bytes());
        let room = self.bytes_with(0, bytes);
        match self.tables.entry(table.definition.name.clone()) {
            Entry::Occupied(there) => Err(Refused::conflict(format!("there is a table `{}` already", there.key()))),
            Entry::Vacant(_) if count >= limits::TABLES => {
                Err(Refused::conflict(format!("there are {} tables, and no more are kept", limits::TABLES)))
            }
            Entry::Vacant(place) => {
                self.bytes = room?;
                place.insert(table);
                Ok(())
            }
        }
    }

    fn table(&self, name: &str) -> Result<&Table, Refused> {
        self.tables.get(name).ok_or_else(|| no_table(name))
    }

    /// Puts a row that fits in the place of the one with that id, or as a new one.
    fn put(&mut self, table: &str, id: u64, cells: Vec<Cell>) -> Result<Row, Refused> {
        let before = self.table(table)?.rows.get(&id).map_or(0, |cells| cell::size(cells));
        let bytes = self.bytes_with(before, cell::size(&cells))?;
        let table = self.tables.get_mut(table).ok_or_else(|| no_table(table))?;
        let row = table.row(id, &cells);
        table.rows.insert(id, cells);
        table.next_id = table.next_id.max(id + 1);
        self.bytes = bytes;
        Ok(row)
    }

    /// How many bytes there are with so many less, and so many more.
    fn bytes_with(&self, less: usize, more: usize) -> Result<usize, Refused> {
        match self.bytes - less + more {
            bytes @ 0..=limits::BYTES => Ok(bytes),
            _ => {
                Err(Refused::conflict(format!("all is full: the rows take {} bytes, of {}", self.bytes, limits::BYTES)))
            }
        }
    }
}

impl Table {
    fn bytes(&self) -> usize {
        self.rows.values().map(|cells| cell::size(cells)).sum()
    }

    fn summary(&self) -> Summary {
        let Definition { name, columns } = self.definition.clone();
        Summary { name, columns, rows: self.rows.len() }
    }

    fn row(&self, id: u64, cells: &[Cell]) -> Row {
        let names = self.definition.columns.iter().map(|column| column.name.clone());
        Row { id, cells: names.zip(cells.iter().cloned()).collect() }
    }

    fn find(&self, id: &str) -> Result<(u64, &[Cell]), Refused> {
        let found = id.parse().ok().and_then(|id| self.rows.get_key_value(&id));
        found.map(|(id, cells)| (*id, cells.as_slice())).ok_or_else(|| {
            let id: String = id.chars().take(limits::NAME).collect();
            Refused::nothing(format!("the table `{}` has no row `{id}`", self.definition.name))
        })
    }
}
