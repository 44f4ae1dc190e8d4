//! What a plugin's SQL can reach, and what its migrations leave: real databases, and whatever an author might try.

mod carry;
mod corpus;
mod emitting;
mod postgres;
mod postgres_tricks;
mod purging;
#[path = "../shared/server.rs"]
mod server;
mod service;
mod sqlite;
mod sqlite_tricks;
