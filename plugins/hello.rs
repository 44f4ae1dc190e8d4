---
[package]
version = "0.1.0"
description = "Says hello: the simplest plugin there is"

[package.metadata.camlock]
category = "http"
---
//! A whole plugin in one file. Change a word, save, and ask again: the new code answers.

use camlock_plugin::prelude::*;
use serde::{Deserialize, Serialize};

struct Hello;

impl Plugin for Hello {
    async fn create(_host: Host) -> Result<Self> {
        Ok(Hello)
    }

    // These paths lie under the plugin's mount: `/hello` answers at `/api/v1/p/hello/hello`.
    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        Router::new()
            .route("/", get(hello))
            .route("/hello", get(hello))
            .route("/hello/{name}", get(hello_name))
            .route("/add", get(add))
            .route("/introduce", post(introduce))
    }
}

/// The shortest handler: what it returns is the answer.
async fn hello() -> &'static str {
    "Hello from a plugin!"
}

/// A part of the path: `GET /hello/Ada`.
async fn hello_name(Path(name): Path<String>) -> String {
    format!("Hello, {name}!")
}

/// What stands after the question mark: `GET /add?a=2&b=3`. Anything but two such numbers is answered with 400.
#[derive(Deserialize)]
struct Sum {
    a: i32,
    b: i32,
}

async fn add(Query(sum): Query<Sum>) -> String {
    (i64::from(sum.a) + i64::from(sum.b)).to_string()
}

/// JSON in, JSON out: `POST /introduce` with `{"name": "Ada", "born": 1815}`.
#[derive(Deserialize)]
struct Person {
    name: String,
    born: u16,
}

#[derive(Serialize)]
struct Introduction {
    text: String,
    letters: usize,
}

async fn introduce(Json(person): Json<Person>) -> Json<Introduction> {
    let text = format!("This is {}, born in {}.", person.name, person.born);
    Json(Introduction { letters: person.name.chars().count(), text })
}

export!(Hello);
