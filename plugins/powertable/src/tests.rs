//! The whole API, as a client sees it.

use crate::{Powertable, limits};
use camlock_plugin::{Saved, prelude::*};
use camlock_testkit::{Answer, Running};
use serde_json::{Value, json};

type Tables = Running<Powertable>;

async fn with_people() -> Tables {
    let running = Tables::start().await.unwrap();
    let columns = json!([
        {"name": "name", "type": "text", "required": true},
        {"name": "born", "type": "integer"},
    ]);
    let answer = post(&running, "/tables", json!({"name": "people", "columns": columns})).await;
    assert_eq!(
        (answer.status(), answer.headers()["location"].as_bytes()),
        (StatusCode::CREATED, &b"tables/people"[..])
    );
    running
}

async fn send(running: &Tables, method: &str, path: &str, document: Option<Value>) -> Answer {
    let request = axum::http::Request::builder().method(method).uri(path);
    let request = match document {
        Some(document) => request.header("content-type", "application/json").body(document.to_string().into()),
        None => request.body("".into()),
    };
    running.send(request.unwrap()).await
}

async fn post(running: &Tables, path: &str, document: Value) -> Answer {
    send(running, "POST", path, Some(document)).await
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(answer.body()).unwrap_or_else(|_| panic!("{answer:?}"))
}

