//! What operators ask for: a page of a list of thousands of plugins, and the metrics of a thousand that serve. And what requests
//! pay for being limited, traced and counted, against a plain axum server with layers that do the like.
//!
//! The thousand are one library, built once, under a thousand names: a name stands in it with as many letters, and where the symbol
//! of its entry is looked up, with the same hash.

use crate::common::{
    connection::Connection,
    many::some_at,
    pin,
    report::{Better, Row, finish},
    servers::{Peer, compare},
    sql::Shell,
};
use camlock_testing::{Fixtures, Server, Site, single};
use std::{
    fs,
    path::Path,
    process::{Command, ExitCode},
    time::Instant,
};

const PRESENT: usize = 50;
const REGISTERED: usize = 5_000;
const SERVING: usize = 1_000;
const SAMPLES: usize = 1_000;
const PROGRAM: &str = env!("CARGO_BIN_EXE_camlock");

pub fn run() -> ExitCode {
    let listed = pages();
    let scraped = metrics();
    finish(
        "admin",
        &[
            Row::p99("a page of 50 of 5,000 registered plugins, p99", "ms", &listed).must(10.0, 2.0),
            Row::median("the same, median", "ms", Better::Lower, &listed),
            Row::p99("/metrics with 1,000 plugins that serve, p99", "ms", &scraped).must(20.0, 10.0),
            Row::median("the same, median", "ms", Better::Lower, &scraped),
            with_everything_on(),
        ],
    )
}

/// Milliseconds of each page, from the first to the last and again from the first.
fn pages() -> Vec<f64> {
    let site = some_at(PROGRAM, "registered", PRESENT, "quick");
    let file = site.path(".camlock/registry.db");
    let server = site.start_with(|command| _ = command.env("CAMLOCK_LOG", "error"));
    server.until_status("/_/ready", 200);
    let mut shell = Shell::sqlite(&file);
    shell.run("DELETE FROM plugins WHERE source_path LIKE 'registered-%'");
    shell.register(REGISTERED - PRESENT - 1);
    drop(shell);
    server.until(|server| server.get_as_admin("/api/v1/plugins/registered-4949"), |answer| answer.status == 200);
    let token = fs::read_to_string(site.path(".camlock/admin-token")).expect("a token");
    let bearer = format!("authorization: Bearer {}\r\n", token.trim());
    let mut connection = Connection::new(server.address);
    let (mut cursor, mut seen, mut most) = (String::new(), 0, 0);
    let mut times = Vec::new();
    while times.len() < SAMPLES {
        let began = Instant::now();
        let (status, body) = connection.get(&format!("/api/v1/plugins?limit=50{cursor}"), &bearer);
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        assert_eq!(status, 200);
        let page: serde_json::Value = serde_json::from_slice(&body).expect("a page");
        seen += page["items"].as_array().expect("items").len();
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => {
                most = seen;
                (cursor, seen) = (String::new(), 0);
            }
        }
    }
    assert_eq!(most, REGISTERED, "with the one that is compiled in");
    server.end();
    times
}

/// Milliseconds of each look at the metrics, when each plugin has answered a request.
fn metrics() -> Vec<f64> {
    let site = Site::new(PROGRAM);
    let mut library = built(&site, &name(0));
    let places = places(&library, &name(0));
    for index in 0..SERVING {
        let name = name(index);
        for place in &places {
            library[*place..*place + name.len()].copy_from_slice(name.as_bytes());
        }
        fs::write(site.plugins().join(format!("{name}.so")), &library).expect("it can be written");
    }
    let server = site.start_with(|command| _ = command.env("CAMLOCK_LOG", "error"));
    server.until_status("/_/ready", 200);
    let mut connection = Connection::new(server.address);
    for index in 0..SERVING {
        let (status, answer) = connection.get(&format!("/api/v1/p/{}/", name(index)), "");
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    }
    let last = format!("plugin=\"{}\"", name(SERVING - 1));
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        let began = Instant::now();
        let (status, body) = connection.get("/metrics", "");
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        let told = |body: &[u8]| String::from_utf8_lossy(body).contains(&last);
        assert!(status == 200 && told(&body), "{status}");
    }
    server.end();
    times
}

/// One of a thousand names. In the hash of symbols, `h * 33 + c` for each character, `ar` is `c0`.
fn name(index: usize) -> String {
    (0..10).map(|bit| if index >> bit & 1 == 0 { "ar" } else { "c0" }).collect()
}

/// A plugin as a library.
fn built(site: &Site, name: &str) -> Vec<u8> {
    let (source, library) = (site.path(&format!("{name}.rs")), site.path("library.so"));
    fs::write(&source, single("one of a thousand")).expect("it can be written");
    let mut command = site.command();
    let status = command.arg("build").arg(&source).arg("-o").arg(&library).args(["--profile", "release"]).status();
    assert!(status.is_ok_and(|status| status.success()), "it can be built");
    fs::read(library).expect("it is there")
}

/// Where a name stands in a library.
fn places(library: &[u8], name: &str) -> Vec<usize> {
    let found = library.windows(name.len()).enumerate().filter(|(_, window)| *window == name.as_bytes());
    found.map(|(place, _)| place).collect()
}

/// Requests to a plugin of a real server with its defaults, against a plain server with layers. Each has one processor.
fn with_everything_on() -> Row {
    let (library, peer) = (Fixtures::release().library("hello"), Fixtures::peer(false));
    pin(0);
    let site = Site::new(PROGRAM);
    let ours = serving(&site, &library);
    let theirs = Peer::start(Command::new(peer).arg("layered"));
    pin(1);
    let request = b"GET /api/v1/p/hello/hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let row = compare("limited, traced, counted ÷ plain axum with layers", request, ours.address, theirs.address);
    ours.end();
    row.must(0.97, 1.0)
}

fn serving(site: &Site, library: &Path) -> Server {
    fs::copy(library, site.plugins().join("hello.so")).expect("it can be copied");
    let server = site.start_with(|command| _ = command.env("CAMLOCK_LOG", "info"));
    server.until_text("/api/v1/p/hello/hello", "Hello from a plugin!");
    server
}
