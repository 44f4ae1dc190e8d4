//! The fence on SQLite. All plugins' tables lie in one file, beside what the host keeps there, and every connection is the host's.
//!
//! What a plugin's statement may do is decided when it is prepared, by SQLite's authorizer ([`authorizer`]): to its own tables' rows,
//! and nothing else but the table `camlock_plugins`, which it may read. It does not see the names of other plugins' tables: the catalog cannot be read at run time. A migration may
//! make and change tables besides, in a transaction at whose end the host looks at the whole catalog ([`catalog`]), for the
//! authorizer never sees the new name of `ALTER TABLE … RENAME TO`. What must not live here: opening files, and pools.

mod authorizer;
mod catalog;
mod kept;
mod migrate;

pub use authorizer::{AsPlugin, FencedConnection};
pub(in crate::database) use catalog::{of_plugins, own};
pub(in crate::database) use kept::kept;
pub(in crate::database) use migrate::all_applied;
pub use migrate::{applied, drop_tables, migrate, prepare, tell_plugins};
