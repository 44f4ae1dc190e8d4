//! Discovery against a forge that speaks GitHub's API over a socket, with all that such a forge may answer.

#![allow(unreachable_pub, reason = "a test program has no outside")]

mod forges;
#[allow(dead_code, reason = "other programs need more of it")]
mod github;
mod manifests;
mod scans;
mod webhooks;
