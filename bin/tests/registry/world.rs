//! A site whose registry lies in one of the two databases, and operators with that database's own client.

use camlock_testing::{Answer, Postgres, Server, Site, single};
use serde_json::Value;
use std::{
    fs::{self, OpenOptions},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// The route of a plugin that nobody touches.
pub(crate) const STEADY: &str = "/api/v1/p/steady/";

/// How long anything of the registry may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where a registry lies.
pub(crate) enum Place {
    /// In the data directory, where a server keeps it by itself.
    Sqlite,
    /// In a database of its own, on the server that all tests share.
    Postgres(String),
    /// On a server of its own, which may be killed.
    Apart(Box<Postgres>, String),
}

/// A site and its registry.
pub(crate) struct World {
    pub(crate) site: Site,
    pub(crate) place: Place,
}

impl World {
    pub(crate) fn sqlite() -> Self {
        World::new(Place::Sqlite)
    }

    pub(crate) fn postgres() -> Self {
        World::new(Place::Postgres(Postgres::shared().database()))
    }

    pub(crate) fn apart() -> Self {
        let postgres = Postgres::start();
        let url = postgres.database();
        World::new(Place::Apart(Box::new(postgres), url))
    }

    fn new(place: Place) -> Self {
        let site = Site::new(env!("CARGO_BIN_EXE_camlock"));
        site.write("plugins/steady.rs", &single("steady"));
        World { site, place }
    }

    /// Its PostgreSQL.
    pub(crate) fn server(&self) -> &Postgres {
        match &self.place {
            Place::Sqlite => panic!("it is a file"),
            Place::Postgres(_) => Postgres::shared(),
            Place::Apart(postgres, _) => postgres,
        }
    }

    /// Where PostgreSQL has it.
    pub(crate) fn url(&self) -> &str {
        match &self.place {
            Place::Sqlite => panic!("it is a file"),
            Place::Postgres(url) | Place::Apart(_, url) => url,
        }
    }

    /// Where SQLite has it.
    pub(crate) fn file(&self) -> PathBuf {
        self.site.path(".camlock/registry.db")
    }

    /// A server, without a word of whether it serves anything yet.
    pub(crate) fn start(&self) -> Server {
        self.start_with(|_| {})
    }

    /// The same, with a change of its command. Its log goes to a file.
    pub(crate) fn start_with(&self, change: impl FnOnce(&mut Command)) -> Server {
        let log = OpenOptions::new().create(true).append(true).open(self.site.path("log")).unwrap();
        self.site.start_with(|command| {
            command.env("CAMLOCK_LOG", "info,camlock_policy=debug").stderr(log);
            match &self.place {
                Place::Sqlite => {}
                Place::Postgres(url) | Place::Apart(_, url) => _ = command.args(["--database-url", url]),
            }
            change(command);
        })
    }

    /// A server of which the plugin that nobody touches serves, and is on record.
    pub(crate) fn serve(&self) -> Server {
        let server = self.start();
        server.until_text(STEADY, "steady");
        server.until_status("/_/ready", 200);
        server
    }

    /// What servers logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.site.path("log")).unwrap_or_default()
    }

    /// What an operator does with the `sqlite3` shell, or with psql: what it prints.
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same, if it may be refused.
    pub(crate) fn try_sql(&self, sql: &str) -> Result<String, String> {
        match &self.place {
            Place::Sqlite => {
                let mut shell = Command::new("sqlite3");
                shell.args(["-bail", "-cmd", ".timeout 60000"]).arg(self.file()).arg(sql).stdin(Stdio::null());
                let done = shell.output().map_err(|error| format!("the `sqlite3` shell was not started: {error}"))?;
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
                if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
            }
            Place::Postgres(url) | Place::Apart(_, url) => {
                self.server().try_sql(&format!("{url}?options=-csearch_path%3Dcamlock"), sql)
            }
        }
    }

    /// Waits until the database says so.
    pub(crate) fn until_sql(&self, sql: &str, wanted: &str) {
        let began = Instant::now();
        loop {
            let said = self.try_sql(sql);
            if said.as_deref() == Ok(wanted) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{sql}: {said:?} instead of {wanted}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A command of the program against a server, as an operator runs it: its exit code, and what it printed.
    pub(crate) fn command(&self, server: &Server, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = self.site.command();
        command.args(arguments).env("CAMLOCK_SERVER", format!("http://{}", server.address));
        let done = command.output().unwrap();
        (
            done.status.code(),
            String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr),
        )
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(12_000);
            eprintln!("the end of the log:\n{}", log.get(from..).unwrap_or(&log));
        }
    }
}

/// Does something with requests under way on these routes, of which none may fail.
#[track_caller]
pub(crate) fn under_load<T>(server: &Server, paths: &[&str], act: impl FnOnce() -> T) -> T {
    let loads: Vec<_> = paths.iter().map(|path| server.load(path)).collect();
    let outcome = act();
    for (load, path) in loads.into_iter().zip(paths) {
        let (good, bad) = load.end();
        let some = &bad[..bad.len().min(5)];
        assert!(good > 0 && bad.is_empty(), "{path}: {good} were good, {} failed, such as {some:#?}", bad.len());
    }
    outcome
}

/// What a problem says.
pub(crate) fn detail(answer: &Answer) -> String {
    answer.json()["detail"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

/// Waits until the server is not ready for this reason: all that it says.
pub(crate) fn until_not_ready(server: &Server, reason: &str) -> String {
    let answer = |server: &Server| server.get("/_/ready");
    detail(&server.until(answer, |answer| answer.status == 503 && detail(answer).contains(reason)))
}

/// Nothing of a plugin serves, comes or goes.
pub(crate) fn at_rest(plugin: &Value) -> bool {
    let none = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    plugin["serving"].is_null() && plugin["candidate"].is_null() && none(&plugin["draining"])
}

/// How many libraries of plugins are mapped and executable in the server's process.
pub(crate) fn mapped(server: &Server) -> usize {
    let maps = fs::read_to_string(format!("/proc/{}/maps", server.pid())).unwrap();
    maps.lines().filter(|line| line.contains("/.camlock/run/") && line.contains(" r-xp ")).count()
}
