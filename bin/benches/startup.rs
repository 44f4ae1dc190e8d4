//! Two hundred unchanged plugins: from the start of the process until all of them serve, for each; and the memory that each of
//! them takes while it is idle.

#![allow(unreachable_pub, reason = "a benchmark has no outside")]

mod common;

use camlock_testing::{Server, Site};
use common::{
    many::{MANY, all_serve, many, start},
    report::{Better, Row, finish},
};
use std::{fs, process::ExitCode, time::Instant};

const RUNS: usize = 15;

fn main() -> ExitCode {
    let program = env!("CARGO_BIN_EXE_camlock");
    let site = many(program);
    let mut times = Vec::new();
    let mut full = Vec::new();
    for _ in 0..RUNS {
        let began = Instant::now();
        let server = start(&site);
        server.until_status("/_/ready", 200);
        times.push(began.elapsed().as_secs_f64() * 1000.0 / MANY as f64);
        all_serve(&server);
        full.push(resident(&server));
        server.end();
    }
    drop(site);
    let empty_site = Site::new(program);
    let empty: Vec<f64> = (0..RUNS)
        .map(|_| {
            let server = start(&empty_site);
            server.until_status("/_/ready", 200);
            let resident = resident(&server);
            server.end();
            resident
        })
        .collect();
    let empty = Row::median("", "", Better::Lower, &empty).value;
    let each: Vec<_> = full.iter().map(|full| (full - empty) / MANY as f64).collect();
    finish(
        "startup",
        &[Row::median("start → all of 200 plugins serve, for each", "ms", Better::Lower, &times).must(10.0, 3.0)],
    );
    finish("idle", &[Row::median("resident memory for each idle plugin", "MB", Better::Lower, &each).must(1.0, 0.3)])
}

/// The process's resident memory in MB.
fn resident(server: &Server) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its resident memory");
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024.0 / 1e6
}