/// What a refusal says, which is as it should be.
fn problem(answer: &Answer, status: u16) -> String {
    let document = json_of(answer);
    assert_eq!((answer.status().as_u16(), document["status"].as_u64()), (status, Some(status.into())), "{document}");
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    document["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn tables_come_and_go() {
    let running = with_people().await;
    assert_eq!(running.get("/hello").await.text(), "Hello from powertable!");
    let people = json!({
        "name": "people",
        "columns": [
            {"name": "name", "type": "text", "required": true},
            {"name": "born", "type": "integer", "required": false},
        ],
        "rows": 0,
    });
    assert_eq!(json_of(&running.get("/tables").await), json!({"items": [people]}));
    assert_eq!(json_of(&running.get("/tables/people").await), people);
    assert_eq!(json_of(&running.get("/").await), json!({"tables": 1, "rows": 0, "bytes": 0}));
    assert_eq!(send(&running, "DELETE", "/tables/people", None).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(problem(&send(&running, "DELETE", "/tables/people", None).await, 404), "there is no table `people`");
}

#[tokio::test]
async fn rows_come_change_and_go() {
    let running = with_people().await;
    let answer = post(&running, "/tables/people/rows", json!({"name": "Ada", "born": 1851})).await;
    assert_eq!((answer.status(), answer.headers()["location"].as_bytes()), (StatusCode::CREATED, &b"rows/1"[..]));
    assert_eq!(json_of(&answer), json!({"id": 1, "name": "Ada", "born": 1851}));
    post(&running, "/tables/people/rows", json!({"name": "Grace"})).await;
    let answer = send(&running, "PATCH", "/tables/people/rows/1", Some(json!({"born": 1815}))).await;
    assert_eq!(json_of(&answer), json!({"id": 1, "name": "Ada", "born": 1815}));
    assert_eq!(json_of(&running.get("/tables/people/rows/1").await), json_of(&answer));
    let page = json_of(&running.get("/tables/people/rows?sort=-name&limit=1").await);
    assert_eq!(page, json!({"items": [{"id": 2, "name": "Grace", "born": null}], "total": 2}));
    assert_eq!(json_of(&running.get("/tables/people/rows?born=1815").await)["total"], 1);
    assert_eq!(send(&running, "DELETE", "/tables/people/rows/2", None).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(problem(&running.get("/tables/people/rows/2").await, 404), "the table `people` has no row `2`");
    // An id is not given twice.
    assert_eq!(json_of(&post(&running, "/tables/people/rows", json!({"name": "Barbara"})).await)["id"], 3);
}

#[tokio::test]
async fn refusals_are_problems() {
    let running = with_people().await;
    let taken = post(&running, "/tables", json!({"name": "people", "columns": [{"name": "a", "type": "text"}]})).await;
    assert_eq!(problem(&taken, 409), "there is a table `people` already");
    assert!(problem(&post(&running, "/tables", json!({"name": "x"})).await, 422).contains("missing field `columns`"));
    assert!(problem(&post(&running, "/tables", json!({"name": "x", "columns": []})).await, 422).contains("1 to 32"));
    assert!(problem(&running.post_json("/tables", "{").await, 400).contains("EOF"));
    assert!(problem(&send(&running, "POST", "/tables", None).await, 415).contains("`Content-Type: application/json`"));
    assert_eq!(problem(&running.get("/nowhere").await, 404), "there is nothing at /nowhere");
    assert_eq!(problem(&running.get("/tables/pets/rows").await, 404), "there is no table `pets`");
    assert_eq!(problem(&running.get("/tables/people/rows/x").await, 404), "the table `people` has no row `x`");
    assert!(problem(&running.get("/tables/%FF").await, 400).contains("UTF-8"));
    assert!(problem(&running.get("/tables/people/rows?limit=many").await, 400).contains("whole number"));
    let row = post(&running, "/tables/people/rows", json!({"name": "Ada", "born": "long ago"})).await;
    assert_eq!(problem(&row, 422), "column `born` holds integers of 64 bits, not a text");
    let row = post(&running, "/tables/people/rows", json!({"name": "x".repeat(limits::REQUEST)})).await;
    assert!(problem(&row, 413).contains("length limit"));
}

#[tokio::test]
async fn what_is_kept_has_bounds() {
    let running = with_people().await;
    for number in 1..limits::TABLES {
        let table = json!({"name": format!("t{number}"), "columns": [{"name": "text", "type": "text"}]});
        assert_eq!(post(&running, "/tables", table).await.status(), StatusCode::CREATED);
    }
    let table = json!({"name": "more", "columns": [{"name": "text", "type": "text"}]});
    assert_eq!(problem(&post(&running, "/tables", table).await, 409), "there are 64 tables, and no more are kept");

    let row = json!({"text": "x".repeat(limits::TEXT)});
    let each = limits::TEXT + 96;
    for _ in 0..limits::BYTES / each {
        assert_eq!(post(&running, "/tables/t1/rows", row.clone()).await.status(), StatusCode::CREATED);
    }
    assert!(problem(&post(&running, "/tables/t2/rows", row.clone()).await, 409).starts_with("all is full"));
    // What is deleted makes room again, and dropping a table does for all its rows.
    let same = send(&running, "PATCH", "/tables/t1/rows/1", Some(json!({"text": "y".repeat(limits::TEXT)}))).await;
    assert_eq!(same.status(), StatusCode::OK);
    send(&running, "DELETE", "/tables/t1/rows/1", None).await;
    assert_eq!(post(&running, "/tables/t2/rows", row).await.status(), StatusCode::CREATED);
    send(&running, "DELETE", "/tables/t1", None).await;
    assert_eq!(json_of(&running.get("/").await)["bytes"], each);

    for _ in 0..limits::ROWS {
        post(&running, "/tables/people/rows", json!({"name": ""})).await;
    }
    let full = post(&running, "/tables/people/rows", json!({"name": ""})).await;
    assert_eq!(problem(&full, 409), "the table `people` is full: it has 10000 rows");
}

#[tokio::test]
async fn tables_cross_a_reload() {
    let old = with_people().await;
    post(&old, "/tables/people/rows", json!({"name": "Ada", "born": 1815})).await;
    let state = old.plugin().save().await.unwrap().unwrap();
    let new = Tables::start().await.unwrap();
    new.plugin().restore(Saved::new("0.1.0", state)).await.unwrap();
    assert_eq!(new.get("/tables/people/rows").await.text(), old.get("/tables/people/rows").await.text());
    assert_eq!(json_of(&new.get("/").await), json_of(&old.get("/").await));
    // What is refused changes nothing.
    let refused = new.plugin().restore(Saved::new("9.0.0", r#"{"format": 9}"#)).await.unwrap_err();
    let told = "what version 9.0.0 saved cannot be taken over: its format is 9, this build knows 1";
    assert_eq!(refused.to_string(), told);
    assert_eq!(json_of(&new.get("/").await)["rows"], 1);
}

#[tokio::test]
async fn the_document_names_every_route() {
    let running = Tables::start().await.unwrap();
    let document: Value = serde_json::from_str(running.openapi().unwrap()).unwrap();
    let routes: Vec<_> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, methods)| (path.as_str(), methods.as_object().unwrap().len()))
        .collect();
    let expected = [
        ("/", 1),
        ("/hello", 1),
        ("/tables", 2),
        ("/tables/{table}", 2),
        ("/tables/{table}/rows", 2),
        ("/tables/{table}/rows/{id}", 3),
    ];
    assert_eq!(routes, expected);
    let methods =
        document["paths"].as_object().unwrap().values().flat_map(|methods| methods.as_object().unwrap().values());
    let mut names: Vec<_> = methods.map(|method| method["operationId"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 11, "{names:?}");
    assert_eq!(document["info"]["title"], "powertable", "{}", document["info"]);
    assert!(document["components"]["schemas"]["Problem"].is_object());
}
