//! Tests in a program with a `main` of its own: verification starts the program again, so `main` has to begin with a call that
//! the standard harness leaves no room for. Names, filters and output are the standard harness's.
//!
//! A function registers itself with `#[trial]`; `main` ends with [`run_trials`].

use libtest_mimic::{Arguments, Failed, Trial};
use std::{
    process::Command,
    sync::Mutex,
    time::{Duration, Instant},
};

/// What a test returns: `()` or a result.
pub trait Outcome {
    /// As the harness wants it.
    fn into_verdict(self) -> Result<(), Failed>;
}

impl Outcome for () {
    fn into_verdict(self) -> Result<(), Failed> {
        Ok(())
    }
}

/// A function that registered itself: under its module's path and its name, with what makes trials of it.
#[derive(Debug)]
pub struct Registered {
    module: &'static str,
    function: &'static str,
    make: fn(&str) -> Vec<Trial>,
}

inventory::collect!(Registered);

impl Registered {
    /// What `#[trial]` registers.
    pub const fn new(module: &'static str, function: &'static str, make: fn(&str) -> Vec<Trial>) -> Self {
        Registered { module, function, make }
    }

    /// The path within the test program: its modules, then the function.
    fn name(&self) -> String {
        match self.module.split_once("::") {
            Some((_program, modules)) => format!("{modules}::{}", self.function),
            None => self.function.to_owned(),
        }
    }
}

/// Trials that took long, and how long: whoever wants a run to be shorter begins with them.
static SLOW: Mutex<Vec<(Duration, String)>> = Mutex::new(Vec::new());

/// From here on a trial is long.
const LONG: Duration = Duration::from_secs(10);

/// One trial of a function: what `#[trial]` makes unless it is told otherwise.
pub fn one<O: Outcome>(name: &str, test: impl FnOnce() -> O + Send + 'static) -> Vec<Trial> {
    let told = name.to_owned();
    vec![Trial::test(name, move || {
        let begun = Instant::now();
        let verdict = test().into_verdict();
        if begun.elapsed() >= LONG {
            SLOW.lock().expect("nothing panics while it is held").push((begun.elapsed(), told));
        }
        verdict
    })]
}

/// One trial, in a process of its own: what is counted for a whole process is counted where nothing else runs.
pub fn in_a_process_of_its_own(name: &str, test: fn()) -> Vec<Trial> {
    const ALONE: &str = "CAMLOCK_TEST_ALONE";
    let own = name.to_owned();
    one(name, move || {
        if std::env::var_os(ALONE).is_some() {
            return test();
        }
        let program = std::env::current_exe().expect("this program");
        let output = Command::new(program).args([&own, "--exact"]).env(ALONE, "1").output().expect("it can be started");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{}\n{said}", output.status);
    })
}

/// How often a trial does something: so often in an everyday run, and many times that where `scripts/test --all` asks for it.
pub fn rounds(everyday: usize) -> usize {
    const MANY: &str = "CAMLOCK_TEST_ROUNDS";
    let times = std::env::var(MANY).map_or(1, |times| times.parse().expect("CAMLOCK_TEST_ROUNDS is a number"));
    everyday * times
}

/// Runs what the command line asks for of all trials that registered themselves, and ends the program.
pub fn run_trials() -> ! {
    let mut trials: Vec<Trial> =
        inventory::iter::<Registered>().flat_map(|registered| (registered.make)(&registered.name())).collect();
    trials.sort_by(|one, other| one.name().cmp(other.name()));
    let verdict = libtest_mimic::run(&Arguments::from_args(), trials);
    let mut slow = std::mem::take(&mut *SLOW.lock().expect("nothing panics while it is held"));
    slow.sort_by(|one, other| other.cmp(one));
    for (time, name) in slow {
        println!("{:>5} s  {name}", time.as_secs());
    }
    verdict.exit()
}
