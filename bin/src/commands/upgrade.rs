//! `camlock upgrade`: another program in the place of the one that serves.
//!
//! The server says who its parent is, the parent is told by a signal, and the server says what came of it. What must not live here: how
//! that is done.

use crate::{
    Failed,
    client::{Client, Reach, read, run},
    print,
};
use camlock_api::ServerHealth;
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, Instant};
use tokio::time::sleep;

#[derive(Args)]
pub(crate) struct UpgradeOptions {
    #[command(flatten)]
    reach: Reach,
}

/// The parent gives the new one five minutes.
const PATIENCE: Duration = Duration::from_secs(330);
const LOOK: Duration = Duration::from_millis(100);

pub(crate) fn run_it(options: &UpgradeOptions) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    run(async {
        let before = health(&client).await?;
        let (parent, process) = parent_of(&before)?;
        kill_process(parent, Signal::HUP).map_err(|error| {
            format!("process {} cannot be signalled: {error} (run this as the server's user)", parent.as_raw_nonzero())
        })?;
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            sleep(LOOK).await;
            // For a moment there may be two, and either may answer.
            let Ok(now) = health(&client).await else { continue };
            if now.process == Some(process) {
                match now.failed_upgrades.filter(|failed| before.failed_upgrades.as_ref() != Some(failed)) {
                    Some(failed) => return Err(format!("what served goes on: {}", failed.reason).into()),
                    None => continue,
                }
            }
            if now.parent == before.parent && is_gone(process) {
                print::line(format!("camlock {} serves in the place of camlock {}", now.version, before.version));
                return Ok(());
            }
        }
        Err(format!("nothing came of it in {} s: see the server's log", PATIENCE.as_secs()).into())
    })
}

async fn health(client: &Client) -> Result<ServerHealth, Failed> {
    read(&client.get("/_/health").await?)
}

fn parent_of(health: &ServerHealth) -> Result<(Pid, u32), Failed> {
    let alone = "the server has no parent (`--no-parent`, or a program of somebody else): end it, and start it again";
    let parent = health.parent.and_then(|parent| Pid::from_raw(parent.cast_signed()));
    Ok((parent.ok_or(alone)?, health.process.ok_or(alone)?))
}

/// What it began may take its time; then it is replaced all the same.
fn is_gone(process: u32) -> bool {
    Pid::from_raw(process.cast_signed()).is_none_or(|process| rustix::process::test_kill_process(process).is_err())
}
