//! Connections and dispatch over real sockets, with plugins that are only closures.

#![allow(unreachable_pub, reason = "a test program has no outside")]

mod clients;
mod dispatch;
mod fake;
mod farewell;
mod front;
mod mounts;
mod server;
mod slow_clients;
mod tls;
