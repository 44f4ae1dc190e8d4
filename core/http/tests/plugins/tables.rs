//! A plugin's own tables, through a plugin that is really loaded: its migrations out of its file, its SQL through asks.

use crate::harness::{Host, Served, run};
use camlock_loader::Surroundings;
use camlock_policy::{Grants, TableTerms};
use camlock_services::{
    AskLimits, HostServices, ServiceSet, SqliteFile,
    database::{
        PluginTables, lint,
        service::{DatabaseService, SessionLimits},
    },
};
use camlock_testing::{Fixtures, trial};
use rusqlite::Connection;
use std::{fs, path::PathBuf, sync::Arc};
use tokio::runtime::Handle;

fn library() -> PathBuf {
    Fixtures::quick().library("tables")
}

async fn served() -> (Host, Served) {
    let mut host = Host::new();
    let file = host.dir().join("plugins.db");
    let tables = PluginTables::in_file(SqliteFile::at(&file), 4, Handle::current());
    let sections = camlock_loader::inspect(&fs::read(library()).expect("it was built")).expect("it is a plugin");
    assert_eq!(lint::lint("tables", &sections.migrations), []);
    for ran in [3, 0] {
        let ready =
            tables.make_ready(&"tables".into(), &sections.migrations, TableTerms::default()).await.expect("they run");
        assert_eq!((ready.ran.len(), ready.contracts), (ran, false));
    }
    let others = "CREATE TABLE p_other__things (a); INSERT INTO p_other__things VALUES ('theirs')";
    Connection::open(&file).expect("SQLite").execute_batch(others).expect("SQL");
    let mut services = ServiceSet::default();
    services.add("database/1", DatabaseService::new(tables, SessionLimits::default())).expect("it has a name");
    let services = Arc::new(HostServices::new(services, AskLimits::default()));
    host.loader = host.loader.with_surroundings(Surroundings { services: Some(services), ..Surroundings::default() });
    let served = host.serve(&library()).await;
    (host, served)
}

#[trial]
fn rows_are_written_and_read() {
    run(async {
        let (_host, served) = served().await;
        assert_eq!(served.text("/add/one").await, "1");
        assert_eq!(served.text("/add/three").await, "1");
        assert_eq!(
            served.text("/words").await,
            r#"[{"word":"one","length":3,"is_known":false},{"word":"three","length":5,"is_known":false}]"#
        );
        assert!(served.text("/add/one").await.starts_with("Conflict: UNIQUE constraint failed"));
        assert_eq!(served.text("/count").await, "100000 5000050000");
        served.unload_wholly().await;
    });
}

#[trial]
fn transactions_are_done_wholly_or_not_at_all() {
    run(async {
        let (_host, served) = served().await;
        for end in ["commit", "rollback", "drop"] {
            assert_eq!(served.text(&format!("/both/{end}-a/{end}-b/{end}")).await, "true");
        }
        // One that fails half-way.
        assert!(served.text("/both/commit-c/commit-a/commit").await.starts_with("Conflict: "));
        let words = served.text("/sql?sql=SELECT%20word%20FROM%20p_tables__words").await;
        assert_eq!(words, r#"[Text("commit-a"), Text("commit-b")]"#);
        served.unload_wholly().await;
    });
}

#[trial]
fn what_is_not_granted_is_denied() {
    run(async {
        let (host, served) = served().await;
        let granted = host.granted.lock().unwrap().clone();
        granted.update(&Grants::default());
        let denied = "Denied: `database` is not granted to `tables`: `camlock grant tables database` does";
        assert_eq!(served.text("/add/one").await, denied);
        granted.update(&Grants::Asked);
        assert_eq!(served.text("/add/one").await, "1");
        served.unload_wholly().await;
    });
}

#[trial]
fn sql_stays_within_the_plugins_tables() {
    run(async {
        let (_host, served) = served().await;
        for (sql, answer) in [
            ("SELECT%20*%20FROM%20p_other__things", "Denied: "),
            ("DROP%20TABLE%20p_tables__words", "Denied: "),
            ("PRAGMA%20user_version=3", "Denied: "),
            ("SELECT%20*%20FROM%20nowhere", "Invalid: "),
            ("SELECT%201;SELECT%202", "Invalid: "),
        ] {
            let said = served.text(&format!("/sql?sql={sql}")).await;
            assert!(said.starts_with(answer), "{sql}: {said}");
        }
        served.unload_wholly().await;
    });
}
