//! Who gives way to whom where all processors are busy: chores to requests, and no thread of a plugin to anybody.

use crate::site;
use camlock_testing::Server;
use std::{collections::BTreeMap, fs};

/// Starts threads wherever a plugin's code runs. They end when their senders go with the plugin.
const STARTS: &str = r#"use camlock_plugin::prelude::*;
use std::{sync::{Mutex, mpsc}, thread};

#[derive(Default)]
struct Starts(Mutex<Vec<(mpsc::Sender<()>, thread::JoinHandle<()>)>>);

impl Starts {
    fn one(&self, name: &str) {
        let (sender, wait) = mpsc::channel::<()>();
        let started = thread::Builder::new().name(name.into()).spawn(move || drop(wait.recv())).unwrap();
        self.0.lock().unwrap().push((sender, started));
    }
}

impl Plugin for Starts {
    async fn create(_host: Host) -> Result<Self> {
        let starts = Starts::default();
        starts.one("in-create");
        Ok(starts)
    }

    async fn start(&self) -> Result<()> {
        Ok(self.one("in-start"))
    }

    async fn health(&self) -> Result<()> {
        Ok(self.one("in-health"))
    }

    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        Router::new().route("/", get(move || { self.one("in-handler"); async { "started" } }))
    }

    async fn shutdown(&self) {
        for (sender, started) in std::mem::take(&mut *self.0.lock().unwrap()) {
            drop(sender);
            started.join().unwrap();
        }
    }
}

export!(Starts);
"#;

/// How nice the server's threads are, by their names.
fn niceness(server: &Server) -> BTreeMap<String, Vec<i64>> {
    let mut found: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for thread in fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().flatten() {
        // One that ended meanwhile has nothing to say.
        let Ok(stat) = fs::read_to_string(thread.path().join("stat")) else { continue };
        let (before, after) = stat.rsplit_once(')').unwrap();
        let name = before.split_once('(').unwrap().1;
        found.entry(name.to_owned()).or_default().push(after.split_whitespace().nth(16).unwrap().parse().unwrap());
    }
    found
}

#[test]
fn chores_give_way_and_plugins_do_not() {
    let site = site();
    site.write("plugins/starts.rs", STARTS);
    let server = site.start();
    server.until_text("/api/v1/p/starts/", "started");
    // What was kept is loaded by other ways than what was built.
    assert_eq!(server.act("POST", "/api/v1/plugins/starts/reload").status, 200);
    server.until_text("/api/v1/p/starts/", "started");
    let of_plugins = ["in-create", "in-start", "in-health", "in-handler"];
    let of_the_server = ["camlock-serve", "camlock-control", "camlock-loader"];
    // A thread has its name only once it runs.
    let found = server.until(niceness, |found| {
        let mut names = of_plugins.iter().chain(&of_the_server).chain(&["camlock-chores"]);
        names.all(|name| found.contains_key(*name))
    });
    let usual = found["camlock"][0];
    for name in of_plugins.into_iter().chain(of_the_server) {
        assert!(found[name].iter().all(|nice| *nice == usual), "{name}: {found:?}");
    }
    let chores = &found["camlock-chores"];
    assert!(chores.iter().all(|nice| *nice == (usual + 10).min(19)), "{found:?}");
    assert!(server.end().0.success());
}
