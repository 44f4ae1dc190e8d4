//! Several real servers, each with a plugins directory and data of its own, on one real PostgreSQL.

mod clocks;
mod grants;
mod heard;
mod rollouts;
mod sealed;
mod stored;
mod tables;
mod tasks;
mod toggles;
mod used;

use camlock_testing::{Postgres, Server, Site};
use serde_json::Value;
use std::process::Command;

/// A server of a fleet, and where it lives.
struct Node {
    site: Site,
    server: Server,
}

/// A fleet on a database of its own.
struct Fleet {
    nodes: Vec<Node>,
    database: String,
    #[allow(dead_code, reason = "the nodes lie inside of it")]
    site: Site,
}

impl Fleet {
    /// So many servers, with these lines in the configuration of each.
    fn of(count: usize, lines: &[String]) -> Self {
        Fleet::of_which(count, lines, |_, _, _| {})
    }

    /// The same, with a change of each one's command.
    fn of_which(count: usize, lines: &[String], change: impl Fn(usize, &Site, &mut Command)) -> Self {
        let site = Site::new(env!("CARGO_BIN_EXE_camlock"));
        let database = Postgres::shared().database();
        let nodes = (0..count).map(|number| {
            let site = site.beside(&format!("node{number}"));
            site.configure(&format!("database.url = {database:?}"));
            // Dead servers are to be noticed within a test's time.
            site.configure("fleet.heartbeat = \"500ms\"\nfleet.alive = \"2s\"\nfleet.rollout = \"5s\"");
            for line in lines {
                site.configure(line);
            }
            let server = site.start_with(|command| change(number, &site, command));
            Node { site, server }
        });
        Fleet { nodes: nodes.collect(), database, site }
    }

    /// Writes a file into the plugins directory of one node.
    fn write(&self, node: usize, name: &str, text: &str) {
        self.nodes[node].site.write(&format!("plugins/{name}"), text);
    }

    /// Waits until all answer so.
    fn until_all(&self, path: &str, text: &str) {
        for node in &self.nodes {
            node.server.until_text(path, text);
        }
    }

    fn sql(&self, sql: &str) -> String {
        Postgres::shared().sql(&self.database, sql)
    }
}

impl Node {
    /// The artifact that it serves.
    fn artifact(&self, plugin: &str) -> String {
        self.server.plugin(plugin)["serving"]["artifact"].as_str().unwrap_or_default().to_owned()
    }

    fn nodes(&self) -> Value {
        self.server.get_as_admin("/api/v1/nodes").json()
    }
}
