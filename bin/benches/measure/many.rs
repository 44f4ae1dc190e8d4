//! Two hundred single files that are dropped at once into the empty directory of a server that has built nothing yet, with the
//! settings that a server has by default: until all of them serve, and what memory the server has then.

use crate::common::{
    many::{MANY, all_serve, serving},
    memory::resident,
    report::{Better, Row, finish},
};
use camlock_testing::{Site, single};
use std::{
    fs,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

/// None is longer without a new one: the first of them compiles what all depend on.
const PATIENCE: Duration = Duration::from_secs(300);
/// What building and loading took is given back after a second.
const QUIET: Duration = Duration::from_secs(4);

pub fn run() -> ExitCode {
    let site = Site::new(env!("CARGO_BIN_EXE_camlock"));
    // Nothing is taken from what other measurements built.
    site.write("camlock.toml", "");
    let server = site.start_with(|command| _ = command.env("CAMLOCK_LOG", "error").args(["--profile", "release"]));
    let began = Instant::now();
    for index in 0..MANY {
        fs::write(site.plugins().join(format!("many{index}.rs")), single(&format!("number {index}")))
            .expect("it can be written");
    }
    let (mut most, mut since) = (0, Instant::now());
    while most < MANY {
        let count = serving(&server);
        if count > most {
            (most, since) = (count, Instant::now());
            eprintln!("{most} of {MANY} serve after {:.0} s", began.elapsed().as_secs_f64());
        }
        assert!(since.elapsed() < PATIENCE, "no more for {PATIENCE:?}: {}", server.printed());
        thread::sleep(Duration::from_millis(500));
    }
    let took = began.elapsed().as_secs_f64();
    all_serve(&server, MANY);
    thread::sleep(QUIET);
    let memory = resident(server.pid());
    server.end();
    let rows = [
        Row::count("200 single files at once → all of them serve", "s", Better::Lower, took).must(360.0, 200.0),
        Row::count("resident memory with all of them", "MB", Better::Lower, memory).must(250.0, 150.0),
    ];
    finish("many", &rows)
}
