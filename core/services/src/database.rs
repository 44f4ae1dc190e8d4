//! A plugin's own tables: how they are named, which migrations run when, and the fence that keeps a plugin's SQL to them.
//!
//! The parser ([`lint`]) makes the good message; the fence is the database: SQLite's authorizer and a look at its catalog
//! ([`sqlite`]), roles of PostgreSQL and a look at its catalog ([`postgres`]). [`PluginTables`] puts it together for a server. What must
//! not live here: when in a plugin's life migrations run, which the supervisor decides.

pub mod carry;
mod change;
mod error;
mod kept;
pub mod lint;
pub mod names;
pub mod plan;
pub mod postgres;
pub mod service;
pub mod sqlite;
mod tables;

pub use change::TableChange;
pub use error::MigrationError;
pub use tables::{KnownPlugin, PluginTables};
