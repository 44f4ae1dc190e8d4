//! The plugin as its host runs it, without a database: what it says of itself, and how it refuses. What it does with a database is
//! tried on a real server, in `bin/tests/registry/powertable`.

use crate::Powertable;
use camlock_testkit::Running;
use serde_json::{Value, json};

#[tokio::test]
async fn hello() {
    let running = Running::<Powertable>::start().await.unwrap();
    assert_eq!(running.get("/hello").await.text(), "Hello from powertable!");
}

#[tokio::test]
async fn without_a_database_it_says_so() {
    let running = Running::<Powertable>::start().await.unwrap();
    for (path, status) in [("/people", 503), ("/people?born=early", 400), ("/a/b/c", 404)] {
        let answer = running.get(path).await;
        assert_eq!(answer.status(), status, "{}", answer.text());
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let problem: Value = serde_json::from_str(&answer.text()).unwrap();
        assert_eq!((&problem["status"], &problem["detail"]), (&json!(status), &problem["message"]));
        assert!(problem["code"].is_string(), "{problem}");
    }
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_refused() {
    let running = Running::<Powertable>::start().await.unwrap();
    running.configure(json!({"max_rows": 100})).await.unwrap();
    for (config, reason) in [(json!({"max_rows": 0}), "at `max_rows`"), (json!({"rows": 9}), "unknown field `rows`")] {
        let refused = running.configure(config).await.unwrap_err().to_string();
        assert!(refused.contains(reason), "{refused}");
    }
}

#[tokio::test]
async fn the_document_names_every_route() {
    let running = Running::<Powertable>::start().await.unwrap();
    let document: Value = serde_json::from_str(running.openapi().unwrap()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let routes: Vec<_> =
        paths.iter().map(|(path, methods)| (path.as_str(), methods.as_object().unwrap().len())).collect();
    assert_eq!(routes, [("/", 1), ("/hello", 1), ("/tables", 2), ("/tables/{table}", 3), ("/{table}", 4)]);
    let methods = paths.values().flat_map(|methods| methods.as_object().unwrap().values());
    let mut names: Vec<_> = methods.map(|method| method["operationId"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 11, "{names:?}");
    assert_eq!(document["info"]["title"], "powertable", "{}", document["info"]);
    assert!(document["components"]["schemas"]["Problem"].is_object());
}
