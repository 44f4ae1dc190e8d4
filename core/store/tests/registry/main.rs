//! What holds of a registry, in whichever database: the same trials on both, and the faults that one of them alone can have.

mod catalogs;
mod copying;
mod discovery;
mod feed;
mod journal;
mod layouts;
mod opening;
mod records;
mod rollouts;
mod secrets;
mod sharing;
mod sql;
mod tls;
mod world;

use camlock_testing::{Trial, one, run_trials};
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

/// The trial in each database, named with it: `sqlite::sql::toggle`.
fn on_each_database<F: Future<Output = ()> + 'static>(name: &str, trial: fn(World) -> F) -> Vec<Trial> {
    in_both(name, move |kind| run(|| trial(World::new(kind))))
}

fn on_each_database_alone<F: Future<Output = ()> + 'static>(name: &str, trial: fn(World) -> F) -> Vec<Trial> {
    in_both(name, move |kind| run_alone(|| trial(World::new(kind))))
}

/// What only SQLite can have.
fn on_sqlite<F: Future<Output = ()> + 'static>(name: &str, trial: fn() -> F) -> Vec<Trial> {
    one(&format!("sqlite::{name}"), move || run(trial))
}

/// What only PostgreSQL can have.
fn on_postgres<F: Future<Output = ()> + 'static>(name: &str, trial: fn() -> F) -> Vec<Trial> {
    one(&format!("postgres::{name}"), move || run(trial))
}

fn in_both(name: &str, trial: impl Fn(Kind) + Copy + Send + 'static) -> Vec<Trial> {
    let databases = [("sqlite", Kind::Sqlite), ("postgres", Kind::Postgres)];
    databases
        .into_iter()
        .flat_map(|(database, kind)| one(&format!("{database}::{name}"), move || trial(kind)))
        .collect()
}

fn main() {
    if let Ok(url) = std::env::var(OTHER) {
        return run(|| feed::other_process(&url));
    }
    if let Ok(url) = std::env::var(FULL) {
        return run(|| feed::full_process(&url));
    }
    run_trials()
}
