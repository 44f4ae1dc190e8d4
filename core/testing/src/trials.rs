//! Tests in a program with a `main` of its own: verification starts the program again, so `main` has to begin with a call that
//! the standard harness leaves no room for. Names, filters and output are the standard harness's.

use libtest_mimic::{Arguments, Failed, Trial};

/// What a test returns: `()` or a result.
pub trait Outcome {
    /// As the harness wants it.
    fn told(self) -> Result<(), Failed>;
}

impl Outcome for () {
    fn told(self) -> Result<(), Failed> {
        Ok(())
    }
}

/// The tests of one program.
#[derive(Default)]
pub struct Trials(Vec<Trial>);

impl std::fmt::Debug for Trials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} trials", self.0.len())
    }
}

impl Trials {
    /// Adds a test.
    #[must_use]
    pub fn add<O: Outcome>(mut self, name: &str, test: impl FnOnce() -> O + Send + 'static) -> Self {
        self.0.push(Trial::test(name, move || test().told()));
        self
    }

    /// Runs what the command line asks for, and ends the program.
    pub fn run(self) -> ! {
        libtest_mimic::run(&Arguments::from_args(), self.0).exit()
    }
}
