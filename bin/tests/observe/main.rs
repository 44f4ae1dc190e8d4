//! What operators see of a running server from outside: logs and their levels, reports to Sentry, and that no secret is in any of
//! it.

mod ask;
mod canaries;
mod inbox;
mod levels;
mod reports;

use camlock_testing::Site;

/// A site for this program.
fn site() -> Site {
    Site::new(env!("CARGO_BIN_EXE_camlock"))
}
