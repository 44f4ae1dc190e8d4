//! The server over real sockets, with plugins that are only closures: dispatch, limits, and the host's own paths.

#![allow(unreachable_pub, reason = "a test program has no outside")]

mod admin;
mod clients;
mod control;
mod dispatch;
mod documents;
mod fake;
mod farewell;
mod following;
mod front;
mod installing;
mod lists;
mod roles;
mod server;
