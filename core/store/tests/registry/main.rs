//! What holds of a registry, in whichever database: the same trials on both.

mod records;
mod sql;
mod world;

use camlock_testing::Trials;
use world::{Kind, World};

/// Runs a trial as a server would.
fn run<F: Future<Output = ()>>(trial: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(trial());
    runtime.shutdown_background();
}

macro_rules! both {
    ($trials:ident, $($module:ident: $($trial:ident)*;)*) => {$($(
        let name = concat!(stringify!($module), "::", stringify!($trial));
        $trials = $trials
            .add(&format!("sqlite::{name}"), || run(|| $module::$trial(World::new(Kind::Sqlite))))
            .add(&format!("postgres::{name}"), || run(|| $module::$trial(World::new(Kind::Postgres))));
    )*)*};
}

fn main() {
    let mut trials = Trials::default();
    both! { trials,
        records: newcomers decisions quarantine removed_and_back reports thousands;
        sql: toggle config delete_and_insert artifact_and_version in_bulk;
    }
    trials.run()
}
