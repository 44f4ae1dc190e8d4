//! The place where plugins' data lies: a file of its own beside a registry in SQLite, or the registry's schema in PostgreSQL; with
//! threads or connections of its own in both, so that no plugin is in the registry's way.
//!
//! What must not live here: what is kept there, and who may.

mod budget;
mod pool;
mod postgres;
mod shares;
mod sqlite;
mod turns;

pub use postgres::{Login, PostgresConnections, PostgresLink, PostgresMessages, PostgresServer};
pub use shares::{OthersServed, ServiceShares, SlowedAsks};
pub use sqlite::SqliteFile;

pub(crate) use pool::{Pool, PoolTurn};
pub(crate) use postgres::{PooledConnection, drive, open};
pub(crate) use shares::IdleTime;

use camlock_policy::{AskError, AskErrorCode};
use std::time::Duration;

/// What nobody has used for so long is closed.
const IDLE: Duration = Duration::from_secs(10);

/// So much of one plugin may wait at once.
const WAITING: usize = 512;

/// Where plugins' data lies. Cheap to clone.
#[derive(Clone, Debug)]
pub enum PluginData {
    /// In a file.
    Sqlite(SqliteFile),
    /// In the registry's schema.
    Postgres(PostgresConnections),
}

/// It cannot be done now.
pub(crate) fn unavailable(why: impl std::fmt::Display) -> AskError {
    AskError::new(AskErrorCode::Unavailable, format!("plugins' data cannot be reached now: {why}"))
}

fn too_many() -> AskError {
    AskError::new(AskErrorCode::Limit, format!("{WAITING} asks of the plugin are waiting for its data already"))
}
