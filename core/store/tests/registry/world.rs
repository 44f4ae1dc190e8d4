//! A registry in a place of its own, in one of the two databases, with the servers that use it and an operator who writes SQL.

use camlock_policy::registry::RegistryChange;
use camlock_policy::{
    Digest, Fingerprint, Headline,
    registry::{Agreed, Decision, Newcomer, Proposal, Reading, Record, Registry, Served, Snapshot},
};
use camlock_store::{Store, StoreOptions};
use camlock_testing::Postgres;
use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// A place for a registry.
pub(crate) struct World {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    pub(crate) directory: TempDir,
    pub(crate) postgres: Option<Arc<Postgres>>,
}

impl World {
    /// An empty one. In PostgreSQL: a database of its own on the server that all tests share.
    pub(crate) fn new(kind: Kind) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = match kind {
            Kind::Sqlite => format!("sqlite://{}", directory.path().join("registry.db").display()),
            Kind::Postgres => Postgres::shared().database(),
        };
        World { kind, url, directory, postgres: None }
    }

    /// One in a server of PostgreSQL that may be killed.
    pub(crate) fn apart() -> Self {
        let postgres = Arc::new(Postgres::start());
        let url = postgres.database();
        World { kind: Kind::Postgres, url, directory: tempfile::tempdir().unwrap(), postgres: Some(postgres) }
    }

    pub(crate) fn server(&self) -> &Postgres {
        self.postgres.as_deref().unwrap_or_else(|| Postgres::shared())
    }

    /// Where SQLite keeps it.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("registry.db")
    }

    /// Options for a node of this name.
    pub(crate) fn options(&self, node: &str) -> StoreOptions {
        StoreOptions {
            address: format!("{node}:80"),
            version: "1.0.0".to_owned(),
            ..StoreOptions::new(self.directory.path().join(node))
        }
    }

    /// A node.
    pub(crate) async fn open(&self, node: &str) -> Node {
        self.open_with(node, |_| {}).await
    }

    /// A node, with a change of its options.
    pub(crate) async fn open_with(&self, node: &str, change: impl FnOnce(&mut StoreOptions)) -> Node {
        let mut options = self.options(node);
        change(&mut options);
        Node::new(Store::open(&self.url, options).await.unwrap())
    }

    /// What an operator does: with the `sqlite3` shell, or with psql.
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same, if it may fail.
    pub(crate) fn try_sql(&self, sql: &str) -> Result<String, String> {
        match self.kind {
            Kind::Sqlite => sqlite3(&self.file(), sql),
            Kind::Postgres => {
                let url = format!("{}?options=-csearch_path%3Dcamlock", self.url);
                self.server().try_sql(&url, sql)
            }
        }
    }
}

/// An operator's client that stays open, with a transaction for instance.
pub(crate) struct Session {
    client: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    done: &'static str,
}

impl World {
    /// Opens a client.
    pub(crate) fn session(&self) -> Session {
        let (mut client, done) = match self.kind {
            Kind::Sqlite => {
                let mut shell = Command::new("sqlite3");
                shell.args(["-cmd", ".timeout 60000"]).arg(self.file());
                (shell, ".print done")
            }
            Kind::Postgres => {
                let psql = self.server().psql(&format!("{}?options=-csearch_path%3Dcamlock", self.url));
                (psql, "\\echo done")
            }
        };
        let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (client.stdin.take().unwrap(), BufReader::new(client.stdout.take().unwrap()));
        Session { client, input, output, done }
    }
}

impl Session {
    /// Runs SQL, and waits until it is done: what it printed.
    pub(crate) fn say(&mut self, sql: &str) -> String {
        writeln!(self.input, "{sql};\n{}", self.done).unwrap();
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the client ended");
            if line.trim() == "done" {
                return printed.trim().to_owned();
            }
            printed.push_str(&line);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

/// The `sqlite3` shell.
pub(crate) fn sqlite3(file: &std::path::Path, sql: &str) -> Result<String, String> {
    let mut shell = Command::new("sqlite3");
    shell.args(["-bail", "-cmd", ".timeout 60000"]).arg(file).arg(sql).stdin(Stdio::null());
    let done = shell.output().map_err(|error| format!("the `sqlite3` shell was not started: {error}"))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned());
    }
    Err(String::from_utf8_lossy(&done.stderr).into_owned())
}

