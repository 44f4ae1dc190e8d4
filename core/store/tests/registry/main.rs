//! What holds of a registry, in whichever database: the same trials on both, and the faults that one of them alone can have.

mod copying;
mod feed;
mod journal;
mod opening;
mod records;
mod rollouts;
mod sharing;
mod sql;
mod world;

use camlock_testing::Trials;
use std::sync::{PoisonError, RwLock};
use world::{Kind, World};

/// With these in its environment the program is another process of a trial.
const OTHER: &str = "TEST_OTHER_PROCESS";
const FULL: &str = "TEST_FULL_DISK";

/// Held by every trial, and by one that counts what is done in some time for itself: others would have it wait.
static MACHINE: RwLock<()> = RwLock::new(());

/// Runs a trial as a server would.
fn run<F: Future<Output = ()>>(trial: impl FnOnce() -> F) {
    let _shared = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    as_a_server(trial);
}

/// The same, while no other trial runs.
fn run_alone<F: Future<Output = ()>>(trial: impl FnOnce() -> F) {
    let _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    as_a_server(trial);
}

fn as_a_server<F: Future<Output = ()>>(trial: impl FnOnce() -> F) {
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

macro_rules! one {
    ($trials:ident, $($database:ident $module:ident: $($trial:ident)*;)*) => {$($(
        let name = concat!(stringify!($database), "::", stringify!($module), "::", stringify!($trial));
        $trials = $trials.add(name, || run($module::$trial));
    )*)*};
}

fn main() {
    if let Ok(url) = std::env::var(OTHER) {
        return run(|| feed::other_process(&url));
    }
    if let Ok(url) = std::env::var(FULL) {
        return run(|| feed::full_process(&url));
    }
    let mut trials = Trials::default();
    both! { trials,
        records: newcomers decisions quarantine removed_and_back reports thousands;
        sql: toggle config delete_and_insert artifact_and_version in_bulk;
        journal: each_decision_once notes_in_order a_late_commit the_old_is_pruned the_end_writes_what_is_left;
        rollouts: alone all_are_ready all_at_once one_cannot one_is_silent a_newer_proposal something_else_meanwhile
            who_is_gone_is_not_asked who_lags;
        sharing: one_builds_the_others_fetch the_first_counts a_right_is_renewed a_holder_that_stands_still
            a_holder_that_died nobody_waits_for_itself bytes_are_for_others the_oldest_bytes_go tokens;
        opening: up_and_down an_older_schema a_newer_schema somebody_elses several_at_once an_id_that_stays;
        copying: everything while_it_is_used what_is_refused;
        feed: own_changes_and_others ten_thousand_in_a_second;
    }
    for (name, kind) in [("sqlite", Kind::Sqlite), ("postgres", Kind::Postgres)] {
        let at_rest = move || run_alone(|| feed::at_rest(World::new(kind)));
        trials = trials.add(&format!("{name}::feed::at_rest"), at_rest);
    }
    one! { trials,
        postgres opening: not_let_in not_there_at_first a_row_is_held restored;
        postgres copying: the_order_of_transactions;
        postgres feed: what_is_not_ours any_search_path connections_are_cut killed_under_load paused;
        sqlite opening: damaged locked;
        sqlite copying: what_is_odd it_breaks_off;
        sqlite feed: two_processes a_full_disk;
    }
    trials.run()
}
