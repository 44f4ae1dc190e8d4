//! Many plugins on disk, built once by the program itself and kept for the next time.

use camlock_testing::{Server, Site, repository, single};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

pub const MANY: usize = 200;

/// A site with two hundred plugins, all of them built with the profile `quick`, and none running. With `release` it would take
/// a quarter of an hour to build them.
pub fn many(program: &'static str) -> Site {
    some(program, MANY, "quick")
}

/// A site with so many plugins, built with a profile.
pub fn some(program: &'static str, count: usize, profile: &str) -> Site {
    some_at(program, profile, count, profile)
}

/// The same in a place of its own.
pub fn some_at(program: &'static str, place: &str, wanted: usize, profile: &str) -> Site {
    let site = Site::at(program, repository().join("target/bench").join(place));
    for index in 0..wanted {
        let path = site.plugins().join(format!("many{index}.rs"));
        let text = single(&format!("number {index}"));
        if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            fs::write(path, text).expect("it can be written");
        }
    }
    eprintln!("building {wanted} plugins, unless they are built");
    let server = start(&site, profile);
    let (mut most, mut since) = (0, Instant::now());
    while most < wanted {
        let count = serving(&server);
        if count > most {
            (most, since) = (count, Instant::now());
        }
        assert!(since.elapsed() < Duration::from_secs(120), "none was built for two minutes: {}", server.printed());
        thread::sleep(Duration::from_millis(500));
    }
    all_serve(&server, wanted);
    server.end();
    site
}

/// A server of such a site.
pub fn start(site: &Site, profile: &str) -> Server {
    site.start_with(|command| _ = command.env("CAMLOCK_LOG", "error").args(["--profile", profile]))
}

/// How many plugins serve that were loaded.
pub fn serving(server: &Server) -> usize {
    let plugins = server.get("/plugins?limit=500").json();
    plugins["items"].as_array().map_or(0, |plugins| {
        plugins.iter().filter(|plugin| plugin["state"] == "serving" && plugin["kind"] == "dynamic").count()
    })
}

/// Waits until all of them serve.
pub fn all_serve(server: &Server, count: usize) {
    server.until_status("/_/ready", 200);
    for index in [0, count - 1] {
        let answer = server.get(&format!("/api/v1/p/many{index}/"));
        assert_eq!(answer.text, format!("number {index}"), "{}", server.printed());
    }
}