/// A server of the fleet, as far as its store goes, and what it heard.
pub(crate) struct Node {
    pub(crate) store: Store,
    pub(crate) registry: Arc<dyn Registry>,
    heard: Arc<Mutex<Vec<RegistryChange>>>,
}

impl Node {
    fn new(store: Store) -> Self {
        let heard: Arc<Mutex<Vec<RegistryChange>>> = Arc::default();
        let theirs = heard.clone();
        store.feed(move |change| theirs.lock().unwrap().push(change));
        Node { registry: store.registry(), store, heard }
    }

    /// What was heard since the last time.
    pub(crate) fn heard(&self) -> Vec<RegistryChange> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }

    /// Waits until nothing has been heard for a while, and forgets it.
    pub(crate) async fn quiet(&self) {
        let mut since = Instant::now();
        while since.elapsed() < Duration::from_millis(100) {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if !self.heard().is_empty() {
                since = Instant::now();
            }
        }
    }

    /// Waits until this was heard; how long that took.
    pub(crate) async fn until_heard(&self, what: impl Fn(&RegistryChange) -> bool) -> Duration {
        let began = Instant::now();
        loop {
            if self.heard().iter().any(&what) {
                return began.elapsed();
            }
            assert!(began.elapsed() < PATIENCE, "it was never heard");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until it was heard that this plugin changed.
    pub(crate) async fn until_told(&self, plugin: &str) -> Duration {
        self.until_heard(|change| match change {
            RegistryChange::Plugins(names) => names.contains(plugin),
            RegistryChange::Everything => true,
            _ => false,
        })
        .await
    }

    /// All that is on record.
    pub(crate) async fn read(&self) -> Snapshot {
        self.registry.read(Reading::default()).await.unwrap()
    }

    /// A record.
    pub(crate) async fn record(&self, name: &str) -> Option<Record> {
        let names = Some([name.to_owned()].into());
        let snapshot = self.registry.read(Reading { names, ..Reading::default() }).await.unwrap();
        assert!(snapshot.records.iter().all(|record| record.name == name));
        snapshot.records.into_iter().next()
    }

    /// Makes records of plugins with these names.
    pub(crate) async fn register(&self, names: &[&str]) -> Vec<Record> {
        self.registry.register(names.iter().map(|name| newcomer(name)).collect()).await.unwrap()
    }

    /// Decides something.
    pub(crate) async fn decide(&self, name: &str, decision: Decision) -> Record {
        self.registry.decide(name, decision, "tester".into(), None).await.unwrap()
    }
}

/// A plugin that was found.
pub(crate) fn newcomer(name: &str) -> Newcomer {
    Newcomer {
        name: name.to_owned(),
        built_in: false,
        path: name.to_owned(),
        enabled: true,
        source: camlock_policy::PluginSource::Directory,
        grants: None,
    }
}

/// An artifact, from these sources.
pub(crate) fn agreed(sources: &str, version: &str) -> Agreed {
    Agreed {
        fingerprint: Some(Fingerprint(sources.to_owned())),
        digest: Digest::of(sources.as_bytes()),
        version: version.to_owned(),
    }
}

/// A proposal.
pub(crate) fn proposal(plugin: &str, sources: &str) -> Proposal {
    let seen = Some(Fingerprint(sources.to_owned()));
    Proposal { plugin: plugin.to_owned(), agreed: agreed(sources, "1.0.0"), by: "filesystem".into(), seen }
}

/// What a node says of a plugin that serves.
pub(crate) fn serving(plugin: &str, sources: &str) -> Served {
    Served {
        plugin: plugin.to_owned(),
        state: Headline::Serving,
        reason: None,
        generation: Some(1),
        artifact: Some(Digest::of(sources.as_bytes())),
        version: Some("1.0.0".to_owned()),
        seen: Some(Fingerprint(sources.to_owned())),
        revision: 1,
        endpoints: None,
    }
}
