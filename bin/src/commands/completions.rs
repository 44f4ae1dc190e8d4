//! `camlock completions`.

use crate::Failed;
use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

#[derive(Args)]
pub(crate) struct CompletionsOptions {
    /// The shell
    shell: Shell,
}

pub(crate) fn run_it(options: &CompletionsOptions) -> Result<(), Failed> {
    let mut script = Vec::new();
    generate(options.shell, &mut crate::Arguments::command(), "camlock", &mut script);
    crate::print::line(String::from_utf8_lossy(&script).trim_end());
    Ok(())
}
