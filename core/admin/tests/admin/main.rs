//! The host's own paths over real sockets, with plugins that are only closures.

#![allow(unreachable_pub, reason = "a test program has no outside")]

mod admin;
mod control;
mod documents;
mod examining;
#[allow(dead_code, reason = "the tests of camlock-http need more of it")]
#[path = "../../../http/tests/http/fake.rs"]
mod fake;
mod following;
mod insiders;
mod installing;
mod lists;
mod roles;
#[allow(dead_code, reason = "the tests of camlock-http need more of it")]
#[path = "../../../http/tests/http/server.rs"]
mod server;
