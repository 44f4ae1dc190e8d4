//! The whole API, as a client sees it.

use crate::{Powertable, limits};
use camlock_plugin::{Saved, Taken, prelude::*};
use camlock_testkit::{Answer, Running};
use serde_json::{Value, json};

type Tables = Running<Powertable>;

async fn with_people() -> Tables {
    add_people(Tables::start().await.unwrap()).await
}

async fn add_people(running: Tables) -> Tables {
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
    assert_eq!(problem(&full, 409), "the table `people` is full: 10000 of 10000 rows");
}

#[tokio::test]
async fn operators_say_how_many_rows_a_table_may_have() {
    let running = add_people(Tables::with_config(json!({"rows_per_table": 1})).await.unwrap()).await;
    let ada = json!({"name": "Ada"});
    let add = async || post(&running, "/tables/people/rows", ada.clone()).await;
    assert_eq!(add().await.status(), StatusCode::CREATED);
    assert_eq!(problem(&add().await, 409), "the table `people` is full: 1 of 1 rows");
    assert_eq!(running.configure(json!({"rows_per_table": 3})).await.unwrap(), Taken::Live);
    assert_eq!([add().await, add().await].map(|answer| answer.status()), [StatusCode::CREATED; 2]);
    // What is there is kept, also over a reload; there will be no more.
    assert_eq!(running.configure(json!({"rows_per_table": 2})).await.unwrap(), Taken::Live);
    assert_eq!(problem(&add().await, 409), "the table `people` is full: 3 of 2 rows");
    let state = running.plugin().save().await.unwrap().unwrap();
    let new = Tables::with_config(json!({"rows_per_table": 2})).await.unwrap();
    new.plugin().restore(Saved::new("0.1.0", state)).await.unwrap();
    assert_eq!(json_of(&new.get("/").await)["rows"], 3);
    // What says nothing of it is the default again.
    assert_eq!(running.configure(json!({})).await.unwrap(), Taken::Live);
    assert_eq!(add().await.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn settings_that_cannot_be_used_change_nothing() {
    let running = add_people(Tables::with_config(json!({"rows_per_table": 1})).await.unwrap()).await;
    post(&running, "/tables/people/rows", json!({"name": "Ada"})).await;
    for (config, reason) in [
        (json!({"rows_per_table": 0}), "at `rows_per_table`: a table can have 1 to 100000 rows, not 0"),
        (json!({"rows_per_table": 100_001}), "at `rows_per_table`: a table can have 1 to 100000 rows, not 100001"),
        (json!({"rows_per_table": "9"}), "at `rows_per_table`: invalid type: string \"9\", expected usize"),
        (json!({"rows": 9}), "at `rows`: unknown field `rows`, expected `rows_per_table`"),
    ] {
        let refused = running.configure(config.clone()).await.unwrap_err().to_string();
        assert_eq!(refused, format!("its configuration cannot be used, {reason}"));
        let refused = Tables::with_config(config).await.err().unwrap().to_string();
        assert!(refused.ends_with(reason), "{refused}");
    }
    let full = post(&running, "/tables/people/rows", json!({"name": "Ada"})).await;
    assert_eq!(problem(&full, 409), "the table `people` is full: 1 of 1 rows");
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
