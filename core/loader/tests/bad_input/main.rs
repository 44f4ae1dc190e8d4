//! Bad input: each is refused with one clear sentence, the process is unharmed, and nothing is left behind.

#![allow(unreachable_pub, reason = "a test program has no outside")]

mod alter;
mod constructors;
mod creates;
mod descriptions;
mod files;
mod layouts;
mod loading;
mod place;
mod restarted;
mod verdicts;

use camlock_testing::Trials;

fn main() {
    camlock_loader::run_verifier_if_asked();
    restarted::run_if_asked();
    let trials = [
        files::add,
        descriptions::add,
        layouts::add,
        constructors::add,
        creates::add,
        verdicts::add,
        loading::add,
        restarted::add,
    ]
    .into_iter()
    .fold(Trials::default(), |trials, add| add(trials));
    trials.run()
}
