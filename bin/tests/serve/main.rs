//! `camlock serve` as its operators and plugin authors see it: real files, real builds, real HTTP.

mod bad_input;
mod contained;
mod crashes;
mod few_descriptors;
mod grants;
mod held;
mod included;
mod killed;
mod matrix;
mod niceness;
mod processes;
mod purged;
mod sealed;
mod secrets;
mod sources;
mod stored;
mod story;
mod synced;
mod unit;
mod upgraded;
mod usage;

use camlock_testing::Site;

/// A site for this program.
fn site() -> Site {
    Site::new(env!("CARGO_BIN_EXE_camlock"))
}
