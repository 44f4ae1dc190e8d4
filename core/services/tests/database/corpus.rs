//! Statements that others wrote, to see whether they read SQL of every dialect: each runs as the plugin, at run time and as a migration,
//! on both databases, and nothing of anybody else's is another afterwards.

use super::{
    postgres::{HostIs, Registry, run},
    sqlite::{Place, WITHIN},
};
use camlock_testing::{repository, rounds};
use std::{fs, process::Command};

/// One of so many runs as a migration in an everyday run; with many rounds all do.
const EVERYDAY: usize = 25;

fn statements() -> Vec<String> {
    let brought = Command::new(repository().join("scripts/statements")).output().expect("a script");
    assert!(brought.status.success(), "{}", String::from_utf8_lossy(&brought.stderr));
    let path = String::from_utf8(brought.stdout).expect("a path");
    let text = fs::read_to_string(path.trim()).expect("statements");
    // Some are expressions alone.
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let statements: Vec<_> = lines.flat_map(|line| [line.to_owned(), format!("SELECT {line}")]).collect();
    assert!(statements.len() > 1_600, "{}", statements.len());
    statements
}

fn some(statements: &[String]) -> impl Iterator<Item = (u32, &String)> {
    let each = EVERYDAY.saturating_sub(rounds(1) - 1).max(1);
    (2..).zip(statements).step_by(each)
}

#[test]
fn on_sqlite() {
    let statements = statements();
    let mut place = Place::new();
    let before = place.others();
    for statement in &statements {
        drop(place.run(statement, WITHIN));
        assert!(place.connection.as_host().is_autocommit(), "{statement}");
    }
    assert_eq!(place.others(), before, "at run time");
    for (number, statement) in some(&statements) {
        let done = place.migrate(number, statement);
        assert_eq!(place.others(), before, "{statement}: {done:?}");
    }
}

#[test]
fn on_postgres() {
    run(async {
        let statements = statements();
        let registry = Registry::new(HostIs::Owner).await;
        let before = registry.others().await;
        let mut client = registry.as_role(&registry.shop.run).await;
        for statement in &statements {
            drop(registry.run(&client, statement).await);
            let _ = client.batch_execute("ROLLBACK").await;
            if client.is_closed() {
                client = registry.as_role(&registry.shop.run).await;
            }
            let whose = registry.run(&client, "SELECT session_user, current_user").await.0;
            assert!(whose.iter().all(|user| *user == registry.shop.run), "{statement}: {whose:?}");
        }
        assert_eq!(registry.others().await, before, "at run time");
        for (number, statement) in some(&statements) {
            let done = registry.migrate(number, statement).await;
            assert_eq!(registry.others().await, before, "{statement}: {done:?}");
        }
    });
}
