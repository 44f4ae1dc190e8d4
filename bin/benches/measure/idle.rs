//! The resident memory of a server with thirty idle plugins, built as for production, against one with none: for each of them.

use crate::common::{
    many::{all_serve, some, start},
    memory::resident,
    report::{Better, Row, finish},
};
use camlock_testing::{Server, Site};
use std::{process::ExitCode, thread, time::Duration};

const RUNS: usize = 15;
const PLUGINS: usize = 30;
/// What loading took is given back after a second.
const QUIET: Duration = Duration::from_secs(4);

pub fn run() -> ExitCode {
    let program = env!("CARGO_BIN_EXE_camlock");
    let site = some(program, PLUGINS, "release");
    let full: Vec<f64> = (0..RUNS).map(|_| resident_with(&site, PLUGINS)).collect();
    drop(site);
    let empty_site = Site::new(program);
    let empty: Vec<f64> = (0..RUNS).map(|_| resident_with(&empty_site, 0)).collect();
    let empty = Row::median("", "", Better::Lower, &empty).value;
    let each: Vec<_> = full.iter().map(|full| (full - empty) / PLUGINS as f64).collect();
    let row = Row::median("resident memory for each idle plugin", "MB", Better::Lower, &each);
    finish("idle", &[row.must(0.5, 0.3)])
}

/// The resident memory of a server that has nothing to do, in MB.
fn resident_with(site: &Site, plugins: usize) -> f64 {
    let server: Server = start(site, "release");
    server.until_status("/_/ready", 200);
    if plugins > 0 {
        all_serve(&server, plugins);
    }
    thread::sleep(QUIET);
    let memory = resident(server.pid());
    server.end();
    memory
}
