//! The tables in the database: which there are, and how they come and go. What must not live here: rows.

use crate::{
    limits,
    problem::{OrRefused, Refused},
    schema::{self, Change, Column, Definition, ID, Type, UserTable},
    settings::Settings,
    sql::Engine,
};
use camlock_plugin::{Host, HostError, HostErrorCode, database::Database};
use std::{
    sync::{OnceLock, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

pub struct Store {
    host: Host,
    /// Which database it is, once that was asked.
    dialect: OnceLock<Engine>,
    settings: RwLock<Settings>,
}

/// A table, and which revision of it that is.
pub struct Known {
    pub table: UserTable,
    revision: i64,
}

impl Store {
    pub fn new(host: Host, settings: Settings) -> Self {
        Store { host, dialect: OnceLock::new(), settings: RwLock::new(settings) }
    }

    pub fn database(&self) -> Database {
        self.host.database()
    }

    /// How many rows an answer has at most.
    pub fn max_rows(&self) -> Option<u64> {
        let settings = self.settings.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        settings.max_rows.map(u64::from)
    }

    pub fn set(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = settings;
    }

    pub async fn dialect(&self) -> OrRefused<Engine> {
        if let Some(dialect) = self.dialect.get() {
            return Ok(*dialect);
        }
        let row = self.database().query(Engine::QUESTION, ()).await?.into_one().await?;
        Ok(*self.dialect.get_or_init(|| Engine::of_answer(row.get::<i64>("is_sqlite").unwrap_or(0) == 1)))
    }

    /// All tables, by their names.
    pub async fn tables(&self) -> OrRefused<Vec<UserTable>> {
        Ok(self.known().await?.into_iter().map(|known| known.table).collect())
    }

    async fn known(&self) -> OrRefused<Vec<Known>> {
        let question = "SELECT revision, definition FROM p_powertable__tables ORDER BY name";
        let mut rows = self.database().query(question, ()).await?;
        let mut known = Vec::new();
        while let Some(row) = rows.next().await? {
            known.push(Known { revision: row.get("revision")?, table: read(&row.get::<String>("definition")?)? });
        }
        Ok(known)
    }

    pub async fn table(&self, name: &str) -> OrRefused<UserTable> {
        let question = "SELECT definition FROM p_powertable__tables WHERE name = $1";
        // PostgreSQL would not take it at all.
        if name.contains('\0') {
            return Err(Refused::no_table(name));
        }
        let row = self.database().query(question, [name]).await?.next().await?;
        let row = row.ok_or_else(|| Refused::no_table(name))?;
        read(&row.get::<String>("definition")?)
    }

    /// Makes a table.
    pub async fn create(&self, definition: Definition) -> OrRefused<UserTable> {
        let table = definition.check()?;
        let known = self.known().await?;
        if known.iter().any(|known| known.table.name == table.name) {
            return Err(Refused::conflict(format!("there is a table `{}` already", table.name)));
        }
        if known.len() >= limits::TABLES {
            let count = limits::TABLES;
            return Err(Refused::conflict(format!("there are {count} tables, and no more are kept")));
        }
        for kept in &table.columns {
            leads_somewhere(&kept.column, &table, &known)?;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let revision = i64::try_from(now).unwrap_or_default();
        self.define(schema::created(&table, revision, self.dialect().await?)).await?;
        Ok(table)
    }

    /// Changes a table.
    pub async fn change(&self, name: &str, change: &Change) -> OrRefused<UserTable> {
        let known = self.known().await?;
        let before = known.iter().find(|known| known.table.name == name).ok_or_else(|| Refused::no_table(name))?;
        let after = change.apply(&before.table)?;
        match change {
            Change::AddColumn(column) => leads_somewhere(column, &after, &known)?,
            Change::DropColumn(column)
            | Change::RenameColumn { from: column, .. }
            | Change::SetUnique { column, unique: false } => referred_to(name, Some(column), &known)?,
            Change::SetUnique { unique: true, .. } => {}
        }
        let dialect = self.dialect().await?;
        self.define(schema::changed(&before.table, change, &after, before.revision, dialect)).await?;
        Ok(after)
    }

    /// Drops a table with all its rows.
    pub async fn drop_table(&self, name: &str) -> OrRefused<()> {
        let known = self.known().await?;
        if !known.iter().any(|known| known.table.name == name) {
            return Err(Refused::no_table(name));
        }
        referred_to(name, None, &known)?;
        self.define(schema::dropped(name)).await
    }

    /// Lets the next id of a table follow those that were given: PostgreSQL does not look at them by itself.
    pub async fn count_on(&self, table: &UserTable) -> OrRefused<()> {
        let name = table.stored();
        let sql = format!("SELECT setval('{name}_id_seq', (SELECT max({ID}) FROM {name}))");
        self.database().define(sql).await.map_err(Refused::from)
    }

    async fn define(&self, sql: String) -> OrRefused<()> {
        self.database().define(sql).await.map_err(not_defined)
    }
}

fn read(definition: &str) -> OrRefused<UserTable> {
    serde_json::from_str(definition).map_err(|error| {
        let words = format!("what is on record of a table cannot be read: {error}");
        Refused::from(HostError::new(HostErrorCode::Unavailable, words))
    })
}

fn not_defined(error: HostError) -> Refused {
    let refused = Refused::from(error.clone());
    if error.code != HostErrorCode::Invalid {
        return refused;
    }
    let message = match error.message.contains("p_powertable__tables") {
        true => "somebody else changed that table meanwhile: look at it, and try again",
        false => "the rows that are there, or other tables, do not go with it",
    };
    Refused { message: message.to_owned(), ..Refused::conflict("") }.with_details(refused.details.unwrap_or_default())
}

/// A foreign key leads to a column that is unique, of a table that is there.
fn leads_somewhere(column: &Column, own: &UserTable, known: &[Known]) -> OrRefused<()> {
    let Some(reference) = &column.references else { return Ok(()) };
    let others = known.iter().map(|known| &known.table);
    let to = std::iter::once(own).chain(others).find(|table| table.name == reference.table);
    let to = to.ok_or_else(|| Refused::unfit(format!("`{}` refers to a table that is not there", column.name)))?;
    let kind = if reference.column == ID {
        Type::Integer
    } else {
        let unique = to.find(&reference.column).filter(|column| column.unique);
        let lacks = || Refused::unfit(format!("`{}` refers to a column that is not there, or not unique", column.name));
        unique.ok_or_else(lacks)?.kind
    };
    match kind == column.kind {
        true => Ok(()),
        false => Err(Refused::unfit(format!("`{}` holds {}, what it refers to {kind}", column.name, column.kind))),
    }
}

/// What others refer to stays as it is.
fn referred_to(name: &str, column: Option<&str>, known: &[Known]) -> OrRefused<()> {
    for Known { table, .. } in known {
        for kept in &table.columns {
            let Some(reference) = &kept.column.references else { continue };
            let own = column.is_none() && table.name == name;
            if reference.table == name && !own && column.is_none_or(|column| reference.column == column) {
                let from = &kept.column.name;
                return Err(Refused::conflict(format!("the column `{from}` of `{}` refers to it", table.name)));
            }
        }
    }
    Ok(())
}
