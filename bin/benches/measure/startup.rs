//! Two hundred unchanged plugins: from the start of the process until all of them serve, for each.

use crate::common::{
    many::{MANY, all_serve, many, start},
    report::{Better, Row, finish},
};
use std::{process::ExitCode, time::Instant};

const RUNS: usize = 31;

pub fn run() -> ExitCode {
    let site = many(env!("CARGO_BIN_EXE_camlock"));
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let began = Instant::now();
        let server = start(&site, "quick");
        server.until_status("/_/ready", 200);
        times.push(began.elapsed().as_secs_f64() * 1000.0 / MANY as f64);
        all_serve(&server, MANY);
        server.end();
    }
    let row = Row::median("start → all of 200 plugins serve, for each", "ms", Better::Lower, &times);
    finish("startup", &[row.must(3.0, 2.0)])
}
