//! `camlock migrate`: what it is told. It joins the commands with the registry's database.

use crate::config::Flags;
use clap::Args;

#[derive(Args)]
#[allow(dead_code, reason = "read once the registry's database is there")]
pub(crate) struct Options {
    /// Only say whether the schema is up to date: exit code 1 if it is not
    #[arg(long, conflicts_with_all = ["from", "to"])]
    check: bool,
    /// Copy the registry at this URL …
    #[arg(long, value_name = "URL", requires = "to")]
    from: Option<String>,
    /// … to the empty one at this URL
    #[arg(long, value_name = "URL", requires = "from")]
    to: Option<String>,
    #[command(flatten)]
    flags: Flags,
}
