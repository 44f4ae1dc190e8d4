//! Bad input: each is refused with one clear sentence, the process is unharmed, and nothing is left behind.

#![allow(unreachable_pub, reason = "a test program has no outside")]

mod constructors;
mod creates;
mod descriptions;
mod files;
mod layouts;
mod loading;
mod place;
mod restarted;
mod verdicts;

fn main() {
    camlock_loader::run_verifier_if_asked();
    restarted::run_if_asked();
    camlock_testing::run_trials()
}
