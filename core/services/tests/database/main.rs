//! What a plugin's SQL can reach, and what its migrations leave: real databases, and whatever an author might try.

mod corpus;
mod postgres;
mod postgres_tricks;
mod service;
mod sqlite;
mod sqlite_tricks;
