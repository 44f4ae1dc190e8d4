//! Two hundred plugins on disk, built once by the program itself and kept for the next time.

use camlock_testing::{Server, Site, repository, single};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

pub const MANY: usize = 200;

/// A site with so many plugins, all of them built, and none running.
pub fn many(program: &'static str) -> Site {
    let site = Site::at(program, repository().join("target/bench/many"));
    for index in 0..MANY {
        let path = site.plugins().join(format!("many{index}.rs"));
        let text = single(&format!("number {index}"));
        if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            fs::write(path, text).expect("it can be written");
        }
    }
    eprintln!("building {MANY} plugins, unless they are built");
    let server = start(&site);
    let (mut most, mut since) = (0, Instant::now());
    while most < MANY {
        let plugins = server.get("/plugins").json();
        let serving = plugins["items"].as_array().map_or(0, |plugins| {
            plugins.iter().filter(|plugin| plugin["state"] == "serving" && plugin["kind"] == "dynamic").count()
        });
        if serving > most {
            (most, since) = (serving, Instant::now());
        }
        assert!(since.elapsed() < Duration::from_secs(120), "none was built for two minutes: {}", server.printed());
        thread::sleep(Duration::from_millis(500));
    }
    all_serve(&server);
    server.end();
    site
}

/// A server. Its plugins are built with the profile `quick`: 200 of them take minutes with it, and a quarter of an hour with
/// `release`; they are larger, so what is measured of them is rather too much.
pub fn start(site: &Site) -> Server {
    site.start_with(|command| _ = command.env("CAMLOCK_LOG", "error"))
}

/// Waits until all of them serve.
pub fn all_serve(server: &Server) {
    server.until_status("/_/ready", 200);
    for index in [0, MANY - 1] {
        let answer = server.get(&format!("/api/v1/p/many{index}/"));
        assert_eq!(answer.text, format!("number {index}"), "{}", server.printed());
    }
}
