//! `camlock page`: a link to the page that signs in, and a browser that follows it.

use crate::{
    Failed,
    client::{Client, Reach, read, run},
    print,
};
use camlock_api::PageAddress;
use clap::Args;
use http::Method;
use std::{
    env,
    io::{self, IsTerminal},
    process::{Command, Stdio},
};

#[derive(Args)]
pub(crate) struct PageArguments {
    /// Only print the link
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(crate) fn run_it(options: &PageArguments) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let answer = run(async { Ok(client.ask(Method::POST, "/api/v1/page/codes", None).await?) })?;
    let PageAddress { url } = read(&answer)?;
    print::line(&url);
    if !options.print && io::stdout().is_terminal() && has_screen() {
        // Where there is no such program, the link is there to be followed.
        let _ = Command::new("xdg-open").arg(&url).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    }
    Ok(())
}

fn has_screen() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}
