//! The fence on PostgreSQL: roles.
//!
//! A plugin has two roles, and both log in, on connections of their own; `SET ROLE` on a connection of the host's would be no fence,
//! for whoever can run SQL there can take it back. The role for run time has rights on the rows of the plugin's tables and on nothing
//! else. The one for migrations owns these tables and may make some; only the host knows its password, and uses it for one
//! migration at a time, whose transaction ends with a look at the catalog ([`catalog`]).
//!
//! What ends the transaction is the host alone: a migration runs as one `EXECUTE`, in which PostgreSQL allows no `COMMIT`. Its record
//! is written in the same transaction, by a function that asks for a ticket ([`migrate`]). The lock is a row that plugins do not
//! see. What must not live here: connecting, and pools.
//!
//! What a role may always do to itself: change its own password and settings, and on old servers make others its members.
//! [`ensure_roles`] sets all of that right again; none of it gives it what it had not. Settings such as `statement_timeout` are
//! defaults that a session may change: whoever runs a plugin's statements caps them too.

mod catalog;
mod kept;
mod migrate;
mod rights;
mod roles;

pub(in crate::database) use kept::kept;
pub(in crate::database) use migrate::on_record;
pub use migrate::{applied, drop_tables, migrate};
pub use rights::let_by_sql;
pub use roles::{PluginRoles, RoleLimits, RolePasswords, ensure_roles, has_roles, passwords};
pub(in crate::database) use roles::{turn_to_purge, unavailable};
