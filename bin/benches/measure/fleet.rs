//! Five servers on one machine with one PostgreSQL, each with directories of its own: from the moment at which one UPDATE is
//! committed until all five have switched.

use crate::common::{
    report::{Better, Row, finish},
    sql::Shell,
    watching::{Watcher, all_answer},
};
use camlock_testing::{Postgres, Server, Site, single};
use std::{
    fs,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

const NODES: usize = 5;
const SAMPLES: usize = 320;
const WARM_UP: usize = 10;
/// What is left to be done elsewhere when the routes have changed, such as unloading and reporting.
const REST: Duration = Duration::from_millis(100);

pub fn run() -> ExitCode {
    let postgres = Postgres::start();
    let url = postgres.database();
    let site = Site::new(env!("CARGO_BIN_EXE_camlock"));
    let servers: Vec<Server> = (0..NODES).map(|node| start(&site, node, &url)).collect();
    for server in &servers {
        server.until_text("/api/v1/p/toggled/", "on");
    }
    let known = postgres.sql(&url, "SELECT count(*) FROM camlock.nodes");
    assert_eq!(known, NODES.to_string(), "all of them are in the fleet");

    let mut shell = Shell::postgres(&url);
    let mut watchers: Vec<_> =
        servers.iter().map(|server| Watcher::new(server.address, "/api/v1/p/toggled/")).collect();
    let (mut off, mut on) = (Vec::new(), Vec::new());
    for _ in 0..SAMPLES + WARM_UP {
        for (enabled, status, times) in [("false", 503, &mut off), ("true", 200, &mut on)] {
            shell.run(&format!("UPDATE camlock.plugins SET enabled = {enabled} WHERE name = 'toggled'"));
            let committed = Instant::now();
            times.push((all_answer(&mut watchers, status) - committed).as_secs_f64() * 1000.0);
            thread::sleep(REST);
        }
    }
    let (off, on) = (off.split_off(WARM_UP), on.split_off(WARM_UP));
    drop(shell);
    servers.into_iter().for_each(|server| drop(server.end()));
    finish(
        "fleet",
        &[
            Row::p99("one UPDATE enables → all of 5 nodes answer, p99", "ms", &on).must(250.0, 100.0),
            Row::median("one UPDATE enables → all of 5 nodes answer, median", "ms", Better::Lower, &on),
            Row::p99("one UPDATE disables → all of 5 nodes refuse, p99", "ms", &off).must(250.0, 100.0),
        ],
    )
}

/// A node with the plugin in its own directory.
fn start(site: &Site, node: usize, url: &str) -> Server {
    site.write(&format!("node-{node}/plugins/toggled.rs"), &single("on"));
    let (plugins, data) = (site.path(&format!("node-{node}/plugins")), site.path(&format!("node-{node}/data")));
    fs::create_dir_all(&data).expect("a directory");
    site.start_with(|command| {
        command.env("CAMLOCK_LOG", "error").args(["--database-url", url]);
        command.arg("--plugins").arg(plugins).arg("--data").arg(data);
    })
}
