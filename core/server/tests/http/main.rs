//! The server over real sockets, with plugins that are only closures: dispatch, limits, and the host's own paths.

#![allow(unreachable_pub, reason = "a test program has no outside")]

mod control;
mod dispatch;
mod fake;
mod farewell;
mod front;
mod server;
