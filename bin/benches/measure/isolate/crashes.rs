//! What ends by itself: a plugin's own process, and the server's by a plugin in it. How soon it is answered again, and whether it is known
//! who it was. And what it costs that there is a parent.

use crate::common::{
    many,
    report::{Better, Row},
    servers::compare,
    watching::{Watcher, all_answer},
};
use camlock_testing::{Server, Site, request, single};
use std::{
    thread,
    time::{Duration, Instant},
};

const OTHERS: usize = 19;
const FAULTS: usize = 30;
/// Each of another plugin: only the first restart of one is at once.
const CRASHES: usize = 15;
const STARTS: usize = 10;

fn burden(site: &Site, name: &str) {
    site.write(&format!("plugins/{name}.rs"), include_str!("burden.rs.txt"));
}

/// Has it fail: in how many milliseconds this path is answered again.
fn after_a_fault(server: &Server, burden: &str, path: &str) -> f64 {
    let mut watcher = [Watcher::new(server.address, path)];
    let began = Instant::now();
    // The answer is that there is none.
    let _ = request(server.address, "GET", &format!("/api/v1/p/{burden}/fail"), &[]);
    (all_answer(&mut watcher, 200) - began).as_secs_f64() * 1e3
}

pub fn rows() -> Vec<Row> {
    let mut rows = vec![isolated()];
    rows.extend(in_process());
    rows.extend(with_a_parent());
    rows
}

fn isolated() -> Row {
    let site = Site::new(env!("CARGO_BIN_EXE_camlock"));
    site.configure("plugins.isolation = \"process\"");
    let names: Vec<String> = (0..CRASHES).map(|number| format!("burden{number}")).collect();
    names.iter().for_each(|name| burden(&site, name));
    let server = site.start_with(|command| _ = command.env("CAMLOCK_LOG", "off"));
    names.iter().for_each(|name| server.until_text(&format!("/api/v1/p/{name}/"), "well"));
    let crash = |name: &String| {
        let took = after_a_fault(&server, name, &format!("/api/v1/p/{name}/"));
        thread::sleep(Duration::from_millis(200));
        took
    };
    let times: Vec<f64> = names.iter().map(crash).collect();
    Row::median("crash of an isolated plugin → answered again", "ms", Better::Lower, &times).must(30.0, 10.0)
}

fn in_process() -> Vec<Row> {
    let site = Site::new(env!("CARGO_BIN_EXE_camlock"));
    burden(&site, "burden");
    for number in 0..OTHERS {
        site.write(&format!("plugins/other{number}.rs"), &single("other"));
    }
    let (mut times, mut named) = (Vec::new(), 0);
    for _ in 0..FAULTS {
        // Each in a server that was well until now: where many follow one another, the next one is let wait.
        let server = site.start_with_parent(|command| _ = command.env("CAMLOCK_LOG", "off"));
        assert!(server.act("POST", "/api/v1/plugins/burden/reload").status < 500);
        server.until_text("/api/v1/p/burden/", "well");
        for number in 0..OTHERS {
            server.until_text(&format!("/api/v1/p/other{number}/"), "other");
        }
        times.push(after_a_fault(&server, "burden", "/api/v1/p/other0/"));
        let told = |plugin: &serde_json::Value| plugin["state"] == "quarantined" || plugin["state"] == "serving";
        let plugin = server.until_plugin("burden", told);
        named += usize::from(plugin["state"] == "quarantined");
        server.end();
    }
    let worst = times.iter().copied().fold(0.0, f64::max);
    let missed = (FAULTS - named) as f64;
    vec![
        Row::median("fault in the process, 20 plugins → answered, p50", "ms", Better::Lower, &times).must(100.0, 50.0),
        Row::count("fault in the process → answered, worst of 30", "ms", Better::Lower, worst).must(250.0, 150.0),
        Row::count("faults in the process whose culprit was not named", "", Better::Lower, missed).must(0.0, 0.0),
    ]
}

fn with_a_parent() -> Vec<Row> {
    let site = many::some(env!("CARGO_BIN_EXE_camlock"), OTHERS + 1, "quick");
    let start = |parent: bool| {
        let change = |command: &mut std::process::Command| {
            command.env("CAMLOCK_LOG", "error").args(["--profile", "quick"]);
        };
        let began = Instant::now();
        let server = if parent { site.start_with_parent(change) } else { site.start_with(change) };
        server.until_status("/_/ready", 200);
        (server, began.elapsed().as_secs_f64())
    };
    let mut ratios = Vec::new();
    for pair in 0..STARTS {
        let took = |parent| {
            let (server, took) = start(parent);
            server.end();
            took
        };
        ratios.push(if pair % 2 == 0 {
            let without = took(false);
            without / took(true)
        } else {
            let with = took(true);
            took(false) / with
        });
    }
    let hello = b"GET /api/v1/p/many0/ HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let (with, without) = (site.beside("parent"), site.beside("none"));
    for site in [&with, &without] {
        site.write("plugins/many0.rs", &single("hello"));
    }
    let (with, without) = (with.start_with_parent(|_| {}), without.start());
    for server in [&with, &without] {
        server.until_text("/api/v1/p/many0/", "hello");
    }
    vec![
        Row::median("start with the parent: without ÷ with", "×", Better::Higher, &ratios).must(0.99, 1.0),
        compare("requests a second, with the parent ÷ without", hello, with.address, without.address).must(0.99, 1.0),
    ]
}
