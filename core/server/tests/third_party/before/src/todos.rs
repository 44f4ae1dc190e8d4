//! The todo list, and a feed of what happens to it.

use crate::AppState;
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::sse::{Event, KeepAlive, Sse},
    routing::get,
};
use futures_util::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock},
};
use tokio::sync::broadcast::{self, error::RecvError};

#[derive(Clone)]
pub struct Todos {
    list: Arc<RwLock<BTreeMap<u64, Todo>>>,
    changes: broadcast::Sender<Change>,
}

impl Default for Todos {
    fn default() -> Self {
        Todos { list: Arc::default(), changes: broadcast::channel(64).0 }
    }
}

#[derive(Clone, Serialize)]
struct Todo {
    id: u64,
    text: String,
    done: bool,
}

#[derive(Clone)]
enum Change {
    Saved(Todo),
    Removed(u64),
}

#[derive(Deserialize)]
struct NewTodo {
    text: String,
}

#[derive(Deserialize)]
struct EditedTodo {
    text: Option<String>,
    done: Option<bool>,
}

pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/todos", get(list).post(create))
        .route("/todos/{id}", get(show).patch(edit).delete(remove))
        .route("/todos/feed", get(feed))
}

async fn list(State(todos): State<Todos>) -> Json<Vec<Todo>> {
    Json(todos.list.read().unwrap().values().cloned().collect())
}

async fn create(State(todos): State<Todos>, Json(new): Json<NewTodo>) -> (StatusCode, Json<Todo>) {
    let mut list = todos.list.write().unwrap();
    let id = list.last_key_value().map_or(1, |(id, _)| id + 1);
    let todo = Todo { id, text: new.text, done: false };
    list.insert(id, todo.clone());
    let _ = todos.changes.send(Change::Saved(todo.clone()));
    (StatusCode::CREATED, Json(todo))
}

async fn show(State(todos): State<Todos>, Path(id): Path<u64>) -> Result<Json<Todo>, StatusCode> {
    todos.list.read().unwrap().get(&id).cloned().map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn edit(
    State(todos): State<Todos>,
    Path(id): Path<u64>,
    Json(edited): Json<EditedTodo>,
) -> Result<Json<Todo>, StatusCode> {
    let mut list = todos.list.write().unwrap();
    let todo = list.get_mut(&id).ok_or(StatusCode::NOT_FOUND)?;
    if let Some(text) = edited.text {
        todo.text = text;
    }
    if let Some(done) = edited.done {
        todo.done = done;
    }
    let _ = todos.changes.send(Change::Saved(todo.clone()));
    Ok(Json(todo.clone()))
}

async fn remove(State(todos): State<Todos>, Path(id): Path<u64>) -> StatusCode {
    match todos.list.write().unwrap().remove(&id) {
        Some(_) => {
            let _ = todos.changes.send(Change::Removed(id));
            StatusCode::NO_CONTENT
        }
        None => StatusCode::NOT_FOUND,
    }
}

async fn feed(State(todos): State<Todos>) -> Sse<impl Stream<Item = Result<Event, axum::Error>>> {
    let events = stream::unfold(todos.changes.subscribe(), |mut changes| async move {
        let change = loop {
            match changes.recv().await {
                Ok(change) => break change,
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return None,
            }
        };
        let event = match change {
            Change::Saved(todo) => Event::default().event("saved").json_data(todo),
            Change::Removed(id) => Ok(Event::default().event("removed").data(id.to_string())),
        };
        Some((event, changes))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}
